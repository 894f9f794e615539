"""Files of the store that were changed after the job that made them had ended, and cannot be read any more."""

import json
import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from talking.errors import InputError
from talking.stages import AGGREGATES, STAGES, files_of

# A job's benchmark is written last; a file that is younger by this much was not left as the job made it.
_SLACK_S = 2.0
# So many that changed since were copied or touched, not damaged: to read them all would take long.
_MOST = 1000


def damaged(results: Path, videos: Collection[str], remember: bool = True) -> list[str]:
    """Return the files of some videos, and of the tables over all, that were changed since and cannot be read, as paths below `results`.

    What was changed and can be read is taken for an edit, and with `remember` not read again. Raises InputError if the folder or a file may not be read.
    """
    try:
        changed = list(_changed(results, videos))
        if len(changed) > _MOST:
            logging.getLogger(__name__).warning(
                "%d files are younger than their jobs; none is looked at.", len(changed)
            )
            return []
        found = [file for file, _ in changed if not _can_be_read(results / file)]
    except OSError as error:
        raise InputError(f"{results} cannot be read ({error}); see to its files and run again.") from error
    if remember:
        for file, benchmark in changed:
            if file not in found:
                _remember(benchmark)
    return found


def _remember(benchmark: Path) -> None:
    """Give a benchmark the present, so that what is older than it is not read again."""
    try:
        os.utime(benchmark)
    except PermissionError:
        # Somebody else's run: read again each time.
        logging.getLogger(__name__).debug("%s is not ours", benchmark)


def _changed(results: Path, videos: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files that are younger than the benchmark of the job that made them, and that benchmark."""
    for stage in STAGES:
        for video, benchmark in _benchmarks(results / "benchmarks" / stage):
            if video in videos:
                yield from _younger(results, files_of(stage, video), benchmark)
    for name, benchmark in _benchmarks(results / "benchmarks"):
        yield from _younger(results, AGGREGATES.get(name, []), benchmark)


def _benchmarks(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from ((entry.name.removesuffix(".tsv"), entry) for entry in entries if entry.name.endswith(".tsv"))


def _younger(results: Path, files: list[str], benchmark: os.DirEntry) -> Iterator[tuple[str, Path]]:
    ended = benchmark.stat().st_mtime
    for file in files:
        try:
            if os.stat(f"{results}/{file}").st_mtime > ended + _SLACK_S:
                yield file, Path(benchmark.path)
        except (FileNotFoundError, NotADirectoryError):
            continue


def _can_be_read(file: Path) -> bool:
    with file.open("rb") as found:
        found.read(1)
    try:
        _READERS[file.suffix](file)
    except Exception:
        # The system lets it be read: whatever a reader makes of such bytes, they are not what a job leaves.
        return False
    return True


def _read_table(file: Path) -> None:
    import pyarrow.parquet as pq

    pq.read_table(file, partitioning=None)


def _read_arrays(file: Path) -> None:
    from talking import arrays

    with arrays.opened(file) as found:
        for name in found:
            found[name]


def _read_lines(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or not all(line.startswith(("SPEAKER", ";;")) and line.endswith("\n") for line in lines):
        raise ValueError("not all of its lines are there")


def _read_object(file: Path) -> None:
    if not isinstance(json.loads(file.read_text(encoding="utf-8")), dict | list):
        raise ValueError("holds neither fields nor rows")


def _read_pictures(file: Path) -> None:
    from talking import media

    if media.size_and_length(file)[2] != _probe(file).get("frames"):
        raise ValueError("not all of its pictures are there")


def _read_sound(file: Path) -> None:
    from talking import media

    if len(media.sound(file)) != _probe(file).get("frames", 0) * media.SAMPLES_PER_FRAME:
        raise ValueError("not all of its sound is there")


def _probe(file: Path) -> dict:
    return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))


_READERS = {
    ".parquet": _read_table,
    ".npz": _read_arrays,
    ".rttm": _read_lines,
    ".json": _read_object,
    ".mp4": _read_pictures,
    ".wav": _read_sound,
}
