from talking import sheet


def source_file(wildcards):
    """The local, filmed or downloaded file of a video; nothing if it is missing, which ingest reports."""
    row = VIDEOS.loc[wildcards.video]
    file = sheet.file_of(SHEET, wildcards.video, row.path)
    is_made = sheet.is_url(row.path) or sheet.film_of(row.path)
    return str(file) if is_made or (file.is_file() and "{" not in str(file)) else []


def source_row(wildcards):
    """What a row says about its file: a change of another row, or of another column, reruns nothing.

    Snakemake takes braces in an input's name for a wildcard, so such a file is followed by its time and size here.
    """
    row = VIDEOS.loc[wildcards.video]
    file = sheet.file_of(SHEET, wildcards.video, row.path)
    is_followed_here = "{" in str(file) and not sheet.is_url(row.path) and file.is_file()
    return [row.path, row.sha256, [file.stat().st_mtime_ns, file.stat().st_size] if is_followed_here else ""]


rule fetch_video:
    """Downloading {wildcards.video}."""
    output:
        file="results/downloads/{video}.bin",
        state="results/downloads/{video}.json",
    log:
        "results/logs/fetch_video/{video}.log",
    benchmark:
        "results/benchmarks/fetch_video/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=300,
        runtime=240,
    params:
        row=source_row,
    shell:
        "python {SCRIPTS}/fetch_video.py --sheet {SHEET:q} --video {wildcards.video} "
        "--file {output.file:q} --state {output.state:q} > {log:q} 2>&1"


rule ingest_video:
    """Turning {wildcards.video} into 25 frames a second and 16 kHz sound."""
    input:
        source=source_file,
    output:
        media="results/media/{video}.mp4",
        wav="results/media/{video}.wav",
        probe="results/media/{video}.json",
    log:
        "results/logs/ingest/{video}.log",
    benchmark:
        "results/benchmarks/ingest/{video}.tsv"
    conda:
        "../envs/media.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        row=source_row,
        settings=flags("ingest"),
    shell:
        "python {SCRIPTS}/ingest_video.py --sheet {SHEET:q} --video {wildcards.video} --media {output.media:q} "
        "--wav {output.wav:q} --probe {output.probe:q} --threads {threads} {params.settings} > {log:q} 2>&1"
