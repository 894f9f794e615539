"""Applying removals to the tables of a run: which clips are rejected, and which names may not be told."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from talking.core import intervals, tables
from talking.core.intervals import Interval
from talking.removal import seen
from talking.removal.removals import REASON, Removals, overlaps, video_and_span


def clips(table: pd.DataFrame, spans: Sequence[Interval]) -> pd.DataFrame:
    """Return the table `clips` in which every clip that shares a frame with a removed span is rejected, whoever kept it."""
    gone = [overlaps(span, spans) for span in zip(table["start_frame"], table["end_frame"], strict=True)]
    table = table.copy()
    table.loc[gone, "rejected_by"] = [f"{by},{REASON}" if by else REASON for by in table.loc[gone, "rejected_by"]]
    table.loc[gone, "kept"] = False
    return table


def removed_spans(removals: Removals, results: Path, same_person: float) -> Callable[[str], list[Interval]]:
    """Return a function that gives the frames [start, end) of a video that were removed or in which removed persons are seen or heard."""
    faces = seen.read_faces(removals).values()
    return lambda video: intervals.union([*removals.spans(video), *seen.spans(results, video, faces, same_person)])


def identities(table: pd.DataFrame, removals: Removals, results: Path, same_person: float) -> pd.DataFrame:
    """Return the table `identities` without the tracks of removed persons."""
    faces = seen.read_faces(removals).values()
    gone = {(v, t) for v in table["video"].unique() for t in seen.tracks(results, v, faces, same_person)}
    return table[[key not in gone for key in zip(table["video"], table["track"], strict=True)]]


def are_removed(table: pd.DataFrame) -> pd.Series:
    """Return which rows of the table `clips` were rejected as something of them was removed."""
    return pd.Series([REASON in by.split(",") for by in table["rejected_by"]], index=table.index, dtype=bool)


def gone(removals: Removals, clips_folder: Path) -> Callable[[str, Interval], bool]:
    """Return a function that says of frames [start, end) of a video whether clips of it, of this run or an earlier one, are gone because of a removal.

    `clips_folder` has the tables `clips` by video.
    """

    @cache
    def spans(video: str) -> list[Interval]:
        path = clips_folder / f"{video}.parquet"
        if not path.exists():
            return []
        table = tables.read("clips", path)
        table = table[are_removed(table)]
        return list(zip(table["start_frame"], table["end_frame"], strict=True))

    def is_gone(video: str, span: Interval) -> bool:
        return bool(removals.rows) and (removals.is_gone(video, span) or overlaps(span, spans(video)))

    return is_gone


def gone_clips(removals: Removals, clips_folder: Path) -> Callable[[str], bool]:
    """Return the same function of a clip's name."""
    is_gone = gone(removals, clips_folder)
    return lambda clip: bool(removals.rows) and is_gone(*video_and_span(clip))
