rule draw_report:
    """Drawing the report of {input.clips}."""
    input:
        clips="results/dataset/clips.parquet",
        videos="results/videos.parquet",
    output:
        funnel=report("results/report/funnel.svg", caption="../report/funnel.rst", category="1 Data set"),
        statistics=report("results/report/statistics.svg", caption="../report/statistics.rst", category="1 Data set"),
        clips=report("results/report/clips.html", caption="../report/clips.rst", category="2 Clips"),
        inputs=report("results/report/inputs.html", caption="../report/inputs.rst", category="3 Inputs"),
        run_times=report("results/report/run_times.svg", caption="../report/run_times.rst", category="4 Run times"),
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(30),
    params:
        results=subpath(output.funnel, ancestor=2),
        folder=subpath(output.funnel, parent=True),
        settings=flags("report"),
    shell:
        "talking draw-report --results {params.results:q} --report {params.folder:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
