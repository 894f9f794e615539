"""What the page loads when a clip is opened: boxes, speaking periods and scores, words, and in a file of its own the poses."""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import keypoints, tables
from talking.core.arrays import opened
from talking.dataset import annotate
from talking.faces.tracked import Faces
from talking.video import media

# Every second frame of poses takes half the room, and moves smoothly to the eye.
POSE_EVERY = 2
# In 1/2 px, as whole numbers of 16 bits.
_POSE_STEPS = 2
_MIN_POSE_SCORE = 0.3
LIMBS = [list(limb) for limb in (*keypoints.BODY_LIMBS, *keypoints.HAND_LIMBS)]


@dataclass
class Video:
    """One video's tables below a folder of results, read when first used."""

    results: Path
    video: str

    @cached_property
    def faces(self) -> Faces:
        """Boxes and speaking of every track."""
        return Faces(self._table("tracks", "tracks"), self._table("speaking", "speaking"))

    @cached_property
    def words(self) -> pd.DataFrame:
        """The words of the video, each given to its speaker."""
        return tables.read("words", self.results / "speech" / f"{self.video}.words.parquet")

    @cached_property
    def people(self) -> pd.DataFrame:
        """Everybody who was found, with the role."""
        return self._table("persons", "people")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of its pictures."""
        # The probe: delete_intermediates deletes the video.
        probe = json.loads((self.results / "media" / f"{self.video}.json").read_text(encoding="utf-8"))
        return probe["width"], probe["height"]

    def labels(self, segment: dict) -> dict:
        """Return the labels of a segment that is not in the data set, in the form of a clip's speakers.json.

        Of segments that were not measured nobody is labelled: everybody who was found in them is among the bystanders.
        """
        if len(segment["person_tracks"]):
            return annotate.label(segment, self.faces, self.words, 1)
        start, end = segment["start_frame"], segment["end_frame"]
        here = self.people[(self.people["start_frame"] < end) & (self.people["end_frame"] > start)]
        found: dict[int, list[int]] = {}
        for row in here.itertuples():
            found.setdefault(row.person, []).extend(map(int, row.tracks))
        seen = [tracks for tracks in found.values() if (self.faces.rows([tracks], start, end) >= 0).any()]
        nobody = {"person_tracks": [], "tracks": [], "bystander_tracks": seen}
        return annotate.label(segment | nobody, self.faces, self.words, 1)

    def _table(self, name: str, folder: str) -> pd.DataFrame:
        return tables.read(name, self.results / folder / f"{self.video}.parquet")


def content(row: dict, labels: dict, size: tuple[int, int], lists: Sequence[str]) -> dict:
    """Return what the page shows of a clip or segment: a row of `index.rows`, its labels and the size of its pictures in px.

    Boxes are whole px, four numbers a frame, -1 where a person is away; scores are logits.
    """
    names = list(row["persons"]) if row["state"] == "kept" else [f"person {i}" for i in range(len(labels["people"]))]
    return {
        "clip": row["clip"],
        "video": _address(row),
        "offset": 0 if row["state"] == "kept" else row["start_frame"] / media.FPS,
        "first": int(row["start_frame"]),
        "fps": labels["fps"],
        "frames": labels["num_frames"],
        "size": list(size),
        "people": [
            {
                "name": name,
                "speak": person["speak"],
                "absent": person["absent"],
                "score": np.round(person["speaking_score"], 1).tolist(),
                "boxes": _whole(person["face_track"]),
            }
            for name, person in zip(names, labels["people"], strict=True)
        ],
        "bystanders": [{"start": b["start"], "boxes": _whole(b["face_track"])} for b in labels["bystanders"]],
        "words": [
            [w["word"].strip(), w["start_s"], w["end_s"], -1 if w["person"] is None else w["person"], w["confidence"]]
            for w in labels["words"]
        ],
        "lists": {name: _plain(row[name]) for name in lists},
    }


def poses(points: np.ndarray, scores: np.ndarray) -> dict | None:
    """Return points (f, p, 133, 2) px whose scores (f, p, 133) are sure enough, packed for the page; None if there are none.

    Packed: every second frame, in half px, as differences from the frame before (16 bits, little-endian), compressed by gzip
    and written in base64. A point that is absent lies at 0, 0.
    """
    points, scores = points[::POSE_EVERY], scores[::POSE_EVERY]
    if not points.size:
        return None
    seen = (scores >= _MIN_POSE_SCORE)[..., None] & np.isfinite(points)
    whole = np.where(seen, np.clip(np.round(points * _POSE_STEPS), -32_000, 32_000), 0).astype("<i2")
    steps = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1]))
    packed = base64.b64encode(gzip.compress(steps.tobytes(), 6, mtime=0)).decode()
    return {"shape": list(points.shape), "every": POSE_EVERY, "steps": _POSE_STEPS, "packed": packed}


def poses_of(file: Path, prefix: str = "") -> dict | None:
    """Return the packed poses of a clip's file or, by the prefix of its arrays, of a segment in a video's file."""
    with opened(file) as arrays:
        if f"{prefix}keypoints" not in arrays:
            return None
        return poses(arrays[f"{prefix}keypoints"], arrays[f"{prefix}scores"])


def _address(row: dict) -> str:
    """Return the address of the pictures, from the page's folder."""
    return f"../dataset/{row['clip']}/video.mp4" if row["state"] == "kept" else f"../media/{row['video']}.mp4"


def _whole(boxes: list[list[float | None]]) -> list[int]:
    return [-1 if edge is None else max(0, round(edge)) for box in boxes for edge in box]


def _plain(values: object) -> list:
    if not isinstance(values, np.ndarray | list):
        return []
    return [
        None if isinstance(v, float) and np.isnan(v) else v if isinstance(v, str) else round(float(v), 3)
        for v in values
    ]
