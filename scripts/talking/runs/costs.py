"""Requested resources of jobs: memory, time and disk, from the benchmark files and outputs of past runs and the lengths of their videos."""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from talking.core import tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.runs.stages import STAGES, files_of

# Lengths must differ this much for growth with length to stand out from noise.
_SPAN = 3.0
_COLUMNS = ("benchmark", "mem_mb", "mem_mb_per_video_s", "s_per_video_s", "disk_mb_per_video_s")


@dataclass(frozen=True)
class Need:
    """What a job needs: memory (MB) at no length and for each second of video; seconds and disk (MB) for each second of video."""

    mem_mb: float
    mem_mb_per_video_s: float
    s_per_video_s: float
    disk_mb_per_video_s: float


@dataclass(frozen=True)
class Job:
    """A finished job: its folder of benchmarks, its video's length (s), its peak memory (MB), how long it took (s) and what it wrote (MB)."""

    benchmark: str
    video_s: float
    mem_mb: float
    seconds: float
    disk_mb: float


def together(needs: Sequence[Need]) -> Need:
    """Return what a job needs whose networks, one row each, run one after the other: memory and time add up, the rest is the largest.

    Networks stay in memory once they are loaded.
    """
    return Need(
        sum(need.mem_mb for need in needs),
        max(need.mem_mb_per_video_s for need in needs),
        sum(need.s_per_video_s for need in needs),
        max(need.disk_mb_per_video_s for need in needs),
    )


def table() -> Path:
    """Return the file of the table of needs that comes with the package."""
    return Path(__file__).with_name("jobs.tsv")


def read_needs(path: Path) -> dict[str, Need]:
    """Return the table of needs by folder of benchmarks; raises InputError if it is not one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t")
            return {row["benchmark"]: Need(*(float(row[c]) for c in _COLUMNS[1:])) for row in rows}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no table of what jobs need ({error!r}); make it with fit_resources.") from error


def write_needs(path: Path, needs: dict[str, Need]) -> None:
    """Write the table of needs."""
    lines = ["\t".join(_COLUMNS)]
    lines += [
        f"{k}\t{n.mem_mb:.0f}\t{n.mem_mb_per_video_s:.3f}\t{n.s_per_video_s:.3f}\t{n.disk_mb_per_video_s:.3f}"
        for k, n in sorted(needs.items())
    ]
    with atomic_write(path) as aside:
        aside.write_text(
            "# Made by fit_resources from the benchmark files of past runs; docs/cluster.md says how.\n"
            + "\n".join(lines)
            + "\n"
        )


def finished_jobs(results: Path, clock: str) -> list[Job]:
    """Return the jobs on single videos whose benchmark files lie below a folder of results.

    `clock` is the column of the time: `s` (wall) or `cpu_time` (processor). Jobs too short to be
    measured and videos of no length are left out.
    """
    jobs = []
    for file in sorted((results / "benchmarks").glob("*/*.tsv")):
        seconds = _length(results / "media" / f"{file.stem}.json")
        if seconds is None:
            continue
        with file.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                memory, taken = finite(row.get("max_rss")), finite(row.get(clock))
                if memory and taken:
                    jobs.append(
                        Job(file.parent.name, seconds, memory, taken, _disk_mb(results, file.parent.name, file.stem))
                    )
    return jobs


def fit(jobs: Iterable[Job], known: dict[str, Need]) -> dict[str, Need]:
    """Return `known` with the needs that jobs of these names show: no job of them would have lacked anything.

    Memory is a line over length through the most that the shortest and the longest videos took; where lengths are alike,
    its slope is the known one.
    """
    by_name = defaultdict(list)
    for job in jobs:
        by_name[job.benchmark].append(job)
    return known | {name: _need(by_name[name], need) for name, need in known.items() if name in by_name}


def _need(jobs: list[Job], known: Need) -> Need:
    shortest, longest = (f(job.video_s for job in jobs) for f in (min, max))
    slope = known.mem_mb_per_video_s
    if longest >= _SPAN * shortest:
        low, high = (max(j.mem_mb for j in jobs if j.video_s == s) for s in (shortest, longest))
        slope = max(0.0, (high - low) / (longest - shortest))
    base = max(job.mem_mb - slope * job.video_s for job in jobs)
    seconds = max(job.seconds / job.video_s for job in jobs)
    disk_mb = max(job.disk_mb / job.video_s for job in jobs)
    return Need(max(base, 0.0), slope, seconds, disk_mb)


def _disk_mb(results: Path, stage: str, video: str) -> float:
    if stage not in STAGES:
        return 0.0
    files = [results / name for name in files_of(stage, video)]
    # Beside its tables this one writes the clips' folders.
    clips = tables.read(stage, files[0])["bytes"].sum() if stage == "annotations" and files[0].exists() else 0
    # A stage's folder, too.
    written = (f for file in files for f in (file.rglob("*") if file.is_dir() else [file]) if f.exists())
    return (clips + sum(f.stat().st_size for f in written)) / 1e6


def _length(probe: Path) -> float | None:
    try:
        seconds = json.loads(probe.read_text(encoding="utf-8"))["duration_s"]
    except (OSError, ValueError):
        return None
    return seconds or None


def finite(text: str | None) -> float:
    """Return the number of a benchmark's field, 0 where it has none."""
    try:
        value = float(text or "nan")
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
