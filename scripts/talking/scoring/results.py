"""The workflow's labels of a video, read from the folder `results`."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from talking.core import tables
from talking.core.errors import InputError
from talking.speech import turns
from talking.speech.turns import Turn


@dataclass
class Labels:
    """The workflow's tables of a video; None where one was not made."""

    tracks: pd.DataFrame
    shots: pd.DataFrame | None = None
    speaking: pd.DataFrame | None = None
    clips: pd.DataFrame | None = None
    identities: pd.DataFrame | None = None
    turns: list[Turn] | None = None
    words: pd.DataFrame | None = None
    people: pd.DataFrame | None = None


def read_labels(results: Path, video: str) -> Labels:
    """Read a video's tables from the folder `results`; raises InputError if it has no tracks of it."""

    def table(name: str, path: str) -> pd.DataFrame | None:
        file = results / path
        return tables.read(name, file) if file.exists() else None

    found = table("tracks", f"tracks/{video}.parquet")
    if found is None:
        raise InputError(
            f"{results} has no tracks/{video}.parquet; give the folder `results` of a run and an id of its videos."
        )
    identities = table("identities", "identities.parquet")
    if identities is not None:
        identities = identities[identities["video"] == video]
    rttm = results / f"speech/{video}.rttm"
    return Labels(
        tracks=found,
        shots=table("shots", f"shots/{video}.parquet"),
        speaking=table("speaking", f"speaking/{video}.parquet"),
        clips=table("clips", f"clips/{video}.parquet"),
        identities=identities,
        turns=turns.read(rttm, video) if rttm.exists() else None,
        words=table("words", f"speech/{video}.words.parquet"),
        people=table("persons", f"people/{video}.parquet"),
    )
