rule find_people:
    """Finding who is a person in {wildcards.video}, and who takes part."""
    input:
        media="results/media/{video}.mp4",
        shots="results/shots/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        embeddings="results/embeddings/{video}.npz",
        asd="results/asd/{video}.parquet",
        voice="results/voice/{video}.parquet",
    output:
        people="results/people/{video}.parquet",
    log:
        "results/logs/people/{video}.log",
    benchmark:
        "results/benchmarks/people/{video}.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("people"),
        runtime=minutes("people"),
        tries=this_attempt,
    params:
        failures=times_failed("people"),
        settings=flags("people"),
        detector=config["faces"]["model"],
    shell:
        "talking find-people --media {input.media:q} --shots {input.shots:q} --tracks {input.tracks:q}"
        " --landmarks {input.landmarks:q} --embeddings {input.embeddings:q} --asd {input.asd:q} --voice {input.voice:q}"
        " --detector {params.detector} --people {output.people:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
        " || talking give-up $? find_people {wildcards.video} {resources.tries} {log:q} {output:q}"


rule cluster_identities:
    """Finding the same people across all videos."""
    input:
        embeddings=of_videos("results/embeddings/{video}.npz"),
        tracks=of_videos("results/tracks/{video}.parquet"),
    output:
        identities="results/identities.parquet",
    log:
        "results/logs/identities.log",
    benchmark:
        "results/benchmarks/identities.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(60),
    params:
        results=subpath(output.identities, parent=True),
        settings=flags("identities"),
        review=decisions.effect(d for own in REVIEW.values() for d in own if d.field in decisions.NAMED),
        removals=REMOVALS.checksum(),
        same_person=lookup(within=config, dpath="identities/same_person"),
    # It also writes remembered_identities.parquet. Folders, not files: a command line has no room for the paths of thousands of videos.
    shell:
        'talking cluster-identities --sheet "$TALKING_SHEET" --results {params.results:q} --embeddings {params.results:q}/embeddings'
        " --tracks {params.results:q}/tracks --identities {output.identities:q} {params.settings}"
        ' --removals "$TALKING_REMOVALS"'
        ' --then apply-review --review "$TALKING_REVIEW" --to identities --table {output.identities:q}'
        # Reviewers' names, too, are of nobody who was removed.
        ' --then apply-removals --removals "$TALKING_REMOVALS" --results {params.results:q} --identities {output.identities:q}'
        " --same-person {params.same_person}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
