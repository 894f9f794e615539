"""The stages of the workflow: outputs of each for a video, and which stage reads which."""

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePath

# Each stage's files below results/, in the order of the work: the first one stays as long as the stage is done. A stage's name
# is its folder of logs, benchmarks and checksums.
STAGES = {
    "media": ("media/{video}.json", "media/{video}.mp4", "media/{video}.wav"),
    "shots": ("shots/{video}.parquet",),
    "faces": ("faces/{video}.parquet",),
    "tracks": ("tracks/{video}.parquet", "landmarks/{video}.npz"),
    "embeddings": ("embeddings/{video}.npz",),
    "voice": ("voice/{video}.parquet",),
    "asd": ("asd/{video}.parquet",),
    "people": ("people/{video}.parquet",),
    "diarize": ("speech/{video}.rttm",),
    "speaking": ("speaking/{video}.parquet",),
    "transcribe": ("speech/{video}.transcript.parquet", "speech/{video}.pieces.parquet"),
    "candidates": ("candidates/{video}.parquet",),
    "qualities": ("qualities/{video}.parquet",),
    "poses": ("poses/{video}.npz",),
    "inspections": ("inspections/{video}.parquet",),
    "clips": ("clips/{video}.parquet",),
    "sound": ("sound/{video}",),
    "annotations": ("annotations/{video}.parquet", "speech/{video}.words.parquet"),
}

# What the folder of a kept clip holds.
CLIP_FILES = ("video.mp4", "audio.wav", "speakers.json", "poses.npz", "sound.npz", "meta.json")

# What each job reads of other jobs, in the order of the work. A job's name is its log's place below results/logs without the
# video's, the film's, the weight's or the CovOG model's id.
READS = {
    "weights": (),
    "films": (),
    "downloads": (),
    "media": ("films", "downloads"),
    "restored": ("media",),
    "shots": ("media",),
    "faces": ("weights", "media", "shots"),
    "tracks": ("weights", "media", "shots", "faces"),
    "embeddings": ("weights", "tracks"),
    "voice": ("media",),
    "asd": ("weights", "media", "tracks", "voice"),
    "people": ("media", "shots", "tracks", "embeddings", "asd", "voice"),
    "diarize": ("weights", "media", "asd", "people", "embeddings"),
    "speaking": ("asd", "voice", "diarize", "people", "embeddings"),
    "transcribe": ("weights", "media", "voice"),
    "candidates": ("media", "shots", "tracks", "people", "voice"),
    "qualities": ("media", "candidates", "tracks", "speaking", "voice", "diarize"),
    "poses": ("weights", "media", "candidates", "tracks"),
    "inspections": ("media", "candidates", "tracks", "poses"),
    "clips": ("candidates", "qualities", "inspections", "transcribe"),
    "sound": ("weights", "media", "candidates", "speaking"),
    "annotations": ("clips", "restored", "tracks", "speaking", "transcribe", "diarize", "poses", "sound"),
    "identities": ("embeddings", "tracks"),
    "duplicates": ("clips", "inspections"),
    "dataset": ("clips", "annotations", "media", "identities", "duplicates"),
    "report": ("dataset",),
    "strict": ("media",),
    "failures": ("dataset", "report"),
    "gallery": ("dataset",),
    "preview": ("annotations", "dataset"),
    "export_mit": ("dataset",),
    "export_voices": ("dataset",),
    "export_webdataset": ("dataset",),
    "export_huggingface": ("dataset",),
    "covog/configure": (),
    "covog/convert": ("weights", "covog/configure"),
    "covog/latents": ("weights", "dataset", "covog/configure"),
    "covog/stage1": ("weights", "dataset", "covog/configure", "covog/convert", "covog/latents"),
    "covog/stage2": ("weights", "dataset", "covog/configure", "covog/convert", "covog/latents", "covog/stage1"),
    "covog/evaluate": ("weights", "dataset", "covog/configure", "covog/stage2"),
    "covog/report": ("covog/stage1", "covog/stage2", "covog/evaluate"),
}

# Jobs that fill folders, of whose files Snakemake knows nothing, by those folders' names.
FOLDERS = {
    "sound": "sound/*",
    "annotations": "dataset/*",
    "preview": "preview/*",
    "gallery": "gallery",
    "export_webdataset": "export/webdataset",
    "export_huggingface": "export/huggingface",
    "covog/latents": "covog/latents",
    "covog/evaluate": "covog/videos",
}
# What Snakemake knows of those jobs: where that is gone it runs them again.
KNOWN = {
    "sound": "sound/{about}",
    "annotations": "annotations/{about}.parquet",
    "preview": "preview/{about}",
    "gallery": "gallery/index.html",
    "export_webdataset": "export/webdataset",
    "export_huggingface": "export/huggingface",
    "covog/latents": "covog/latents.done",
    "covog/evaluate": "covog/videos",
}


def files_of(stage: str, video: str) -> list[str]:
    """Return the files of a video's stage, as paths below results/."""
    return [pattern.format(video=video) for pattern in STAGES[stage]]


# A part of a long video, at the end of a job's place: faces/v.2of3.
_PART = re.compile(r"\.\d+of\d+$")


def whole_of(place: str) -> str:
    """Return the place of the job on the whole video of a part's job, or the place itself."""
    return _PART.sub("", place)


def job_of(place: str) -> tuple[str, str]:
    """Return a job's name and the id of what it is about ("" if it is about all) by its log's place, for example faces/v."""
    first, *rest = whole_of(place).split("/")
    if first != "covog":
        return first, "/".join(rest)
    return f"covog/{rest[-1]}", rest[0] if len(rest) > 1 else ""


def folder_of(name: str, file: str) -> str | None:
    """Return the folder that a job fills and that a file, a path below results/, lies in; None if it lies in none."""
    pattern = FOLDERS.get(name)
    if pattern is None:
        return None
    return next((str(f) for f in reversed(PurePath(file).parents) if fnmatchcase(str(f), pattern)), None)


@cache
def made_of(name: str) -> frozenset[str]:
    """Return the names of all jobs whose outputs a job is made of, directly or through others."""
    return frozenset(READS[name]).union(*map(made_of, READS[name]))
