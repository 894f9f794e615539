rule download_video:
    """Downloading {wildcards.video}."""
    output:
        file=intermediate("results/downloads/{video}.bin"),
        state="results/downloads/{video}.json",
    log:
        "results/logs/downloads/{video}.log",
    benchmark:
        "results/benchmarks/downloads/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(300),
        runtime=each_attempt(240),
        tries=this_attempt,
    params:
        failures=times_failed("downloads"),
        row=of_video(ROWS.content_of),
        # A higher number retries a download that failed for a reason that may pass.
        tries=of_video(lambda video: fetch.tries_in_vain(RESULTS / f"downloads/{video}.json")),
    shell:
        'talking download-video --sheet "$TALKING_SHEET" --video {wildcards.video} '
        "--file {output.file:q} --state {output.state:q} --tries {params.tries}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? download_video {wildcards.video} {resources.tries} {log:q} {output:q}"


rule ingest_media:
    """Turning {wildcards.video} into 25 frames a second and 16 kHz sound."""
    input:
        source=of_video(ROWS.input_of),
    output:
        media=intermediate("results/media/{video}.mp4"),
        wav=intermediate("results/media/{video}.wav"),
        probe="results/media/{video}.json",
    log:
        "results/logs/media/{video}.log",
    benchmark:
        "results/benchmarks/media/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 2
    resources:
        mem_mb=memory_mb("media"),
        disk_mb=disk_mb("media"),
        runtime=minutes("media"),
        tries=this_attempt,
    params:
        failures=times_failed("media"),
        row=of_video(ROWS.content_of),
        results=subpath(output.probe, ancestor=2),
        settings=flags("ingest"),
    shell:
        'talking ingest-media --sheet "$TALKING_SHEET" --video {wildcards.video} --results {params.results:q}'
        " --media {output.media:q} --wav {output.wav:q} --probe {output.probe:q} --threads {threads} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? ingest_media {wildcards.video} {resources.tries} {log:q} {output:q}"


rule restore_media:
    """Giving {wildcards.video} to cut clips from, also once delete_intermediates has deleted results/media."""

    # The source is no input: a deleted download, and all that was made from it, would be rebuilt.
    input:
        probe="results/media/{video}.json",
    output:
        media=temp("results/restored/{video}.mp4"),
        wav=temp("results/restored/{video}.wav"),
    log:
        "results/logs/restored/{video}.log",
    benchmark:
        "results/benchmarks/restored/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 2
    resources:
        mem_mb=memory_mb("media"),
        disk_mb=disk_mb("media"),
        runtime=minutes("media"),
        tries=this_attempt,
    params:
        failures=times_failed("restored"),
        results=subpath(input.probe, ancestor=2),
        settings=flags("ingest"),
    shell:
        'talking restore-media --sheet "$TALKING_SHEET" --video {wildcards.video} --results {params.results:q}'
        " --media {output.media:q} --wav {output.wav:q} --threads {threads} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? restore_media {wildcards.video} {resources.tries} {log:q} {output:q}"
