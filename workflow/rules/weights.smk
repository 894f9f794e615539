wildcard_constraints:
    weight="|".join(map(re.escape, WEIGHTS)),


rule fetch_weight:
    """Fetching {wildcards.weight}."""
    output:
        weight="results/weights/{weight}",
    log:
        "results/logs/weights/{weight}.log",
    benchmark:
        "results/benchmarks/weights/{weight}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(1000),
        runtime=each_attempt(240),
    params:
        # What the list says of this file alone: another entry's change fetches nothing again.
        entry=lambda wildcards: json.dumps(WEIGHTS[wildcards.weight]),
        folder=f"--weights-dir {shlex.quote(COVOG['weights_dir'])}" if COVOG["weights_dir"] else "",
    shell:
        "talking fetch-weight --entry {params.entry:q} --name {wildcards.weight:q} --out {output.weight:q} {params.folder}"
        " > {log:q} 2>&1"


rule fetch_weights:
    """All weights that the config's models need are in results/weights."""
    input:
        weights_wanted(),
    localrule: True
