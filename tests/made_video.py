"""A small video whose every stage's result is known, and clips of it."""

from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import arrays, schemas, tables
from talking.dataset import annotate
from talking.sound import embeddings
from talking.video import encoding

FRAMES = 120
SHEET = {"source": "s", "licence": "CC0", "url": "https://example.org/v"}


def pictures():
    """Yield pictures no two of which are alike: a bar moves over a fixed pattern."""
    base = np.random.default_rng(0).integers(60, 200, size=(12, 16, 3)).repeat(10, axis=0).repeat(10, axis=1)
    for frame in range(FRAMES):
        picture = base.astype(np.uint8)
        picture[:, frame : frame + 12] = 255
        yield picture


def make_sources(folder: Path, *spans: tuple[int, int]) -> annotate.Sources:
    """Return the sources of a video of 120 frames with tracks 3 and 5 on screen, of which 3 speaks in frames 20 to 70; `spans` have poses and sound."""
    noise = np.random.default_rng(1).uniform(-1, 1, FRAMES * 640).astype(np.float32)
    encoding.encode(folder / "v.mp4", pictures(), noise)
    encoding.write_sound(folder / "v.wav", noise)
    frame = np.tile(np.arange(FRAMES), 2)
    track = np.repeat([3, 5], FRAMES)
    box = {"x1": track * 10.0, "y1": frame * 1.0, "x2": track * 10.0 + 20, "y2": frame + 20.0}
    tracks = pd.DataFrame({"track": track, "shot": 0, "frame": frame, **box, "detected": True, "confidence": 0.9})
    speaks = (track == 3) & (frame >= 20) & (frame < 70)
    speaking = pd.DataFrame(
        {
            "track": track,
            "frame": frame,
            "score": np.where(speaks, 2.5, -1.0),
            "score_smooth": 0.0,
            "speaking": speaks,
            "speaking_confidence": 0.9,
        }
    )
    words = pd.DataFrame(
        {
            "word": ["before", "hello", "you", "after"],
            "start_s": [0.1, 1.0, 1.2, 3.0],
            "end_s": [0.3, 1.1, 1.4, 4.0],
            "confidence": 0.5,
            "speaker": ["A", "A", "B", "A"],
            "track": pd.array([3, 3, None, 3], dtype="Int32"),
            "said_by": ["track 3", "track 3", "off screen", "track 3"],
        }
    )
    for name, table in {"tracks": tracks, "speaking": speaking, "words": words}.items():
        tables.write(name, table, folder / f"{name}.parquet")
    write_arrays(folder, clips_of(*spans))
    paths = {name: folder / f"{name}.parquet" for name in ("tracks", "speaking", "words")}
    paths |= {"poses": folder / "poses.npz", "sound": folder / "sound"}
    return annotate.Sources(media=folder / "v.mp4", wav=folder / "v.wav", sheet=SHEET, **paths)


def write_arrays(folder, clips):
    poses = {}
    for clip, start, end in clips[["clip", "start_frame", "end_frame"]].itertuples(index=False):
        for name, shape in {"keypoints": (133, 2), "scores": (133,), "boxes": (4,), "valid": ()}.items():
            values = np.ones((end - start, 2, *shape), dtype=np.float32) * np.arange(start, end).reshape(
                -1, *[1] * (1 + len(shape))
            )
            poses[f"{clip}/{name}"] = values.astype(bool) if name == "valid" else values
        features = np.ones((end - start, 5, 8), dtype=np.float16)
        arrays.write(embeddings.file_of(folder / "sound", clip), [("sound", features)])
    np.savez(folder / "poses.npz", **poses)


def clips_of(*spans):
    """Return a table `clips` with kept clips of tracks 5 and 3 in the given spans."""
    rows = [
        {
            "clip": f"s_v_{start:06d}to{end:06d}",
            "video": "v",
            "source": "s",
            "shot": 0,
            "start_frame": start,
            "end_frame": end,
            "duration_s": (end - start) / 25,
            "num_people": 2,
            "people": [1, 0],
            "tracks": [5, 3],
            "person_tracks": [[5], [3]],
            "absent_s": [0.0, 0.0],
            "bystander_tracks": [],
            "speaking_s": [0.0, 1.0],
            "sync_offsets": [0.0, 1.0],
            "sync_confidences": [0.0, 0.7],
            "num_turns": 1.0,
            "rejected_by": "",
            "reviewed": "",
            "candidate": True,
            "kept": True,
        }
        for start, end in spans
    ]
    frame = pd.DataFrame(rows, columns=schemas.schema("clips").names)
    return frame.fillna({c.name: 0 for c in schemas.SCHEMAS["clips"] if "list" not in str(c.type)})
