rule score_speaking:
    """Watching the lips of {wildcards.video} for who speaks, with the model {params.model}."""
    input:
        media="results/media/{video}.mp4",
        sound="results/media/{video}.wav",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        voice="results/voice/{video}.parquet",
        weights=weights_below(config["speaking"]["weights"]),
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
        mem_mb=memory_mb("asd", "speaking"),
        disk_mb=disk_mb("asd"),
        runtime=minutes("asd"),
        gpu=gpu_if("speaking"),
    params:
        model=config["speaking"]["model"],
        settings=flags("speaking"),
    shell:
        "python -P -m score_speaking --media {input.media:q} --sound {input.sound:q} --tracks {input.tracks:q}"
        " --landmarks {input.landmarks:q} --voice {input.voice:q} --asd {output.asd:q} {params.settings} > {log:q} 2>&1"
