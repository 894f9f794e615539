rule embed_sound:
    """Embedding the sound of {wildcards.video} ({config[sound][model]})."""
    input:
        sound="results/media/{video}.wav",
        candidates="results/candidates/{video}.parquet",
        speaking=branch(
            config["sound"]["sound_mode"] == "per_person",
            then="results/speaking/{video}.parquet",
        ),
        weights=weights_below(config["sound"]["weights"]) + weights_below(config["sound"]["separation_weights"]),
    output:
        embedded="results/sound/{video}.npz",
    log:
        "results/logs/sound/{video}.log",
    benchmark:
        "results/benchmarks/sound/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("sound", "sound"),
        disk_mb=disk_mb("sound"),
        runtime=minutes("sound", "sound"),
        tries=this_attempt,
        gpu=gpu_if("sound"),
    params:
        settings=flags("sound"),
    shell:
        "OMP_NUM_THREADS={threads} on_gpus {resources.gpu} talking embed-sound --sound {input.sound:q}"
        " --candidates {input.candidates:q} --speaking {input.speaking:q} --embedded {output.embedded:q}"
        " {params.settings} > {log:q} 2>&1"
        " || give_up embed_sound {wildcards.video} {resources.tries} {log:q} {output:q}"
