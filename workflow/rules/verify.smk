rule verify:
    """Checking every file of the results against the checksums that its job has written."""
    log:
        "results/logs/verify.log",
    benchmark:
        "results/benchmarks/verify.tsv"
    # A retry would find the same damage.
    retries: 0
    conda:
        "../envs/dataset.yaml"
    threads: 4
    resources:
        mem_mb=each_attempt(1000),
        runtime=each_attempt(720),
    params:
        results=str(RESULTS),
        mending="",
    shell:
        'talking verify-store --results {params.results:q} --sheet "$TALKING_SHEET" --threads {threads} {params.mending}'
        " 2>&1 | tee {log:q}"


use rule verify as remove_damaged with:
    log:
        "results/logs/remove_damaged.log",
    benchmark:
        "results/benchmarks/remove_damaged.tsv"
    params:
        results=str(RESULTS),
        mending="--remove",
    message:
        "Removing damaged files of the results and what was made of them."
