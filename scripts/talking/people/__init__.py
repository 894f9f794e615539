"""From face tracks to persons: which tracks are a living face, which are one person, and who takes part.

`find` makes the table `people/{video}.parquet` (schema `persons`); `rows_of` gives each person's rows of the `tracks` table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking import tables
from talking.cli import setting

PARTICIPANT, BYSTANDER, NOT_A_FACE = "participant", "bystander", "not_a_face"


@dataclass(frozen=True)
class Settings:
    """Who is a person, and who takes part."""

    min_face_probability: float = setting(
        0.5, "a person whose face is less probably a living one has the role not_a_face", minimum=0, maximum=1
    )


def find(tracks: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the `persons` table of a video: one row for each person and shot."""
    rows = []
    for person, (_, track) in enumerate(tracks.groupby("track")):
        probability = float(track["confidence"].max())
        rows.append(
            {
                "person": person,
                "shot": track["shot"].iloc[0],
                "tracks": [int(track["track"].iloc[0])],
                "start_frame": track["frame"].min(),
                "end_frame": track["frame"].max() + 1,
                "num_frames": len(track),
                "face_probability": probability,
                "role": PARTICIPANT if probability >= settings.min_face_probability else NOT_A_FACE,
                "repeated_of": None,
            }
        )
    return pd.DataFrame(rows, columns=tables.schema("persons").names) if rows else tables.empty("persons")


def rows_of(people: Sequence[int], tracks: pd.DataFrame, persons: pd.DataFrame, start: int, end: int) -> np.ndarray:
    """Return the position in `tracks` of the row that shows each person in each frame of [start, end), as (frames, people).

    -1 stands where a person is absent. Where two tracks of a person share a frame, which only a double detection does, the
    detected and more confident one counts.
    """
    person_of = {int(t): p for p, group in zip(persons["person"], persons["tracks"], strict=True) for t in group}
    place = {int(p): i for i, p in enumerate(people)}
    inside = np.flatnonzero((tracks["frame"] >= start) & (tracks["frame"] < end))
    column = np.array([place.get(person_of.get(int(t), -1), -1) for t in tracks["track"].iloc[inside]], dtype=int)
    inside, column = inside[column >= 0], column[column >= 0]
    # Filled-in boxes have confidence 0: of two rows the better one is written last.
    order = np.argsort(tracks["confidence"].to_numpy()[inside], kind="stable")
    found = np.full((end - start, len(people)), -1)
    found[tracks["frame"].to_numpy()[inside[order]] - start, column[order]] = inside[order]
    return found
