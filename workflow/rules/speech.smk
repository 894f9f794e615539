rule detect_voice:
    """Finding speech in {wildcards.video}."""
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
        mem_mb=memory_mb("voice"),
        runtime=minutes("voice"),
        tries=this_attempt,
    params:
        failures=times_failed("voice"),
        settings=flags("voice"),
    shell:
        "talking detect-voice --sound {input.sound:q} --voice {output.voice:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? detect_voice {wildcards.video} {resources.tries} {log:q} {output:q}"


rule diarize:
    """Separating the voices of {wildcards.video} (diarization)."""
    input:
        *WEIGHT_LIST.below(config["diarization"]["weights"]),
        sound="results/media/{video}.wav",
        asd="results/asd/{video}.parquet",
        people="results/people/{video}.parquet",
        embeddings="results/embeddings/{video}.npz",
    output:
        turns="results/speech/{video}.rttm",
    log:
        "results/logs/diarize/{video}.log",
    benchmark:
        "results/benchmarks/diarize/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("diarize"),
        runtime=minutes("diarize", "diarization"),
        tries=this_attempt,
        gpu=gpu_if("diarization"),
    params:
        failures=times_failed("diarize"),
        same_person=lookup(within=config, dpath="identities/same_person"),
        settings=flags("diarization"),
    shell:
        "OMP_NUM_THREADS={threads} talking --gpus {resources.gpu} diarize --sound {input.sound:q} --asd {input.asd:q} --people {input.people:q} "
        "--embeddings {input.embeddings:q} --same-person {params.same_person} --turns {output.turns:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? diarize {wildcards.video} {resources.tries} {log:q} {output:q}"


rule transcribe:
    """Transcribing {wildcards.video}."""
    input:
        *WEIGHT_LIST.below(config["words"]["weights"]),
        *WEIGHT_LIST.below(config["words"]["aligner_weights"]),
        sound="results/media/{video}.wav",
        voice="results/voice/{video}.parquet",
    output:
        transcript="results/speech/{video}.transcript.parquet",
        pieces="results/speech/{video}.pieces.parquet",
    log:
        "results/logs/transcribe/{video}.log",
    benchmark:
        "results/benchmarks/transcribe/{video}.tsv"
    conda:
        "../envs/speech.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("transcribe", "words"),
        runtime=minutes("transcribe", "words"),
        tries=this_attempt,
        gpu=gpu_if("words"),
    params:
        failures=times_failed("transcribe"),
        settings=flags("words"),
    shell:
        "OMP_NUM_THREADS={threads} talking --gpus {resources.gpu} transcribe --sound {input.sound:q} --voice {input.voice:q} --transcript {output.transcript:q} "
        "--pieces {output.pieces:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? transcribe {wildcards.video} {resources.tries} {log:q} {output:q}"
