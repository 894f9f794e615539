"""Files of the store that were changed after the job that made them had ended, and cannot be read any more."""

import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from talking.core import checksums
from talking.core.errors import InputError
from talking.runs import integrity, sheet
from talking.runs.stages import AGGREGATES, CLIP_FILES, STAGES, files_of

# A job's benchmark is written last; a file that is younger by this much was not left as the job made it.
_SLACK_S = 2.0
# So many that changed since were copied or touched, not damaged: to read them all would take long.
_MOST = 1000
# What the jobs of a CovOG model make below its folder, by their benchmarks.
_OF_MODEL = {f"stage{n}": [f"stage{n}/weights.safetensors", f"stage{n}/losses.parquet"] for n in (1, 2)}
_LATENTS = "covog/latents"


@dataclass(frozen=True)
class _Changed:
    """A file that is younger than its job, or gone from among those that the job made together."""

    file: str
    benchmark: Path
    # What the job is to make again: Snakemake knows it, and of a folder's files nothing.
    output: str
    # The sums that it may have, where they are known.
    sums: frozenset[str] = frozenset()

    def is_damaged(self, results: Path) -> bool:
        path = results / self.file
        if not path.exists():
            return True
        return checksums.sha256(path) not in self.sums if self.sums else not integrity.can_be_read(path)

    def remember(self, results: Path) -> None:
        """Have the file, which is whole, not read again until it is changed again."""
        try:
            if self.output == self.file:
                # Its own time tells Snakemake that it was edited.
                os.utime(self.benchmark)
            else:
                ended = self.benchmark.stat().st_mtime
                os.utime(results / self.file, (ended, ended))
        except (PermissionError, FileNotFoundError):
            # Somebody else's run: read again each time.
            logging.getLogger(__name__).debug("%s is not remembered", self.file)


def damaged(results: Path, videos: pd.DataFrame, remember: bool = True) -> dict[str, str]:
    """Return the files that were changed since and cannot be read, or are gone from a clip's folder, each with the output of the job that is to make it again.

    Looks at the files of the videos of a sheet and at the tables over all, as paths below `results`. What was changed and can be read is taken for an edit,
    and with `remember` not read again; a film or a download is damaged if no video was made of what it is now. Raises InputError if the folder or a file may not be read.
    """
    return _damaged(results, lambda: _of_videos(results, videos), remember)


def damaged_covog(results: Path, models: Collection[str], with_latents: bool, remember: bool = True) -> dict[str, str]:
    """Return what `damaged` does of what CovOG has made: some models, the metrics and, if they are used, the cached latents."""
    return _damaged(results, lambda: _of_covog(results, models, with_latents), remember)


def _damaged(results: Path, find: Callable[[], Iterator[_Changed]], remember: bool) -> dict[str, str]:
    try:
        gone, younger = [], []
        for one in find():
            (younger if (results / one.file).exists() else gone).append(one)
        if len(younger) > _MOST:
            logging.getLogger(__name__).warning(
                "%d files are younger than their jobs; none of them is looked at.", len(younger)
            )
        looked_at = [*gone, *(younger if len(younger) <= _MOST else [])]
        found = {one.file: one.output for one in looked_at if one.is_damaged(results)}
    except OSError as error:
        raise InputError(f"{results} cannot be read ({error}); see to its files and run again.") from error
    if remember:
        for one in younger:
            if one.file not in found:
                one.remember(results)
    return found


def _of_videos(results: Path, videos: pd.DataFrame) -> Iterator[_Changed]:
    ids = set(videos["video"])
    for stage in STAGES:
        for video, benchmark in _benchmarks(results / "benchmarks" / stage):
            if video in ids:
                yield from _younger(results, files_of(stage, video), benchmark)
    for name, benchmark in _benchmarks(results / "benchmarks"):
        yield from _younger(results, AGGREGATES.get(name, []), benchmark)
    yield from _of_clips(results, ids)
    yield from _of_sources(results, videos)


