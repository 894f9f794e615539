rule strict_check:
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
    shell:
        'python -P -m summarise_run --results results --sheet "$SHEET" --strict {output.ok} > {log:q} 2>&1'
