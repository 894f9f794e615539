rule detect_voice:
    """Listening for voices in {wildcards.video}."""
    input:
        sound="results/media/{video}.wav",
    output:
        voice="results/voice/{video}.parquet",
    log:
        "results/logs/voice/{video}.log",
    benchmark:
        "results/benchmarks/voice/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=flags("voice"),
    shell:
        "python {SCRIPTS}/detect_voice.py --sound {input.sound:q} --voice {output.voice:q} {params.settings} > {log:q} 2>&1"