def _of_clips(results: Path, ids: Collection[str]) -> Iterator[_Changed]:
    """Yield what has changed in, or is gone from, the folders of the kept clips."""
    collected, since = _collected(results / "dataset/clips.parquet")
    for video, benchmark in _benchmarks(results / "benchmarks/annotations"):
        index, *_ = files_of("annotations", video)
        if video not in ids or not (results / index).exists():
            continue
        # One table is read sooner than thousands: if it is younger, and knows the video.
        is_collected = video in collected and benchmark.stat().st_mtime < since
        for clip in collected[video] if is_collected else [clip for (clip,) in _columns(results / index, ["clip"])]:
            if (results / "dataset" / clip).exists():
                yield from _younger(results, [f"dataset/{clip}/{name}" for name in CLIP_FILES], benchmark, index)
            else:
                yield _Changed(f"dataset/{clip}", Path(benchmark.path), index)


def _collected(table: Path) -> tuple[dict[str, list[str]], float]:
    """Return the clips of each video by the table over all, and when it was made."""
    clips: dict[str, list[str]] = {}
    if not table.exists():
        return clips, 0.0
    for video, clip in _columns(table, ["video", "clip"]):
        clips.setdefault(video, []).append(clip)
    return clips, table.stat().st_mtime


def _columns(table: Path, names: list[str]) -> list[tuple]:
    """Return rows of some columns of a table, none if it cannot be read, which is looked at elsewhere."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        read = pq.read_table(table, columns=names, partitioning=None)
        return list(zip(*(read[name].to_pylist() for name in names), strict=True))
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return []


def _of_sources(results: Path, videos: pd.DataFrame) -> Iterator[_Changed]:
    """Yield films and downloads that have changed since something was made of them, whose probes tell what they were."""
    ended = {f"films/{film}.mp4": benchmark for film, benchmark in _benchmarks(results / "benchmarks/films")}
    ended |= {f"downloads/{video}.bin": of for video, of in _benchmarks(results / "benchmarks/downloads")}
    if not ended:
        return
    users: dict[str, list[str]] = {}
    for video, path in videos[["video", "path"]].itertuples(index=False):
        if sheet.film_of(path) or sheet.is_url(path):
            source = sheet.file_of("", video, path).relative_to("results")
            users.setdefault(str(source), []).append(video)
    for source in users.keys() & ended.keys():
        for one in _younger(results, [source], ended[source]):
            probes = (_ingested(results / files_of("media", video)[0]) for video in users[source])
            if sums := frozenset(filter(None, probes)):
                yield replace(one, sums=sums)


def _ingested(probe: Path) -> str:
    """Return the SHA-256 of what was ingested, empty if nobody can tell."""
    try:
        return json.loads(probe.read_text(encoding="utf-8")).get("sha256") or ""
    except (FileNotFoundError, ValueError, AttributeError):
        return ""


def _of_covog(results: Path, models: Collection[str], with_latents: bool) -> Iterator[_Changed]:
    folder = results / "benchmarks/covog"
    for name, benchmark in _benchmarks(folder):
        if name == "evaluate":
            yield from _younger(results, ["covog/metrics.parquet"], benchmark)
        elif name == "latents" and with_latents and (results / f"{_LATENTS}.done").exists():
            files = [f"{_LATENTS}/{file.name}" for file in sorted((results / _LATENTS).glob("[!.]*.safetensors"))]
            yield from _younger(results, files, benchmark, f"{_LATENTS}.done")
    for model in models:
        for name, benchmark in _benchmarks(folder / model):
            yield from _younger(results, [f"covog/{model}/{file}" for file in _OF_MODEL.get(name, [])], benchmark)


def _benchmarks(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from ((entry.name.removesuffix(".tsv"), entry) for entry in entries if entry.name.endswith(".tsv"))


def _younger(results: Path, files: Iterable[str], benchmark: os.DirEntry, output: str = "") -> Iterator[_Changed]:
    """Yield the files that are younger than the benchmark; those of an `output` that is not a file of its own also if they are gone."""
    ended = benchmark.stat().st_mtime
    for file in files:
        try:
            is_changed = os.stat(f"{results}/{file}").st_mtime > ended + _SLACK_S
        except (FileNotFoundError, NotADirectoryError):
            is_changed = bool(output)
        if is_changed:
            yield _Changed(file, Path(benchmark.path), output or file)
