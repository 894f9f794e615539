rule draw_gallery:
    """Making the gallery, a page that plays every clip and every rejected segment with its labels."""

    # The files of clips that have not changed stay: they are no outputs, which Snakemake would delete.
    input:
        clips="results/dataset/clips.parquet",
        videos="results/videos.parquet",
    output:
        page="results/gallery/index.html",
    log:
        "results/logs/gallery.log",
    benchmark:
        "results/benchmarks/gallery.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 2
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(120),
    params:
        results=subpath(output.page, ancestor=2),
        folder=subpath(output.page, parent=True),
        # With delete_intermediates, nothing is left of the videos to play rejected segments from.
        settings=as_flags(config["gallery"] | ({"rejected": False} if config["delete_intermediates"] else {})),
        gates=flags("gates"),
        review=decisions.checksum(d for own in REVIEW.values() for d in own),
        removals=REMOVALS.checksum(),
    shell:
        "talking draw-gallery --results {params.results:q} --gallery {params.folder:q} --threads {threads}"
        ' {params.settings} {params.gates} --review "$TALKING_REVIEW" --removals "$TALKING_REMOVALS"'
        " --then record-made {log:q} {params.folder:q} > {log:q} 2>&1"


rule gallery:
    """The gallery is in results/gallery."""
    input:
        "results/gallery/index.html",
    localrule: True
