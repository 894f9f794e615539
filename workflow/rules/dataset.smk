from talking.dataset.store import SPLITS

CUT_FROM = "restored" if config["delete_intermediates"] else "media"


rule annotate_clips:
    """Giving the words of {wildcards.video} to their speakers, and writing the folders of its kept clips: pictures, sound, labels."""
    input:
        clips="results/clips/{video}.parquet",
        media=f"results/{CUT_FROM}/{{video}}.mp4",
        wav=f"results/{CUT_FROM}/{{video}}.wav",
        tracks="results/tracks/{video}.parquet",
        speaking="results/speaking/{video}.parquet",
        transcript="results/speech/{video}.transcript.parquet",
        turns="results/speech/{video}.rttm",
        poses="results/poses/{video}.npz",
        sound="results/sound/{video}",
    output:
        words="results/speech/{video}.words.parquet",
        annotations="results/annotations/{video}.parquet",
    log:
        "results/logs/annotations/{video}.log",
    benchmark:
        "results/benchmarks/annotations/{video}.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb("annotations"),
        disk_mb=disk_mb("annotations"),
        runtime=minutes("annotations"),
        tries=this_attempt,
    params:
        failures=times_failed("annotations"),
        source=from_sheet("source"),
        licence=from_sheet("licence"),
        url=from_sheet("url"),
        attribution=flags("attribution"),
        settings=flags("annotate"),
        results=subpath(output.annotations, ancestor=2),
        review=reviewed(checksum=decisions.checksum),
    shell:
        "talking attribute-words --transcript {input.transcript:q} --turns {input.turns:q}"
        " --speaking {input.speaking:q} --words {output.words:q} {params.attribution}"
        ' --then apply-review --review "$TALKING_REVIEW" --video={wildcards.video:q} --to words --table {output.words:q}'
        " --then annotate-clips --video={wildcards.video:q} --source={params.source:q}"
        " --licence={params.licence:q} --url={params.url:q} --clips {input.clips:q} --media {input.media:q}"
        " --wav {input.wav:q} --tracks {input.tracks:q} --speaking {input.speaking:q} --words {output.words:q}"
        " --poses {input.poses:q} --sound {input.sound:q} --dataset {params.results:q}/dataset"
        ' --results {params.results:q} --review "$TALKING_REVIEW" --annotations {output.annotations:q} {params.settings}'
        " --then record-made {log:q} {output:q} --clips {output.annotations:q} > {log:q} 2>&1"
        " || talking give-up $? annotate_clips {wildcards.video} {resources.tries} {log:q} {output:q}"


rule find_duplicates:
    """Finding duplicate clips in all videos."""
    input:
        clips=of_videos("results/clips/{video}.parquet"),
        inspections=of_videos("results/inspections/{video}.parquet"),
    output:
        duplicates="results/duplicates.parquet",
    log:
        "results/logs/duplicates.log",
    benchmark:
        "results/benchmarks/duplicates.tsv"
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(60),
    params:
        settings=flags("duplicates"),
        results=subpath(output.duplicates, parent=True),
        rows=ROWS.checksum(),
    shell:
        'talking find-duplicates --sheet "$TALKING_SHEET" --results {params.results:q}'
        " --clips {params.results:q}/clips --inspections {params.results:q}/inspections"
        " --duplicates {output.duplicates:q} {params.settings}"
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"


rule collect_dataset:
    """Collecting the data set: its tables, splits and card."""

    # It reads the tables that clips and annotations are made of, too: tracks, speaking, people, shots and words of videos with kept clips.
    # It also writes splits.tsv (splits.memory), remembered.parquet and dataset/CHANGES.md, which are no outputs: Snakemake would delete what
    # earlier runs left in them.
    input:
        clips=of_videos("results/clips/{video}.parquet"),
        annotations=of_videos("results/annotations/{video}.parquet"),
        probes=of_videos("results/media/{video}.json"),
        identities="results/identities.parquet",
        duplicates="results/duplicates.parquet",
    output:
        clips="results/dataset/clips.parquet",
        people="results/dataset/people.parquet",
        turns="results/dataset/turns.parquet",
        listening="results/dataset/listening.parquet",
        splits=expand("results/dataset/splits/{split}.json", split=SPLITS),
        card="results/dataset/README.md",
        croissant="results/dataset/croissant.json",
        videos="results/videos.parquet",
    log:
        "results/logs/dataset.log",
    benchmark:
        "results/benchmarks/dataset.tsv"
    conda:
        "../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(60),
    params:
        results=subpath(output.videos, parent=True),
        card=flags("card"),
        splits=flags("splits"),
        qualities=flags("qualities"),
        rows=ROWS.checksum(),
        review=decisions.checksum(d for own in REVIEW.values() for d in own),
        removals=REMOVALS.checksum(),
        same_person=lookup(within=config, dpath="identities/same_person"),
    shell:
        # Folders, not lists of files: a command line has no room for thousands of names.
        'talking collect-dataset --sheet "$TALKING_SHEET" --results {params.results:q} --clips {params.results:q}/clips'
        " --annotations {params.results:q}/annotations --media {params.results:q}/media --identities {input.identities:q}"
        " --duplicates {input.duplicates:q} --dataset {params.results:q}/dataset --videos {output.videos:q} {params.card} {params.splits} {params.qualities}"
        ' --review "$TALKING_REVIEW" --removals "$TALKING_REMOVALS" --same-person {params.same_person}'
        " --then record-made {log:q} {output:q} > {log:q} 2>&1"
