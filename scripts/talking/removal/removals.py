"""The file of removals: one row a person, a video or a range of a video that must not be in the data set.

| a row removes | columns that it fills |
|---|---|
| a video | `video` |
| a range of it | `video`, `start_s`, `end_s` |
| a person | `clip` and `person`, the number from the left (from 0), of a bystander with a `b` before it; or `person` alone, a name of the table `people` |

A range with a `person` is a place where that person was, noted when the person's data were deleted. `date` and `reason` are for
whoever keeps the file, and are copied nowhere.
"""

import argparse
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from talking.core import checksums, intervals, tab_separated
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.video import media

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("video", "start_s", "end_s", "clip", "person", "date", "reason")
# The reason in `rejected_by` of a clip that shows what was removed, and in `changes` of its absence.
REASON = "removal"
# The config's default: a file of this name may be absent.
USUAL = "removals.tsv"
# A clip's name; a source has no _.
CLIP = re.compile(r"[A-Za-z0-9-]+_(?P<video>[A-Za-z0-9_-]+)_(?P<start>\d+)to(?P<end>\d+)")
_IF_MISSING = "put it back, or leave the config key removals empty if nothing was ever removed"


@dataclass(frozen=True)
class Removal:
    """A row: a video, a range of it in frames [start, end) or a person; `line` is its line in the file."""

    video: str = ""
    span: Interval | None = None
    clip: str = ""
    person: str = ""
    date: str = ""
    reason: str = ""
    line: int = 0

    @property
    def is_person(self) -> bool:
        """Return True if it removes a person, wherever the person is."""
        return not self.video

    @property
    def key(self) -> str:
        """The person's name in the file of kept faces."""
        return f"{self.clip} {self.person}".strip()

    def row(self) -> list[str]:
        """Return the row as texts, in the order of `COLUMNS`."""
        times = ["", ""] if self.span is None else [f"{frame / media.FPS:.2f}" for frame in self.span]
        return [self.video, *times, self.clip, self.person, self.date, self.reason]


