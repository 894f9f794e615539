rule embed_sound:
    """Embedding the sound of {wildcards.video} ({params.model})."""
    input:
        *WEIGHT_LIST.below(config["sound"]["weights"]),
        *WEIGHT_LIST.below(config["sound"]["separation_weights"]),
        *WEIGHT_LIST.below(config["sound"]["overlap_weights"]),
        sound="results/media/{video}.wav",
        candidates="results/candidates/{video}.parquet",
        speaking=branch(
            config["sound"]["sound_mode"] == "per_person",
            then="results/speaking/{video}.parquet",
        ),
    output:
        embedded=directory("results/sound/{video}"),
    log:
        "results/logs/sound/{video}.log",
    benchmark:
        "results/benchmarks/sound/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("sound", "sound"),
        disk_mb=disk_mb("sound", "sound"),
        runtime=minutes("sound", "sound"),
        tries=this_attempt,
        gpu=gpu_if("sound"),
    params:
        failures=times_failed("sound"),
        model=config["sound"]["model"],
        settings=flags("sound"),
        results=subpath(output.embedded, ancestor=2),
    shell:
        "OMP_NUM_THREADS={threads} talking --gpus {resources.gpu} embed-sound --sound {input.sound:q}"
        " --candidates {input.candidates:q} --speaking {input.speaking:q} --embedded {output.embedded:q}"
        " --dataset {params.results:q}/dataset"
        " {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? embed_sound {wildcards.video} {resources.tries} {log:q} {output:q}"
