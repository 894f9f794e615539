rule detect_faces:
    """Finding the faces in {wildcards.video}."""
    input:
        *WEIGHT_LIST.below(config["faces"]["weights"]),
        media="results/media/{video}.mp4",
        shots="results/shots/{video}.parquet",
        parts=PARTS.outputs("faces", "parquet"),
    output:
        faces=intermediate("results/faces/{video}.parquet"),
    log:
        "results/logs/faces/{video}.log",
    benchmark:
        "results/benchmarks/faces/{video}.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("faces", "faces", length=length_of_part),
        runtime=minutes("faces", "faces", length=length_of_part),
        tries=this_attempt,
        gpu=PARTS.unless_joined(gpu_if("faces")),
    params:
        failures=times_failed("faces"),
        settings=flags("faces"),
    shell:
        "talking --gpus {resources.gpu} detect-faces --media {input.media:q} --shots {input.shots:q} --faces {output.faces:q}"
        " --video-part {output.faces:q} --video-parts {input.parts:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? detect_faces {wildcards.video} {resources.tries} {log:q} {output:q}"


rule track_faces:
    """Joining the faces of {wildcards.video} into tracks, and finding their landmarks."""
    input:
        *WEIGHT_LIST.below(config["embeddings"]["weights"]),
        media="results/media/{video}.mp4",
        faces="results/faces/{video}.parquet",
        shots="results/shots/{video}.parquet",
        parts=PARTS.outputs("tracks", "parquet"),
        parts_of_landmarks=PARTS.outputs("landmarks", "npz"),
    output:
        tracks="results/tracks/{video}.parquet",
        landmarks=intermediate("results/landmarks/{video}.npz"),
    log:
        "results/logs/tracks/{video}.log",
    benchmark:
        "results/benchmarks/tracks/{video}.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("tracks", length=length_of_part),
        disk_mb=disk_mb("tracks"),
        runtime=minutes("tracks", length=length_of_part),
        tries=this_attempt,
    params:
        failures=times_failed("tracks"),
        settings=flags("tracks"),
        looks=as_flags({f"looks_{key}": config["embeddings"][key] for key in ("model", "weights")}),
        landmarks=flags("landmarks"),
    shell:
        "talking --gpus 0 track-faces --media {input.media:q} --faces {input.faces:q} --shots {input.shots:q}"
        " --tracks {output.tracks:q} --video-part {output.tracks:q} --video-parts {input.parts:q} {params.settings} {params.looks}"
        " --then mark-landmarks --media {input.media:q} --tracks {output.tracks:q} --landmarks {output.landmarks:q}"
        " --video-parts {input.parts_of_landmarks:q} {params.landmarks}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? track_faces {wildcards.video} {resources.tries} {log:q} {output:q}"


rule embed_faces:
    """Embedding the faces of {wildcards.video}."""
    input:
        *WEIGHT_LIST.below(config["embeddings"]["weights"]),
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        parts=PARTS.outputs("embeddings", "npz"),
    output:
        embeddings="results/embeddings/{video}.npz",
    log:
        "results/logs/embeddings/{video}.log",
    benchmark:
        "results/benchmarks/embeddings/{video}.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("embeddings", "embeddings", length=length_of_part),
        runtime=minutes("embeddings", "embeddings", length=length_of_part),
        tries=this_attempt,
        gpu=PARTS.unless_joined(gpu_if("embeddings")),
    params:
        failures=times_failed("embeddings"),
        settings=flags("embeddings"),
    shell:
        "talking --gpus {resources.gpu} embed-faces --tracks {input.tracks:q}"
        " --landmarks {input.landmarks:q} --embeddings {output.embeddings:q}"
        " --video-part {output.embeddings:q} --video-parts {input.parts:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? embed_faces {wildcards.video} {resources.tries} {log:q} {output:q}"
