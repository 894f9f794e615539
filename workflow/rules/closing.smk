rule check_strict:
    """Checking that every video could be read (strict)."""
    input:
        probes=of_videos("results/media/{video}.json"),
    output:
        ok="results/strict.ok",
    log:
        "results/logs/strict.log",
    benchmark:
        "results/benchmarks/strict.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(500),
        runtime=each_attempt(10),
    params:
        results=subpath(output.ok, parent=True),
    shell:
        'talking summarise-run --results {params.results:q} --sheet "$TALKING_SHEET" --strict {output.ok:q}'
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule check_failures:
    """Checking that no stage has failed on a video."""
    input:
        videos="results/videos.parquet",
        report="results/report/clips.html",
    output:
        ok="results/no_failures.ok",
    log:
        "results/logs/failures.log",
    benchmark:
        "results/benchmarks/failures.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(500),
        runtime=each_attempt(10),
    params:
        results=subpath(output.ok, parent=True),
    shell:
        'talking summarise-run --results {params.results:q} --sheet "$TALKING_SHEET" --no-failures {output.ok:q}'
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
