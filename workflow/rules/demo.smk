rule film_conversation:
    """Making the synthetic video {wildcards.film} with its truth."""
    output:
        film="results/films/{film}.mp4",
        truth=multiext(
            "results/films/{film}",
            ".rttm",
            ".frames.csv",
            ".boxes.csv",
            ".shots.csv",
            ".people.csv",
            ".hands.csv",
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
        mem_mb=each_attempt(2500),
        runtime=each_attempt(30),
    params:
        settings=film_flags,
    shell:
        "talking film-conversation --out {output.film:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
