rule detect_shots:
    """Finding the shots of {wildcards.video} and how its camera moves."""
    input:
        media="results/media/{video}.mp4",
    output:
        shots="results/shots/{video}.parquet",
    log:
        "results/logs/shots/{video}.log",
    benchmark:
        "results/benchmarks/shots/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("shots"),
        runtime=minutes("shots"),
        tries=this_attempt,
    params:
        failures=times_failed("shots"),
        settings=flags("shots"),
    shell:
        "talking detect-shots --media {input.media:q} --shots {output.shots:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? detect_shots {wildcards.video} {resources.tries} {log:q} {output:q}"
