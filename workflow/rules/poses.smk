rule estimate_poses:
    """Estimating the poses of the people in {wildcards.video} ({params.model})."""
    input:
        *WEIGHT_LIST.below(config["poses"]["sapiens_weights"]),
        media="results/media/{video}.mp4",
        candidates="results/candidates/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        parts=PARTS.outputs("poses", "npz"),
    output:
        poses="results/poses/{video}.npz",
    log:
        "results/logs/poses/{video}.log",
    benchmark:
        "results/benchmarks/poses/{video}.tsv"
    conda:
        "../envs/poses.yaml"
    threads: 2
    resources:
        mem_mb=memory_mb("poses", "poses", length=length_of_part),
        disk_mb=disk_mb("poses"),
        runtime=minutes("poses", "poses", length=length_of_part),
        tries=this_attempt,
        gpu=PARTS.unless_joined(gpu_if("poses")),
    params:
        failures=times_failed("poses"),
        model=config["poses"]["model"],
        settings=flags("poses"),
    shell:
        "talking --gpus {resources.gpu} estimate-poses --media {input.media:q} --candidates {input.candidates:q}"
        " --tracks {input.tracks:q} --landmarks {input.landmarks:q} --poses {output.poses:q}"
        " --video-part {output.poses:q} --video-parts {input.parts:q} --threads {threads} {params.settings} $TALKING_LOOKS"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? estimate_poses {wildcards.video} {resources.tries} {log:q} {output:q}"
