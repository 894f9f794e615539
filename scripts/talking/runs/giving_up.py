"""One video that breaks a stage costs no other: the stage's outputs become empty ones, and a record says what happened.

Empty outputs are valid everywhere, so what follows of the same video goes on with nothing, and the tables over all videos
are made of the others. A record counts how often its job was given up: the count is a param of the job's rule, so that
Snakemake runs the job again in the next run. When it has succeeded the record stays as a count and is no failure any more.
"""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from talking.core.atomic import atomic_write
from talking.runs import made
from talking.runs.stages import made_of, whole_of

FOLDER = "failures"
# What ends a job by its user's hand, or by Snakemake's: no word about the video.
_FROM_OUTSIDE = (128 + signal.SIGINT, 128 + signal.SIGTERM)
# What is wrong with the machine: every video would fail.
_OF_THE_MACHINE = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Stale file handle")
# With less room than this on the disk a job may have ended for want of it: without its last words, or with those of a
# library that does not say so (libsndfile says "System error.").
_LITTLE_ROOM_BYTES = 16 << 20
# How the sentence of an expected error begins (talking.core.cli).
_SENTENCE = "error: "
_LOG_BYTES, _MOST_LETTERS = 1 << 16, 300
# Folders of tables that have not the table's name.
_TABLES = {"people": "persons"}


@dataclass(frozen=True)
class Failure:
    """A video's job that failed at its last attempt: its rule, why in one sentence, its outputs below the results, how often, and when last.

    A failure has `passed` when its job has succeeded since.
    """

    video: str
    rule: str
    message: str
    outputs: list[str]
    times: int = 1
    passed: bool = False
    time: float = field(default_factory=time.time)

    @property
    def reason(self) -> str:
        """What to say of the video."""
        return f"{self.rule}: {self.message}"


def give_up(log: Path, video: str, rule: str, status: int, outputs: list[Path]) -> bool:
    """Write a record of a failed job and its outputs without content; return False if the failure says nothing of the video.

    `status` is what the job ended with (above 128: a signal), `log` what it wrote.
    """
    written = _end_of(log)
    if status in _FROM_OUTSIDE or any(words in written for words in _OF_THE_MACHINE):
        return False
    is_explained = _last_line(written).startswith(_SENTENCE)
    if status < 128 and not is_explained and shutil.disk_usage(log.parent).free < _LITTLE_ROOM_BYTES:
        return False
    results, place = made.place_of(log)
    past = _read(_record_of(results, place))
    times = past.times + 1 if past else 1
    failure = Failure(
        video, rule, _message(status, written), [os.path.relpath(output, results) for output in outputs], times
    )
    # The record first: of an output without content it must be known that it is one.
    _write(_record_of(results, place), failure)
    made.forget(results, place)
    for output in outputs:
        write_empty(output, failure)
    return True


def has_passed(results: Path, place: str) -> None:
    """Note that a job has succeeded, which may have been given up before."""
    past = _read(_record_of(results, place))
    if past is not None and not past.passed:
        _write(_record_of(results, place), replace(past, passed=True))


def times(results: Path) -> dict[str, int]:
    """Return how often each job was given up in all runs, by its place; jobs that never were are left out."""
    return {place: failure.times for place, failure in _records(results, None)}


def of_videos(
    results: Path, videos: Container[str], reader: str | None = None, since: float = 0.0
) -> dict[str, Failure]:
    """Return the first failure of each of the videos that have one; what followed from it is not counted.

    With `reader` only failures of jobs that this job's outputs are made of count, and only those from the time `since` on.
    """
    read = None if reader is None else made_of(reader)
    found: dict[str, Failure] = {}
    for place, failure in sorted(_records(results, videos), key=lambda record: record[1].time):
        is_read = read is None or place.partition("/")[0] in read
        if is_read and not failure.passed and failure.time >= since:
            found.setdefault(failure.video, failure)
    return found


def all_of(results: Path) -> dict[str, Failure]:
    """Return the failures of jobs that have not succeeded since, by their places."""
    return {place: failure for place, failure in _records(results, None) if not failure.passed}


def left_out(results: Path, videos: Container[str], reader: str) -> dict[str, str]:
    """Return the reasons of the videos that a job over all leaves out, as a stage that it is made of has failed."""
    return {video: failure.reason for video, failure in of_videos(results, videos, reader).items()}


def _record_of(results: Path, place: str) -> Path:
    return results / FOLDER / f"{place}.json"


def _records(results: Path, videos: Container[str] | None) -> Iterator[tuple[str, Failure]]:
    """Yield the records of some videos, of all by None, with the places of their jobs."""
    for file in (results / FOLDER).glob("*/[!.]*.json"):
        if (videos is None or whole_of(file.stem) in videos) and (failure := _read(file)):
            yield f"{file.parent.name}/{file.stem}", failure


def _read(record: Path) -> Failure | None:
    try:
        return Failure(**json.loads(record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _write(record: Path, failure: Failure) -> None:
    with atomic_write(record) as aside:
        aside.write_text(json.dumps(asdict(failure), ensure_ascii=False) + "\n", encoding="utf-8")


def write_empty(output: Path, failure: Failure) -> None:
    """Write an output of a video's job as it is where there is nothing: no rows, no arrays, no bytes."""
    # Imported here: most who ask for failures write none, and these take long.
    from talking.core import arrays, tables

    kind = f"{whole_of(output.stem)}{output.suffix}".removeprefix(f"{failure.video}.")
    folder = output.parent.name
    if not output.suffix or output.name == failure.video:
        output.mkdir(parents=True, exist_ok=True)
    elif output.suffix == ".parquet":
        name = kind.removesuffix(".parquet") if kind != "parquet" else _TABLES.get(folder, folder)
        tables.write(name, tables.empty(name), output)
    elif output.suffix == ".npz":
        arrays.write(output, [])
    elif output.suffix == ".json":
        content = _no_probe(failure) if folder == "media" else _no_download(failure)
        with atomic_write(output) as aside:
            aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        with atomic_write(output) as aside:
            aside.write_bytes(b"")


def _no_probe(failure: Failure) -> dict:
    from talking.video.probe import Probe

    return asdict(Probe(reason=failure.reason))


def _no_download(failure: Failure) -> dict:
    return {"reason": failure.reason, "try_again": True, "tries": 0}


def _message(status: int, written: str) -> str:
    """Return in one line why a job failed: its last words, or the signal that ended it."""
    if status > 128:
        name = signal.Signals(status - 128).name if status - 128 in set(signal.Signals) else str(status - 128)
        why = ", most often for want of memory" if name == "SIGKILL" else ""
        return f"it was ended by {name}{why}."
    last = _last_line(written).removeprefix(_SENTENCE) or f"it ended with status {status} without a word"
    return re.sub(r"\s+", " ", last)[:_MOST_LETTERS]


def _last_line(written: str) -> str:
    lines = [line.rpartition("\r")[2].strip() for line in written.split("\n") if line.strip()]
    return lines[-1] if lines else ""


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
