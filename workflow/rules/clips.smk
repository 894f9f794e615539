rule find_candidates:
    """Finding the segments of {wildcards.video} in which the same people take part."""
    input:
        media="results/media/{video}.mp4",
        shots="results/shots/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        people="results/people/{video}.parquet",
        voice="results/voice/{video}.parquet",
    output:
        candidates="results/candidates/{video}.parquet",
    log:
        "results/logs/candidates/{video}.log",
    benchmark:
        "results/benchmarks/candidates/{video}.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("candidates"),
        runtime=minutes("candidates"),
        tries=this_attempt,
    params:
        failures=times_failed("candidates"),
        source=from_sheet("source"),
        settings=flags("clips"),
    shell:
        "talking find-candidates --video={wildcards.video:q} --source={params.source:q} --media {input.media:q}"
        " --shots {input.shots:q} --tracks {input.tracks:q} --people {input.people:q} --voice {input.voice:q}"
        " --candidates {output.candidates:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? find_candidates {wildcards.video} {resources.tries} {log:q} {output:q}"


rule measure_qualities:
    """Measuring faces, talk and exchange in the candidate clips of {wildcards.video}."""
    input:
        media="results/media/{video}.mp4",
        candidates="results/candidates/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        speaking="results/speaking/{video}.parquet",
        voice="results/voice/{video}.parquet",
        rttm="results/speech/{video}.rttm",
    output:
        qualities="results/qualities/{video}.parquet",
    log:
        "results/logs/qualities/{video}.log",
    benchmark:
        "results/benchmarks/qualities/{video}.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("qualities"),
        runtime=minutes("qualities"),
        tries=this_attempt,
    params:
        failures=times_failed("qualities"),
        settings=flags("qualities"),
    shell:
        "talking measure-qualities --media {input.media:q} --candidates {input.candidates:q} --tracks {input.tracks:q}"
        " --landmarks {input.landmarks:q} --speaking {input.speaking:q} --voice {input.voice:q} --rttm {input.rttm:q}"
        " --qualities {output.qualities:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? measure_qualities {wildcards.video} {resources.tries} {log:q} {output:q}"


rule inspect_clips:
    """Looking for hands and captions over faces and for people without a face in {wildcards.video}, and computing fingerprints of its candidate clips."""
    input:
        media="results/media/{video}.mp4",
        sound="results/media/{video}.wav",
        candidates="results/candidates/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        poses="results/poses/{video}.npz",
        parts=PARTS.outputs("inspections", "parquet"),
    output:
        inspections="results/inspections/{video}.parquet",
    log:
        "results/logs/inspections/{video}.log",
    benchmark:
        "results/benchmarks/inspections/{video}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("inspections", length=length_of_part),
        runtime=minutes("inspections", length=length_of_part),
        tries=this_attempt,
    params:
        failures=times_failed("inspections"),
    shell:
        "OMP_NUM_THREADS={threads} talking inspect-clips --media {input.media:q} --sound {input.sound:q}"
        " --candidates {input.candidates:q} --tracks {input.tracks:q} --poses {input.poses:q}"
        " --inspections {output.inspections:q} --video-part {output.inspections:q} --video-parts {input.parts:q}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? inspect_clips {wildcards.video} {resources.tries} {log:q} {output:q}"


rule select_clips:
    """Applying the gates to the candidate clips of {wildcards.video}."""
    input:
        candidates="results/candidates/{video}.parquet",
        qualities="results/qualities/{video}.parquet",
        inspections="results/inspections/{video}.parquet",
        transcript="results/speech/{video}.transcript.parquet",
        pieces="results/speech/{video}.pieces.parquet",
    output:
        clips="results/clips/{video}.parquet",
    log:
        "results/logs/clips/{video}.log",
    benchmark:
        "results/benchmarks/clips/{video}.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("clips"),
        runtime=minutes("clips"),
        tries=this_attempt,
    params:
        failures=times_failed("clips"),
        settings=flags("gates"),
        review=reviewed(),
        removals=of_video(REMOVALS.checksum) if REMOVALS.rows else "",
        same_person=lookup(within=config, dpath="identities/same_person"),
        results=subpath(output.clips, ancestor=2),
    shell:
        "talking select-clips --candidates {input.candidates:q} --qualities {input.qualities:q}"
        " --inspections {input.inspections:q} --transcript {input.transcript:q} --pieces {input.pieces:q}"
        " --clips {output.clips:q} {params.settings}"
        ' --then apply-review --review "$TALKING_REVIEW" --video={wildcards.video:q} --to clips --table {output.clips:q}'
        # Where removed persons are is looked up in tables that the inputs are made of.
        ' --then apply-removals --removals "$TALKING_REMOVALS" --video={wildcards.video:q} --results {params.results:q}'
        " --same-person {params.same_person} --clips {output.clips:q}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? select_clips {wildcards.video} {resources.tries} {log:q} {output:q}"
