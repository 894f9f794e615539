def film_flags(wildcards):
    """Return the options of a film of the config."""
    if wildcards.film not in config["films"]:
        raise WorkflowError(f"{wildcards.film} is no film of the config; add it below films or correct the name.")
    return as_flags(config["films"][wildcards.film])


rule film_conversation:
    """Filming the conversation {wildcards.film}, whose truth is known."""
    output:
        film="results/films/{film}.mp4",
        truth=multiext(
            "results/films/{film}",
            ".rttm",
            ".frames.csv",
            ".boxes.csv",
            ".shots.csv",
            ".words.json",
            ".json",
        ),
    log:
        "results/logs/films/{film}.log",
    benchmark:
        "results/benchmarks/films/{film}.tsv"
    wildcard_constraints:
        film="[A-Za-z0-9][A-Za-z0-9_-]*",
    conda:
        "../envs/film.yaml"
    threads: 2
    resources:
        mem_mb=2500,
        runtime=30,
    params:
        settings=film_flags,
    shell:
        "python {SCRIPTS}/film_conversation.py --out {output.film:q} {params.settings} > {log:q} 2>&1"
