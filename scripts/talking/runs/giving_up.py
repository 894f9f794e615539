"""One video that breaks a stage costs no other: the stage's outputs become empty ones, and a record says what happened.

Empty outputs are valid everywhere, so what follows of the same video goes on with nothing, and the tables over all videos
are made of the others. The records are those of one run: the next one begins by having the recorded outputs made again.
"""

import json
import re
import shutil
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from talking.core import arrays, tables
from talking.core.atomic import atomic_write
from talking.video.probe import Probe

FOLDER = "failures"
# What ends a job by its user's hand, or by Snakemake's: no word about the video.
_FROM_OUTSIDE = (128 + signal.SIGINT, 128 + signal.SIGTERM)
# What is wrong with the machine: every video would fail.
_OF_THE_MACHINE = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Stale file handle")
# With less room than this on the disk a job that ended without a word may have had none for its last words.
_LITTLE_ROOM_BYTES = 16 << 20
_LOG_BYTES, _MOST_LETTERS = 1 << 16, 300
# Folders of tables that have not the table's name.
_TABLES = {"people": "persons"}
# Its outputs are watched, and nothing is made of them.
_SHOWS_ONLY = ("preview_clips",)


@dataclass(frozen=True)
class Failure:
    """A video's job that failed at its last attempt: its rule, why in one sentence, its outputs, and when."""

    video: str
    rule: str
    message: str
    outputs: list[str]
    time: float = field(default_factory=time.time)

    @property
    def reason(self) -> str:
        """What to say of the video."""
        return f"{self.rule}: {self.message}"


def give_up(results: Path, video: str, rule: str, status: int, log: Path, outputs: list[Path]) -> bool:
    """Write a record of a failed job and its outputs without content; return False if the failure says nothing of the video.

    `status` is what the job ended with (above 128: a signal), `log` what it wrote.
    """
    written = _end_of(log)
    if status in _FROM_OUTSIDE or any(words in written for words in _OF_THE_MACHINE):
        return False
    if status < 128 and not written.strip() and shutil.disk_usage(log.parent).free < _LITTLE_ROOM_BYTES:
        return False
    failure = Failure(video, rule, _message(status, written), [str(output) for output in outputs])
    # The record first: of an output without content it must be known that it is one.
    with atomic_write(results / FOLDER / video / f"{rule}.json") as aside:
        aside.write_text(json.dumps(asdict(failure), ensure_ascii=False) + "\n", encoding="utf-8")
    for output in outputs:
        write_empty(output, failure)
    return True


def all_of(results: Path) -> list[Failure]:
    """Return the recorded failures, the earliest first."""
    files = (results / FOLDER).glob("*/*.json")
    return sorted((Failure(**json.loads(f.read_text(encoding="utf-8"))) for f in files), key=lambda f: f.time)


def of_videos(results: Path, videos: Iterable[str]) -> dict[str, Failure]:
    """Return the first failure of each of the videos that have one; what followed from it is not counted."""
    wanted, found = set(videos), {}
    for failure in all_of(results):
        if failure.video in wanted:
            found.setdefault(failure.video, failure)
    return found


def left_out(results: Path, videos: Iterable[str]) -> dict[str, str]:
    """Return the reasons of the videos that are left out of the data set, as a stage that it is made of has failed."""
    found = of_videos(results, videos).items()
    return {video: failure.reason for video, failure in found if failure.rule not in _SHOWS_ONLY}


def forget(results: Path, failure: Failure) -> None:
    """Remove a record: its job is to be done again."""
    folder = results / FOLDER / failure.video
    (folder / f"{failure.rule}.json").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def write_empty(output: Path, failure: Failure) -> None:
    """Write an output of a video's job as it is where there is nothing: no rows, no arrays, no bytes."""
    folder, kind = output.parent.name, output.name.removeprefix(f"{failure.video}.")
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
    return asdict(Probe(reason=failure.reason))


def _no_download(failure: Failure) -> dict:
    return {"reason": failure.reason, "try_again": True, "tries": 0}


def _message(status: int, written: str) -> str:
    """Return in one line why a job failed: its last words, or the signal that ended it."""
    if status > 128:
        name = signal.Signals(status - 128).name if status - 128 in set(signal.Signals) else str(status - 128)
        why = ", most often for want of memory" if name == "SIGKILL" else ""
        return f"it was ended by {name}{why}."
    lines = [line.rpartition("\r")[2].strip() for line in written.split("\n") if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else f"it ended with status {status} without a word"
    return re.sub(r"\s+", " ", last)[:_MOST_LETTERS]


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
