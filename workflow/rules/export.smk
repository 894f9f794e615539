rule export_mit:
    """Exporting the data set in the layout that the MIT data set was published in."""
    input:
        splits=expand("results/dataset/splits/{split}.json", split=SPLITS),
    output:
        lists=expand("results/export/mit/{split}.json", split=SPLITS),
        readme="results/export/mit/README.md",
    log:
        "results/logs/export_mit.log",
    benchmark:
        "results/benchmarks/export_mit.tsv"
    conda:
        "../envs/poses.yaml"
    threads: 4
    resources:
        mem_mb=each_attempt(8000),
        runtime=each_attempt(480),
    params:
        dataset=subpath(input[0], ancestor=2),
        folder=subpath(output.readme, parent=True),
        settings=flags("export_mit"),
        protection=flags("export"),
    shell:
        "talking export-mit --dataset {params.dataset:q} --out {params.folder:q} --threads {threads}"
        " {params.settings} {params.protection}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule export_voices:
    """Exporting the data set with one voice a person, as MultiTalk and AnyTalker read it."""
    input:
        splits=expand("results/dataset/splits/{split}.json", split=SPLITS),
    output:
        lists=expand("results/export/voices/anytalker_{split}.json", split=SPLITS),
    log:
        "results/logs/export_voices.log",
    benchmark:
        "results/benchmarks/export_voices.tsv"
    conda:
        "../envs/poses.yaml"
    threads: 4
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(480),
    params:
        dataset=subpath(input[0], ancestor=2),
        folder=subpath(output[0], parent=True),
        settings=flags("export_voices"),
        protection=flags("export"),
    shell:
        "talking export-voices --dataset {params.dataset:q} --out {params.folder:q} --threads {threads}"
        " {params.settings} {params.protection}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule export_webdataset:
    """Exporting the data set as WebDataset shards."""
    input:
        splits=expand("results/dataset/splits/{split}.json", split=SPLITS),
    output:
        shards=directory("results/export/webdataset"),
    log:
        "results/logs/export_webdataset.log",
    benchmark:
        "results/benchmarks/export_webdataset.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(2000),
        runtime=each_attempt(240),
    params:
        dataset=subpath(input[0], ancestor=2),
        settings=flags("export_webdataset"),
        protection=flags("export"),
    shell:
        "talking export-webdataset --dataset {params.dataset:q} --out {output.shards:q} {params.settings} {params.protection}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule export_huggingface:
    """Exporting the data set as Parquet shards for the library datasets of Hugging Face."""
    input:
        splits=expand("results/dataset/splits/{split}.json", split=SPLITS),
        card="results/dataset/README.md",
    output:
        folder=directory("results/export/huggingface"),
    log:
        "results/logs/export_huggingface.log",
    benchmark:
        "results/benchmarks/export_huggingface.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(2000),
        runtime=each_attempt(240),
    params:
        dataset=subpath(input[0], ancestor=2),
        settings=flags("export_huggingface"),
        protection=flags("export"),
    shell:
        "talking export-huggingface --dataset {params.dataset:q} --out {output.folder:q} {params.settings} {params.protection}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
