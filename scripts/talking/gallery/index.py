"""The gallery's table: one row for each kept clip and each rejected segment, with everything that was measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from talking.core import schemas, tables
from talking.core.schemas import Column
from talking.removal.apply import are_removed
from talking.video import media

# Columns of the page alone, before those of the data set.
OWN = [
    Column("state", pa.string(), "", "kept, or rejected: not in the data set"),
    Column("rejected_by", pa.string(), "", "gates that reject the segment, joined by commas; empty if it is kept"),
    Column("start_s", pa.float32(), "s", "where it begins in the video"),
    Column("persons", pa.string(), "", "names of the people in the clip, left to right"),
    Column(
        "expected_error",
        pa.float32(),
        "0-1",
        "how likely a label of it is wrong, by the models' own account and by how far sound and pictures disagree; look first where it is high",
    ),
]
# How much a quality weighs in the expected error. Those below 1 are faults of some labels only.
_WRONG = {
    "speaking": 1.0,
    "unsupported": 1.0,
    "off_screen": 1.0,
    "filled_in": 0.5,
    "words": 0.25,
    "not_understood": 0.25,
}
_COLUMNS = [
    "speaking_confidence",
    "mouth_sound_agreement",
    "speaking_share",
    "off_screen_share",
    "detected_share",
    "words_confidence",
    "not_understood_share",
]
_LEFT_OUT = {"candidate", "dissolve", "kept", "persons", "rejected_by"}


def rows(results: Path, videos: pd.DataFrame, dataset: pd.DataFrame) -> pd.DataFrame:
    """Return the gallery's rows, the kept clips of the table `dataset` first in its order, then the rejected segments.

    `videos` is the table of that name. Columns: those of `columns`, and of the tables `clips` and `dataset` the others.
    """
    kept = dataset.assign(state="kept", rejected_by="")
    rejected = [_rejected(results, row._asdict()) for row in videos.itertuples()]
    found = pd.concat([kept, *(part for part in rejected if len(part))], ignore_index=True)
    found["start_s"] = found["start_frame"] / media.FPS
    found["expected_error"] = expected_error(found)
    return found


def columns() -> list[Column]:
    """Return the columns that the page shows: numbers and texts; lists are shown with the clip."""
    whole = [*OWN, *schemas.SCHEMAS["dataset"]]
    return [
        c for i, c in enumerate(whole) if (i < len(OWN) or c.name not in _LEFT_OUT) and not pa.types.is_list(c.type)
    ]


def lists() -> list[Column]:
    """Return the columns of lists that belong to a clip's people or to pieces of it."""
    return [
        c for c in schemas.SCHEMAS["dataset"] if pa.types.is_list(c.type) and not pa.types.is_list(c.type.value_type)
    ]


def expected_error(clips: pd.DataFrame) -> np.ndarray:
    """Return how likely a label of each clip is wrong (n,) 0-1; NaN where nothing was measured.

    Doubts are taken as independent: the model's own in who speaks, speech that no voice or moving lips bear out, voices
    from off screen, boxes that were filled in, words of low probability and speech that was not understood.
    """
    measured = {name: clips[name].astype(float) for name in _COLUMNS}
    doubts = {
        "speaking": 1 - measured["speaking_confidence"],
        "unsupported": (1 - measured["mouth_sound_agreement"]) * measured["speaking_share"],
        "off_screen": measured["off_screen_share"],
        "filled_in": 1 - measured["detected_share"],
        "words": 1 - measured["words_confidence"],
        "not_understood": measured["not_understood_share"],
    }
    right = np.ones(len(clips))
    for name, doubt in doubts.items():
        right *= 1 - _WRONG[name] * np.clip(doubt.fillna(0), 0, 1)
    return np.where(measured["speaking_confidence"].isna(), np.nan, 1 - right)


def _rejected(results: Path, video: dict) -> pd.DataFrame:
    clips = tables.read("clips", results / "clips" / f"{video['video']}.parquet")
    return clips[~clips["kept"] & ~are_removed(clips)].assign(
        state="rejected", licence=video["licence"], url=video["url"], split=""
    )
