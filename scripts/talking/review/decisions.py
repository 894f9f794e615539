"""The review file: one row a decision, bound to a video, a time range and, where it is about a person, to a place in the picture.

So a decision outlives a rerun with other models, which number tracks and people otherwise and cut other clips.
"""

import argparse
import csv
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from talking.core import tab_separated
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

COLUMNS = ("video", "start_s", "end_s", "field", "value", "face", "who", "when")
KEEP, DROP = "keep", "drop"
# What each field may say, None: any text; and whether it is about a person.
FIELDS: dict[str, tuple[tuple[str, ...] | None, bool]] = {
    "decision": ((KEEP, DROP), False),
    "labels": (("right",), False),
    "speaking": (("yes", "no"), True),
    "person": (None, True),
    "rename": (None, True),
    "words": (None, False),
    "note": (None, False),
}
# Fields that change no table: meta.json and the data card have them.
SILENT = ("note",)
# Fields whose value is a person's name.
NAMED = ("person", "rename")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
# Names that clustering gives, which are others after a rerun.
GIVEN = re.compile(r"p\d{6,}")
_IF_MISSING = "save it from the gallery, or leave the config key review empty"


def _digits(value: float, digits: int) -> str:
    """Return a number with so many decimals at most, as the gallery writes it."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Face:
    """A place in the picture that shows a person's face: at `seconds` of the video, as fractions of its width and height."""

    seconds: float
    x: float
    y: float

    def __str__(self) -> str:
        """Return it as the review file has it."""
        return f"{_digits(self.seconds, 3)} {_digits(self.x, 4)} {_digits(self.y, 4)}"


@dataclass(frozen=True)
class Decision:
    """A row of the review file; `face` is None where it is about no person."""

    video: str
    start_s: float
    end_s: float
    field: str
    value: str
    face: Face | None
    who: str
    when: str

    def moment(self) -> datetime:
        """Return when it was decided; a time without a zone is UTC."""
        when = datetime.fromisoformat(self.when)
        return when if when.tzinfo else when.replace(tzinfo=UTC)

    def row(self) -> list[str]:
        """Return the row as texts, in the order of `COLUMNS`."""
        times = [_digits(seconds, 3) for seconds in (self.start_s, self.end_s)]
        face = "" if self.face is None else str(self.face)
        return [self.video, *times, self.field, self.value, face, self.who, self.when]


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag --review, whose value `read` takes."""
    parser.add_argument("--review", default="", help="review file; empty: nobody has reviewed anything")


def read(path: str | Path) -> list[Decision]:
    """Return the decisions of a review file, the oldest first, none if its name is empty; blank lines and those that begin with # are skipped.

    Raises InputError that names the file, the line and what to change.
    """
    if not str(path):
        return []
    path = Path(path)
    return parse(tab_separated.text(path, "review file", _IF_MISSING), path)


def parse(content: str, path: Path) -> list[Decision]:
    """Return the decisions of a review file's content, the oldest first; raises InputError that names the file `path`."""
    found = [_decision(path, *row) for row in tab_separated.rows(content, path, COLUMNS)]
    return sorted(found, key=Decision.moment)


def write(decisions: Iterable[Decision], path: str | Path) -> None:
    """Write a review file."""
    with atomic_write(path) as aside:
        aside.write_text(text(decisions), encoding="utf-8")


def text(decisions: Iterable[Decision]) -> str:
    """Return the content of a review file."""
    out = io.StringIO()
    rows = csv.writer(out, delimiter="\t", lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(decision.row() for decision in decisions)
    return out.getvalue()


def of_videos(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """Return the decisions of each video, in their order."""
    found: dict[str, list[Decision]] = {}
    for decision in decisions:
        found.setdefault(decision.video, []).append(decision)
    return found


def checksum(decisions: Iterable[Decision]) -> str:
    """Return a checksum of decisions, "" if there are none; the order of rows in the file counts only where times are the same."""
    return _checksum(decision.row() for decision in decisions)


def effect(decisions: Iterable[Decision]) -> str:
    """Return a checksum of what decisions change in tables, "" if nothing: notes, and who decided when, do not count; their order does."""
    about = [COLUMNS.index(name) for name in COLUMNS if name not in ("who", "when")]
    return _checksum([d.row()[i] for i in about] for d in decisions if d.field not in SILENT)


def _checksum(rows: Iterable[list[str]]) -> str:
    text = "\n".join("\t".join(row) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _decision(path: Path, number: int, row: dict[str, str]) -> Decision:
    def fault(what: str) -> InputError:
        return InputError(f"{path}, line {number}: {what}.")

    if not row["video"]:
        raise fault("names no video")
    if row["field"] not in FIELDS:
        raise fault(f"the field {row['field']!r} is none of {', '.join(FIELDS)}")
    start_s, end_s = (_number(row[name], name, fault) for name in ("start_s", "end_s"))
    if not 0 <= start_s < end_s:
        raise fault(
            f"start_s is {row['start_s']} and end_s {row['end_s']}; they are seconds of the video, and the end is after the start"
        )
    values, is_of_person = FIELDS[row["field"]]
    if values is not None and row["value"] not in values:
        raise fault(f"the value of {row['field']} is {row['value']!r}; it must be {' or '.join(values)}")
    if row["field"] in NAMED and (not NAME.fullmatch(row["value"]) or GIVEN.fullmatch(row["value"])):
        raise fault(
            f"{row['value']!r} is no name for a person; a name has letters, digits, spaces and ._- and is not like p000001, which is another person after a rerun"
        )
    if is_of_person != bool(row["face"]):
        raise fault(f"{row['field']} {'needs' if is_of_person else 'has no'} face")
    try:
        datetime.fromisoformat(row["when"])
    except ValueError:
        raise fault(f"when is {row['when']!r}; write a date and time like 2026-11-28T12:30:00") from None
    face = _face(row["face"], fault) if is_of_person else None
    return Decision(row["video"], start_s, end_s, row["field"], row["value"], face, row["who"], row["when"])


def _face(written: str, fault) -> Face:
    parts = written.split()
    if len(parts) != 3:
        raise fault(f"face is {written!r}; it must be seconds of the video, x and y, separated by spaces")
    seconds, x, y = (_number(part, "face", fault) for part in parts)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise fault(f"face is {written!r}; x and y are fractions of the picture's width and height")
    return Face(seconds, x, y)


def _number(written: str, name: str, fault) -> float:
    number = tab_separated.number(written)
    if number is None:
        raise fault(f"{name} is {written!r}, which is no number")
    return number
