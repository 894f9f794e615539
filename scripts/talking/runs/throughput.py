"""Throughput of a run, by the benchmarks of its jobs: time for a second of video at each stage, and how many jobs run at a time."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from talking.runs.costs import Need, finite
from talking.runs.stages import STAGES

# The number of jobs at a time is estimated from jobs that ended in this last period, the time for a second of video from so many jobs
# of each stage.
_WHILE_S = 3600
_LATEST = 200


@dataclass(frozen=True)
class Pace:
    """Seconds of work for each second of video, by stage; jobs that run at a time (0 where none ended lately)."""

    s_per_video_s: dict[str, float]
    at_a_time: float

    def hours_left(self, work_h: float) -> float | None:
        """Return in how many hours so much work will be done; None if unknown."""
        if not work_h:
            return 0.0
        return work_h / self.at_a_time if self.at_a_time else None


def of_run(results: Path, seconds: Mapping[str, float | None], needs: Mapping[str, Need], now: float) -> Pace:
    """Return the throughput of a run whose videos last so many `seconds`, at the time `now`.

    A stage of which no job has ended takes what `needs` says.
    """
    rates, lately = {}, []
    for stage in STAGES:
        jobs = _latest(results / "benchmarks" / stage, now)
        lately += [(ended, took) for ended, _, took in jobs if ended > now - _WHILE_S]
        timed = [(took, seconds[video]) for _, video, took in jobs[:_LATEST] if seconds.get(video)]
        total_s = sum(length for _, length in timed)
        rates[stage] = sum(took for took, _ in timed) / total_s if timed else needs[stage].s_per_video_s
    if not lately:
        return Pace(rates, 0.0)
    began = max(min(ended - took for ended, took in lately), now - _WHILE_S)
    return Pace(rates, sum(ended - max(ended - took, began) for ended, took in lately) / max(now - began, 1.0))


def _latest(benchmarks: Path, now: float) -> list[tuple[float, str, float]]:
    """Return when a stage's jobs ended, their videos and how many seconds they took: the latest ones and all of the last while."""
    if not benchmarks.is_dir():
        return []
    with os.scandir(benchmarks) as entries:
        files = sorted(((e.stat().st_mtime, e.path) for e in entries if e.name.endswith(".tsv")), reverse=True)
    past = [(ended, path) for ended, path in files if ended <= now]
    wanted = [f for place, f in enumerate(past) if place < _LATEST or f[0] > now - _WHILE_S]
    return [(ended, Path(path).stem, _seconds(path)) for ended, path in wanted]


def _seconds(path: str) -> float:
    with open(path, newline="", encoding="utf-8") as lines:
        return sum(finite(row.get("s")) for row in csv.DictReader(lines, delimiter="\t"))
