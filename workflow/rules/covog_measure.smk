rule evaluate_covog:
    """Generating the clips that training has not seen, and measuring them."""
    input:
        config="results/covog/covog/config.yaml",
        clips=covog_clips,
        weights=expand("results/covog/{covog_model}/stage2/weights.safetensors", covog_model=COVOG_MODELS),
        encoders=COVOG_ENCODERS,
        metrics=COVOG_METRICS,
    output:
        metrics="results/covog/metrics.parquet",
        videos=report(
            directory("results/covog/videos"),
            patterns=["{model}/compared/{clip}.mp4"],
            caption="../report/covog_compared.rst",
            category="5 CovOG",
            subcategory="Videos",
            labels={"model": "{model}", "clip": "{clip}"},
        ),
    log:
        "results/logs/covog/evaluate.log",
    benchmark:
        "results/benchmarks/covog/evaluate.tsv"
    conda:
        "../envs/covog.yaml"
    threads: COVOG_THREADS
    resources:
        mem_mb=each_attempt(8000 if COVOG["preset"] == "tiny" else 32000),
        runtime=each_attempt(720),
        gpu=1 if COVOG["gpu"] else 0,
    params:
        # The untrained model has the widths of the model before it.
        models=[
            f"--model {m}={shlex.quote(in_results(f'results/covog/{m}/stage2/weights.safetensors'))}"
            + " --model untrained=random" * (m == "covog")
            for m in COVOG_MODELS
        ],
        dataset=subpath(input.clips, parent=True),
        folder=as_flags({"weights_dir": METRICS_FOLDER or None}),
    shell:
        "talking --gpus {resources.gpu} evaluate-covog --config {input.config:q} --dataset {params.dataset:q} {params.models}"
        " --videos {output.videos:q} --metrics {output.metrics:q} {params.folder}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule draw_covog_report:
    """Drawing CovOG's training curves and its table of metrics."""
    input:
        losses=expand("results/covog/{covog_model}/stage{stage}/losses.parquet", covog_model=COVOG_MODELS, stage=[1, 2]),
        metrics="results/covog/metrics.parquet",
    output:
        curves=report("results/report/covog_curves.svg", caption="../report/covog_curves.rst", category="5 CovOG"),
        metrics=report("results/report/covog_metrics.html", caption="../report/covog_metrics.rst", category="5 CovOG"),
    log:
        "results/logs/covog/report.log",
    benchmark:
        "results/benchmarks/covog/report.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(2000),
        runtime=each_attempt(10),
    shell:
        "talking draw-covog-report --losses {input.losses:q} --metrics {input.metrics:q} --curves {output.curves:q}"
        " --table {output.metrics:q}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule covog:
    """CovOG is trained and measured: results/covog, results/report/covog_metrics.html."""
    input:
        "results/covog/metrics.parquet",
        "results/report/covog_metrics.html",
    localrule: True
