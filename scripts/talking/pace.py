"""How fast a run goes, by the benchmarks of its jobs: what a second of video takes at each stage, and how many jobs run at a time."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from talking.costs import Need, finite
from talking.stages import STAGES

# The jobs of this last while tell how many run at a time, and so many of each stage what a second of video takes.
_WHILE_S = 3600
_LATEST = 200


@dataclass(frozen=True)
class Pace:
    """Seconds of work for each second of video, by stage; jobs that run at a time (0 where none ended lately)."""

    s_per_video_s: dict[str, float]
    at_a_time: float

    def hours_left(self, work_h: float) -> float | None:
        """Return in how many hours so much work will be done; None where nothing tells."""
        if not work_h:
            return 0.0
        return work_h / self.at_a_time if self.at_a_time else None


def of_run(results: Path, seconds: Mapping[str, float | None], needs: Mapping[str, Need], now: float) -> Pace:
    """Return the pace of a run whose videos last so many `seconds`, at the time `now`.

    A stage of which no job has ended takes what `needs` says.
    """
    rates, lately = {}, []
    for stage in STAGES:
        jobs = [(ended, took, seconds.get(video)) for ended, video, took in _latest(results / "benchmarks" / stage)]
        lately += [(ended, took) for ended, took, _ in jobs if ended > now - _WHILE_S]
        timed = [(took, length) for _, took, length in jobs if length]
        total_s = sum(length for _, length in timed)
        rates[stage] = sum(took for took, _ in timed) / total_s if timed else needs[stage].s_per_video_s
    if not lately:
        return Pace(rates, 0.0)
    began = min(ended - took for ended, took in lately)
    return Pace(rates, sum(took for _, took in lately) / max(now - began, 1.0))


def _latest(benchmarks: Path) -> list[tuple[float, str, float]]:
    """Return when a stage's latest jobs ended, their videos and how many seconds they took."""
    if not benchmarks.is_dir():
        return []
    with os.scandir(benchmarks) as entries:
        files = sorted(((e.stat().st_mtime, e.path) for e in entries if e.name.endswith(".tsv")), reverse=True)
    return [(ended, Path(path).stem, _seconds(path)) for ended, path in files[:_LATEST]]


def _seconds(path: str) -> float:
    with open(path, newline="", encoding="utf-8") as lines:
        return sum(finite(row.get("s")) for row in csv.DictReader(lines, delimiter="\t"))
