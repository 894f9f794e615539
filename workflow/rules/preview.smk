rule preview_clips:
    """Drawing the labels of {wildcards.video} into its clips, to watch."""
    input:
        # Only a video whose own labels have changed is drawn again: the data set, which names its people, changes with every video.
        annotations="results/annotations/{video}.parquet",
        clips=ancient("results/dataset/clips.parquet"),
    output:
        previews=directory("results/preview/{video}"),
    log:
        "results/logs/preview/{video}.log",
    benchmark:
        "results/benchmarks/preview/{video}.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 2
    resources:
        mem_mb=each_attempt(2000),
        runtime=each_attempt(60),
        tries=this_attempt,
    params:
        failures=times_failed("preview"),
        dataset=subpath(input.clips, parent=True),
        settings=flags("preview"),
        protection=flags("export"),
    shell:
        "talking preview-clips --video={wildcards.video:q} --clips {input.clips:q} --dataset {params.dataset:q}"
        " --previews {output.previews:q} {params.settings} {params.protection}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? preview_clips {wildcards.video} {resources.tries} {log:q} {output:q}"


rule preview:
    """All previews are in results/preview."""
    input:
        of_videos("results/preview/{video}"),
    localrule: True
