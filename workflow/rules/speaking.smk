rule score_asd:
    """Scoring each face of {wildcards.video} for speaking ({params.model})."""
    input:
        *WEIGHT_LIST.below(config["speaking"]["weights"]),
        media="results/media/{video}.mp4",
        sound="results/media/{video}.wav",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        voice="results/voice/{video}.parquet",
        # Without a network it is quick, and compares the faces of the whole video with its sound.
        parts=PARTS.outputs("asd", "parquet", is_cut=config["speaking"]["model"] != "lip_sync"),
    output:
        asd="results/asd/{video}.parquet",
    log:
        "results/logs/asd/{video}.log",
    benchmark:
        "results/benchmarks/asd/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("asd", "speaking", length=length_of_part),
        runtime=minutes("asd", "speaking", length=length_of_part),
        tries=this_attempt,
        gpu=PARTS.unless_joined(gpu_if("speaking")),
    params:
        failures=times_failed("asd"),
        model=config["speaking"]["model"],
        settings=flags("speaking"),
    shell:
        "talking --gpus {resources.gpu} score-asd --media {input.media:q} --sound {input.sound:q} --tracks {input.tracks:q}"
        " --landmarks {input.landmarks:q} --voice {input.voice:q} --asd {output.asd:q}"
        " --video-part {output.asd:q} --video-parts {input.parts:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? score_asd {wildcards.video} {resources.tries} {log:q} {output:q}"


rule fuse_speaking:
    """Deciding who speaks when in {wildcards.video}, from faces, voices and turns."""
    input:
        asd="results/asd/{video}.parquet",
        voice="results/voice/{video}.parquet",
        turns="results/speech/{video}.rttm",
        people="results/people/{video}.parquet",
        embeddings="results/embeddings/{video}.npz",
    output:
        speaking="results/speaking/{video}.parquet",
    log:
        "results/logs/speaking/{video}.log",
    benchmark:
        "results/benchmarks/speaking/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("speaking"),
        runtime=minutes("speaking"),
        tries=this_attempt,
    params:
        failures=times_failed("speaking"),
        settings=flags("fusion"),
        model=config["speaking"]["model"],
        same_person=lookup(within=config, dpath="identities/same_person"),
        # Corrections are made by tracks and people, which the inputs are made of.
        review=reviewed("speaking"),
    shell:
        "talking fuse-speaking --asd {input.asd:q} --voice {input.voice:q} --turns {input.turns:q}"
        " --people {input.people:q} --embeddings {input.embeddings:q} --model {params.model} --same-person {params.same_person}"
        " --speaking {output.speaking:q} {params.settings}"
        ' --then apply-review --review "$TALKING_REVIEW" --video={wildcards.video:q} --to speaking --table {output.speaking:q}'
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? fuse_speaking {wildcards.video} {resources.tries} {log:q} {output:q}"
