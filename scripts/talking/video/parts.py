"""Long videos in parts: which part works on what, and the parts' tables and arrays joined to those of the whole video.

A part takes whole shots, tracks or clips, never pieces of them, so that what is joined equals what one job would have made.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import arrays, tables
from talking.core.intervals import Interval

_NAME = re.compile(r"(\d+)of(\d+)")


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add the two arguments of commands that can work on parts: `--video-part` and `--video-parts`."""
    to.add_argument(
        "--video-part",
        default="",
        type=_checked,
        help="work on one part of the video only, such as 2of3, or the part in a file's name, such as v.2of3.parquet; without one on all",
    )
    to.add_argument(
        "--video-parts", type=Path, nargs="*", default=[], help="outputs of all parts in order, to be joined"
    )


def names(number: int) -> list[str]:
    """Return the names of so many parts, in order: 1of3, 2of3, 3of3."""
    return [f"{i}of{number}" for i in range(1, number + 1)]


def share(part: str, weights: Iterable[float]) -> slice:
    """Return which of some units in a row, each of a weight, a part has; together the parts have each unit once.

    Each unit belongs to the part in which its middle lies; an empty name stands for the whole.
    """
    weights = np.asarray(list(weights), dtype=float)
    if not part:
        return slice(0, len(weights))
    number, of = map(int, _NAME.fullmatch(part).groups())
    middles = (np.cumsum(weights) - weights / 2) / max(weights.sum(), 1e-9) * of
    first, end = np.searchsorted(middles, [number - 1, number], side="left")
    return slice(int(first), len(weights) if number == of else int(end))


def span_of(part: str, shots: pd.DataFrame) -> Interval:
    """Return the frames [start, end) of the shots of a part, by the table `shots`; (0, 0) if it has none."""
    mine = shots.iloc[share(part, shots["end_frame"] - shots["start_frame"])]
    return (int(mine["start_frame"].iloc[0]), int(mine["end_frame"].iloc[-1])) if len(mine) else (0, 0)


def rows_of(part: str, tracks: pd.DataFrame) -> slice:
    """Return the rows of a part in the table `tracks`: those of whole shots."""
    faces = tracks.groupby("shot", sort=True).size()
    mine = faces.index[share(part, faces)]
    inside = np.flatnonzero(tracks["shot"].isin(mine))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def candidates_of(part: str, candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates of the table `candidates` that a part works on.

    The part has a stretch of the video, whichever of its segments are candidates: so with other thresholds it has the same stretch.
    """
    mine = candidates.iloc[share(part, candidates["end_frame"] - candidates["start_frame"])]
    return mine[mine["candidate"]]


def joined_table(name: str, files: Sequence[Path]) -> pd.DataFrame:
    """Return the table of a video of the tables of its parts; tracks, which each part counts from 0, are numbered in order."""
    found = [tables.read(name, file) for file in files]
    if name == "tracks":
        before = _before([part["track"] for part in found])
        found = [part.assign(track=part["track"] + first) for part, first in zip(found, before, strict=True)]
    filled = [part for part in found if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else tables.empty(name)


def joined_landmarks(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the landmarks of a video of those of its parts, one after the other along their first axis.

    Tracks, rows and ends of kept faces, which each part counts from 0, count through all parts here. A part that was given up has none.
    """
    found = _arrays_of(files)
    tracks = _before([part["track"] for part in found])
    rows, faces = (np.cumsum([0, *(len(part[name]) for part in found)]) for name in ("track", "face"))
    for part, *before in zip(found, tracks, rows, faces, strict=False):
        for name, first in zip(
            ("track", "thumbnail_row", "face_row", "face_end"), np.take(before, [0, 1, 1, 2]), strict=True
        ):
            part[name] = (part[name] + first).astype(part[name].dtype)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]} if found else {}


def joined_embeddings(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the embeddings of a video of those of its parts; a part that was given up has none."""
    found = _arrays_of(files)
    # The distance of embeddings of one person is one number for all tracks.
    return {
        name: one if name == "same_person" else np.concatenate([part[name] for part in found])
        for name, one in (found[0].items() if found else ())
    }


def _arrays_of(files: Sequence[Path]) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each part by name, of those that have any."""
    found = []
    for file in files:
        with arrays.opened(file) as named:
            found += [dict(named)] if named else []
    return found


def joined_names(files: Sequence[Path]) -> Iterable[tuple[str, np.ndarray]]:
    """Yield the arrays of all parts by their names, one at a time; no two parts have the same name."""
    for file in files:
        with arrays.opened(file) as named:
            yield from named.items()


def _before(tracks: Sequence[Sequence[int]]) -> list[int]:
    """Return how many tracks lie before each part, by the tracks' numbers in each."""
    counts = [int(np.max(numbers)) + 1 if len(numbers) else 0 for numbers in tracks]
    return [0, *np.cumsum(counts)[:-1].tolist()]


def _checked(words: str) -> str:
    """Return the part that is named, by itself or in a file's name before its suffix; empty if it is none."""
    part = words
    if "." in words:
        part = Path(words).suffixes[-2].lstrip(".") if len(Path(words).suffixes) > 1 else ""
    match = _NAME.fullmatch(part)
    if part and not (match and 1 <= int(match[1]) <= int(match[2])):
        raise argparse.ArgumentTypeError(f"{words} names no part; write for example 2of3")
    return part
