"""The stages that every video goes through."""

# Each stage's files below results/, in the order of the work: the first one stays as long as the stage is done. A stage's name
# is its folder of logs and benchmarks.
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
    "sound": ("sound/{video}.npz",),
    "annotations": ("annotations/{video}.parquet", "speech/{video}.words.parquet"),
}

# Tables over all videos, by the benchmark of the job that makes them.
AGGREGATES = {
    "identities": ["identities.parquet"],
    "duplicates": ["duplicates.parquet"],
    "dataset": [
        "dataset/clips.parquet",
        "dataset/people.parquet",
        *(f"dataset/splits/{split}.json" for split in ("train", "val", "test_easy", "test_hard")),
        "videos.parquet",
    ],
}

# What the folder of a kept clip holds.
CLIP_FILES = ("video.mp4", "audio.wav", "speakers.json", "poses.npz", "sound.npz", "meta.json")


def files_of(stage: str, video: str) -> list[str]:
    """Return the files of a video's stage, as paths below results/."""
    return [pattern.format(video=video) for pattern in STAGES[stage]]
