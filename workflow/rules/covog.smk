import json

COVOG = config["covog"]
COVOG_MODELS = ["covog", "baseline"] if COVOG["baseline"] else ["covog"]
COVOG_PRESET = os.path.join(workflow.basedir, "../config/presets", f"covog_{COVOG['preset']}.yaml")


wildcard_constraints:
    covog_model="covog|baseline",


def covog_launcher(wildcards, resources):
    """Return what starts the training: python, accelerate's launcher on several GPUs, or the config's own words."""
    if COVOG["launcher"]:
        return COVOG["launcher"]
    several = f"accelerate launch --multi_gpu --num_processes {resources.gpu} --module"
    return several if resources.gpu > 1 else "python -P -m"


def covog_start(wildcards):
    """Return the converted published weights, if the config names any."""
    return f"results/covog/{wildcards.covog_model}/start.safetensors" if COVOG["start"] else []


def covog_latents(wildcards):
    """Return the mark that says the cache is filled, if the config wants one."""
    return "results/covog/latents.done" if COVOG["cache_latents"] else []


rule configure_covog:
    """Writing the settings of {wildcards.covog_model} (preset {config[covog][preset]})."""
    input:
        preset=COVOG_PRESET,
    output:
        config="results/covog/{covog_model}/config.yaml",
    log:
        "results/logs/covog/{covog_model}/configure.log",
    conda:
        "../envs/covog.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=json.dumps(COVOG["settings"]),
        baseline=lambda wildcards: "--baseline" if wildcards.covog_model == "baseline" else "",
    shell:
        "python -P -m configure_covog --preset {input.preset:q} --settings {params.settings:q}"
        " --out {output.config:q} {params.baseline} > {log:q} 2>&1"


rule convert_checkpoints:
    """Converting the published weights that {wildcards.covog_model} starts from."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        files=COVOG["start"],
    output:
        weights="results/covog/{covog_model}/start.safetensors",
    log:
        "results/logs/covog/{covog_model}/convert.log",
    conda:
        "../envs/covog.yaml"
    threads: 1
    resources:
        mem_mb=24000,
        runtime=30,
    shell:
        "python -P -m convert_checkpoint --config {input.config:q} --read {input.files:q}"
        " --write {output.weights:q} > {log:q} 2>&1"


rule cache_latents:
    """Computing what the frozen networks make of the data set's frames."""
    input:
        config="results/covog/covog/config.yaml",
        clips="results/dataset/clips.parquet",
    output:
        touch("results/covog/latents.done"),
    log:
        "results/logs/covog/latents.log",
    benchmark:
        "results/benchmarks/covog/latents.tsv"
    conda:
        "../envs/covog.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=1 if COVOG["gpu"] else 0,
    params:
        dataset="results/dataset",
        latents="results/covog/latents",
    shell:
        "python -P -m cache_latents --config {input.config:q} --dataset {params.dataset:q}"
        " --latents {params.latents:q} > {log:q} 2>&1"


rule train_stage1:
    """Training {wildcards.covog_model} on stills; checkpoints in results/covog/{wildcards.covog_model}/stage1/checkpoints."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        clips="results/dataset/clips.parquet",
        latents=covog_latents,
        start=covog_start,
    output:
        weights="results/covog/{covog_model}/stage1/weights.safetensors",
        losses="results/covog/{covog_model}/stage1/losses.parquet",
    log:
        "results/logs/covog/{covog_model}/stage1.log",
    benchmark:
        "results/benchmarks/covog/{covog_model}/stage1.tsv"
    conda:
        "../envs/covog.yaml"
    threads: 2
    resources:
        mem_mb=8000 if COVOG["preset"] == "tiny" else 64000,
        runtime=1440,
        gpu=COVOG["gpu"],
    params:
        launcher=covog_launcher,
        dataset="results/dataset",
        folder=subpath(output.weights, parent=True),
        latents="--latents results/covog/latents" if COVOG["cache_latents"] else "",
    shell:
        "exec {params.launcher} train_covog --stage 1 --config {input.config:q} --dataset {params.dataset:q}"
        " --folder {params.folder:q} --start {input.start:q} {params.latents} >> {log:q} 2>&1"


rule train_stage2:
    """Training {wildcards.covog_model} on video and sound; checkpoints in results/covog/{wildcards.covog_model}/stage2/checkpoints."""
    input:
        config="results/covog/{covog_model}/config.yaml",
        clips="results/dataset/clips.parquet",
        latents=covog_latents,
        start=covog_start,
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
    threads: 2
    resources:
        mem_mb=8000 if COVOG["preset"] == "tiny" else 64000,
        runtime=1440,
        gpu=COVOG["gpu"],
    params:
        launcher=covog_launcher,
        dataset="results/dataset",
        folder=subpath(output.weights, parent=True),
        latents="--latents results/covog/latents" if COVOG["cache_latents"] else "",
    shell:
        "exec {params.launcher} train_covog --stage 2 --config {input.config:q} --dataset {params.dataset:q}"
        " --folder {params.folder:q} --start {input.start:q} {input.stills:q} {params.latents} >> {log:q} 2>&1"


rule evaluate_covog:
    """Generating the clips that training has not seen, and measuring them."""
    input:
        config="results/covog/covog/config.yaml",
        clips="results/dataset/clips.parquet",
        weights=expand("results/covog/{covog_model}/stage2/weights.safetensors", covog_model=COVOG_MODELS),
    output:
        metrics="results/covog/metrics.parquet",
        videos=directory("results/covog/videos"),
    log:
        "results/logs/covog/evaluate.log",
    benchmark:
        "results/benchmarks/covog/evaluate.tsv"
    conda:
        "../envs/covog.yaml"
    threads: 2
    resources:
        mem_mb=8000 if COVOG["preset"] == "tiny" else 32000,
        runtime=720,
        gpu=1 if COVOG["gpu"] else 0,
    params:
        # The untrained model has the widths of the one before it.
        models=[
            f"--model {m}=results/covog/{m}/stage2/weights.safetensors" + " --model untrained=random" * (m == "covog")
            for m in COVOG_MODELS
        ],
        dataset="results/dataset",
        weights_dir=f"--weights-dir {shlex.quote(COVOG['weights_dir'])}" if COVOG["weights_dir"] else "",
    shell:
        "python -P -m evaluate_covog --config {input.config:q} --dataset {params.dataset:q} {params.models}"
        " --videos {output.videos:q} --metrics {output.metrics:q} {params.weights_dir} > {log:q} 2>&1"


rule covog:
    """CovOG's weights, videos and metrics are in results/covog."""
    input:
        "results/covog/metrics.parquet",
    localrule: True