@dataclass(frozen=True)
class Removals:
    """The rows of a file; nothing is removed without one."""

    rows: tuple[Removal, ...] = ()
    file: Path | None = None

    @property
    def videos(self) -> set[str]:
        """Videos of which nothing is left."""
        return {row.video for row in self.rows if row.video and row.span is None}

    @property
    def persons(self) -> list[Removal]:
        """Rows of persons."""
        return [row for row in self.rows if row.is_person]

    @property
    def faces(self) -> Path | None:
        """The file of the faces by which removed persons are found, beside the file of removals."""
        return self.file and self.file.with_suffix(".npz")

    def without_videos(self, sheet: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of a sample sheet without those of removed videos; raises InputError if none is left."""
        left = sheet[~sheet["video"].isin(self.videos)]
        if left.empty:
            raise InputError(
                f"{self.file} removes every video of the sample sheet; delete the folder of results instead."
            )
        return left

    def unknown(self, videos: Iterable[str]) -> list[str]:
        """Return the videos that rows name and that are none of `videos`."""
        return sorted({row.video for row in self.rows if row.video}.difference(videos))

    def spans(self, video: str) -> list[Interval]:
        """Return the removed ranges of a video in frames, sorted and disjoint."""
        return intervals.union(row.span for row in self.rows if row.video == video and row.span)

    def is_gone(self, video: str, span: Interval) -> bool:
        """Return True if frames [start, end) are of a removed video or share one with a removed range."""
        return video in self.videos or overlaps(span, self.spans(video))

    def counts(self) -> dict[str, int]:
        """Return how many persons, videos and ranges were removed; places where a person was are no ranges."""
        ranges = sum(row.span is not None and not row.person for row in self.rows)
        return {"persons": len(self.persons), "videos": len(self.videos), "ranges": ranges}

    @cached_property
    def _checksum_of_faces(self) -> str:
        return checksums.sha256(self.faces) if self.faces and self.faces.exists() else ""

    def checksum(self, video: str | None = None) -> str:
        """Return a checksum of what is removed from a video, or from all by None; "" if nothing is."""
        if video is not None:
            said = [self.spans(video), sorted(row.key for row in self.persons), self._checksum_of_faces]
        else:
            said = [sorted(row.row()[:5] for row in self.rows), self._checksum_of_faces]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16] if any(said) else ""


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the file of removals."""
    parser.add_argument("--removals", default="", help="file of removals; empty: nothing was removed")


def read(path: str | Path | None) -> Removals:
    """Return the removals of a file, none of no file ("" or None).

    Raises InputError that names the file, the line and what to change.
    """
    if not path:
        return Removals()
    path = Path(path)
    content = tab_separated.text(path, "file of removals", _IF_MISSING)
    return Removals(
        tuple(removal(f"{path}, line {line}", row, line) for line, row in tab_separated.rows(content, path, COLUMNS)),
        path,
    )


def add(path: Path, rows: Iterable[Removal]) -> None:
    """Add rows to a file of removals, which is made if there is none; what it holds stays as it is."""
    before = tab_separated.text(path, "file of removals", _IF_MISSING) if path.exists() else ""
    header = list(COLUMNS)
    if before.strip():
        lines = [line for line in before.splitlines() if line.strip() and not line.startswith("#")]
        header = next(csv.reader(lines, delimiter="\t"), header)
    else:
        before = "\t".join(COLUMNS) + "\n"
    out = io.StringIO()
    write = csv.writer(out, delimiter="\t", lineterminator="\n")
    for row in rows:
        of = dict(zip(COLUMNS, row.row(), strict=True))
        write.writerow([of.get(column.strip(), "") for column in header])
    with atomic_write(path) as aside:
        aside.write_text(before + "\n" * (not before.endswith("\n")) + out.getvalue(), encoding="utf-8")


def video_and_span(clip: str) -> tuple[str, Interval]:
    """Return the video and the frames [start, end) that a clip's name says: SOURCE_VIDEO_STARTtoEND.

    Raises InputError if it is no name of a clip.
    """
    found = CLIP.fullmatch(clip)
    if found is None:
        raise InputError(f"{clip!r} is no name of a clip, which is like SOURCE_VIDEO_000010to000260.")
    return found["video"], (int(found["start"]), int(found["end"]))


def overlaps(span: Interval, spans: Iterable[Interval]) -> bool:
    """Return True if an interval shares a frame with one of others."""
    return any(span[0] < end and start < span[1] for start, end in spans)


def frames_of(start_s: float, end_s: float) -> Interval:
    """Return the frames [start, end) that a range in seconds touches."""
    return math.floor(start_s * media.FPS + 1e-6), math.ceil(end_s * media.FPS - 1e-6)


def removal(where: str, row: dict[str, str], line: int = 0) -> Removal:
    """Return a row by its texts; raises InputError that begins with `where` and says what is wrong."""

    def fault(what: str) -> InputError:
        return InputError(f"{where}: {what}.")

    video, clip, person = row["video"], row["clip"], row["person"]
    is_range = bool(row["start_s"] or row["end_s"])
    if is_range and not video:
        raise fault("has a time but no video; a range needs video, start_s and end_s")
    if not (video or clip or person):
        raise fault("names no video, clip or person")
    if video and not is_range and (clip or person):
        raise fault(
            "names a video and a person; leave video empty to remove the person, or clip and person to remove the video"
        )
    if clip and not video:
        try:
            video_and_span(clip)
        except InputError as error:
            raise fault(str(error).rstrip(".")) from None
        if not person.removeprefix("b").isdecimal():
            raise fault(
                f"person is {person!r}; with a clip it is the person's number from the left, from 0 on, or a bystander's in the gallery, like b0"
            )
    if row["date"]:
        try:
            date.fromisoformat(row["date"])
        except ValueError:
            raise fault(f"date is {row['date']!r}; write it like 2026-11-28, or leave it empty") from None
    span = _span(row, fault) if is_range else None
    return Removal(video, span, clip, person, row["date"], row["reason"], line)


def _span(row: dict[str, str], fault) -> Interval:
    times = [tab_separated.number(row[name]) for name in ("start_s", "end_s")]
    if None in times or not 0 <= times[0] < times[1]:
        raise fault(
            f"start_s is {row['start_s']!r} and end_s {row['end_s']!r}; they are seconds of the video, and the end is after the start"
        )
    return frames_of(*times)
