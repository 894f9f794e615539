wildcard_constraints:
    covog_model="covog|baseline",


rule configure_covog:
    """Writing the settings of {wildcards.covog_model} (preset {params.preset})."""
    output:
        config="results/covog/{covog_model}/config.yaml",
    log:
        "results/logs/covog/{covog_model}/configure.log",
    benchmark:
        "results/benchmarks/covog/{covog_model}/configure.tsv"
    conda:
        "../envs/covog.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(1000),
        runtime=each_attempt(5),
    params:
        preset=COVOG["preset"],
        content=checksums.sha256(presets.file_of(COVOG["preset"])),
        settings=json.dumps(COVOG["settings"]),
        baseline=lambda wildcards: "--baseline" if wildcards.covog_model == "baseline" else "",
    shell:
        "talking configure-covog --preset {params.preset} --settings {params.settings:q}"
        " --out {output.config:q} {params.baseline}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule convert_checkpoints:
    """Converting the published weights that {wildcards.covog_model} starts from."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        files=COVOG_START,
    output:
        weights="results/covog/{covog_model}/start.safetensors",
    log:
        "results/logs/covog/{covog_model}/convert.log",
    benchmark:
        "results/benchmarks/covog/{covog_model}/convert.tsv"
    conda:
        "../envs/covog.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(24000),
        runtime=each_attempt(30),
    shell:
        "talking convert-checkpoint --config {input.config:q} --read {input.files:q}"
        " --write {output.weights:q}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule cache_latents:
    """Computing what the frozen networks make of the data set's frames."""
    input:
        config="results/covog/covog/config.yaml",
        clips=covog_clips,
        encoders=COVOG_ENCODERS,
    output:
        done=touch("results/covog/latents.done"),
    log:
        "results/logs/covog/latents.log",
    benchmark:
        "results/benchmarks/covog/latents.tsv"
    conda:
        "../envs/covog.yaml"
    threads: COVOG_THREADS
    resources:
        mem_mb=each_attempt(8000),
        runtime=each_attempt(720),
        gpu=1 if COVOG["gpu"] else 0,
    params:
        dataset=subpath(input.clips, parent=True),
        latents=subpath(output.done, strip_suffix=".done"),
    shell:
        "talking --gpus {resources.gpu} cache-latents --config {input.config:q} --dataset {params.dataset:q}"
        " --latents {params.latents:q}"
        " --then record-made {log:q} {params.latents:q} > {log:q} 2>&1"


rule train_stage1:
    """Training {wildcards.covog_model} on stills; checkpoints in results/covog/{wildcards.covog_model}/stage1/checkpoints."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        clips=covog_clips,
        latents=covog_latents,
        start=covog_start,
        encoders=COVOG_ENCODERS,
    output:
        weights="results/covog/{covog_model}/stage1/weights.safetensors",
        losses="results/covog/{covog_model}/stage1/losses.parquet",
    log:
        "results/logs/covog/{covog_model}/stage1.log",
    benchmark:
        "results/benchmarks/covog/{covog_model}/stage1.tsv"
    conda:
        "../envs/covog.yaml"
    threads: COVOG_THREADS
    resources:
        **COVOG_NODES,
        mem_mb=each_attempt(8000 if COVOG["preset"] == "tiny" else 64000),
        # A further attempt continues from the last checkpoint.
        runtime=1440,
        gpu=COVOG["gpu"] * COVOG["nodes"],
    params:
        dataset=subpath(input.clips, parent=True),
        folder=subpath(output.weights, parent=True),
        latents=as_flags({"latents": "results/covog/latents" if COVOG["cache_latents"] else None}),
    shell:
        'exec bash -c "exec $COVOG_LAUNCHER"\' "$@"\' - train-covog --stage 1 --config {input.config:q} --dataset {params.dataset:q}'
        " --folder {params.folder:q} --start {input.start:q} {params.latents} --allow-empty --log {log:q} >> {log:q} 2>&1"


rule train_stage2:
    """Training {wildcards.covog_model} on video and sound; checkpoints in results/covog/{wildcards.covog_model}/stage2/checkpoints."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        clips=covog_clips,
        latents=covog_latents,
        start=covog_start,
        encoders=COVOG_ENCODERS,
        stills="results/covog/{covog_model}/stage1/weights.safetensors",
    output:
        weights="results/covog/{covog_model}/stage2/weights.safetensors",
        losses="results/covog/{covog_model}/stage2/losses.parquet",
    log:
        "results/logs/covog/{covog_model}/stage2.log",
    benchmark:
        "results/benchmarks/covog/{covog_model}/stage2.tsv"
    conda:
        "../envs/covog.yaml"
    threads: COVOG_THREADS
    resources:
        **COVOG_NODES,
        mem_mb=each_attempt(8000 if COVOG["preset"] == "tiny" else 64000),
        # A further attempt continues from the last checkpoint.
        runtime=1440,
        gpu=COVOG["gpu"] * COVOG["nodes"],
    params:
        dataset=subpath(input.clips, parent=True),
        folder=subpath(output.weights, parent=True),
        latents=as_flags({"latents": "results/covog/latents" if COVOG["cache_latents"] else None}),
    shell:
        'exec bash -c "exec $COVOG_LAUNCHER"\' "$@"\' - train-covog --stage 2 --config {input.config:q} --dataset {params.dataset:q}'
        " --folder {params.folder:q} --start {input.start:q} {input.stills:q} {params.latents} --allow-empty --log {log:q} >> {log:q} 2>&1"
