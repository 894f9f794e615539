"""Files of the store that were changed after the job that made them had ended, and cannot be read any more."""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from talking.errors import InputError
from talking.stages import AGGREGATES, STAGES, files_of

# A job's benchmark is written last; a file that is younger by this much was not left as the job made it.
_SLACK_S = 2.0
# So many that changed since were copied or touched, not damaged: to read them all would take long.
_MOST = 1000


def damaged(results: Path, videos: Collection[str]) -> list[str]:
    """Return the files of some videos, and of the tables over all, that were changed since and cannot be read, as paths below `results`.

    What was changed and can be read is taken for an edit.
    """
    changed = list(_changed(results, videos))
    if len(changed) > _MOST:
        return []
    return [file for file in changed if not _can_be_read(results / file)]


def _changed(results: Path, videos: Collection[str]) -> Iterator[str]:
    """Yield the files that are younger than the benchmark of the job that made them."""
    for stage in STAGES:
        for video, ended in _ended(results / "benchmarks" / stage):
            if video in videos:
                yield from _younger(results, files_of(stage, video), ended)
    for name, ended in _ended(results / "benchmarks"):
        yield from _younger(results, AGGREGATES.get(name, []), ended)


def _ended(benchmarks: Path) -> Iterator[tuple[str, float]]:
    """Yield the names of a folder's benchmarks and when they were written."""
    if benchmarks.is_dir():
        with os.scandir(benchmarks) as entries:
            yield from ((e.name.removesuffix(".tsv"), e.stat().st_mtime) for e in entries if e.name.endswith(".tsv"))


def _younger(results: Path, files: list[str], ended: float) -> Iterator[str]:
    for file in files:
        try:
            if os.stat(f"{results}/{file}").st_mtime > ended + _SLACK_S:
                yield file
        except FileNotFoundError:
            continue


def _can_be_read(file: Path) -> bool:
    try:
        _READERS[file.suffix](file)
    except (InputError, OSError, ValueError):
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
    text = file.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        raise ValueError("its end is missing")


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
    ".json": lambda file: json.loads(file.read_text(encoding="utf-8")),
    ".mp4": _read_pictures,
    ".wav": _read_sound,
}
