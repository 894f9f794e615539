from covog import weights
from covog.weight_list import WeightList

WEIGHTS = yaml.safe_load(weights.list_file().read_text())


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
        folder=as_flags({"weights_dir": config["covog"]["weights_dir"] or None}),
    shell:
        "talking fetch-weight --entry {params.entry:q} --name {wildcards.weight:q} --out {output.weight:q} {params.folder}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


# Where results are: a module's lie below its prefix.
RESULTS = Path(rules.fetch_weight.output.weight).parents[1]
WEIGHT_LIST = WeightList(WEIGHTS, RESULTS)
# The fetched weights of a use by CovOG, if its preset starts from published ones.
published_weights = WEIGHT_LIST.used_for if config["covog"]["preset"] == "paper" else lambda use: []
IS_TRAINING = config["covog"]["train"] != "never"
OF_COVOG = [file for use in ("start", "encoders", "metrics") for file in published_weights(use)] if IS_TRAINING else []
WEIGHTS_WANTED = WEIGHT_LIST.wanted(config, OF_COVOG)


rule fetch_weights:
    """All weights that the config's models need are in results/weights."""
    input:
        WEIGHTS_WANTED,
    localrule: True
