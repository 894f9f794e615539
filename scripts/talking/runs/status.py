"""State of a run: for each video of the sample sheet and each stage what is done, begun, failed and left."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from talking.runs import giving_up
from talking.runs.stages import STAGES, files_of
from talking.runs.throughput import Pace


@dataclass
class Video:
    """A video's state: `done`, `unusable` (with the reason), `failed` (a job was given up), `begun` or `left`.

    A job that has begun runs, or was ended with its run: it has a log and no output yet.
    """

    video: str
    state: str
    seconds: float | None
    reason: str = ""
    done: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def videos(results: Path, names: Iterable[str]) -> list[Video]:
    """Return the states of videos, by the files below `results`."""
    names = list(names)
    given_up = giving_up.of_videos(results, set(names))
    return [_video(results, name, given_up.get(name)) for name in names]


def _video(results: Path, name: str, given_up: giving_up.Failure | None) -> Video:
    files = {stage: results / files_of(stage, name)[0] for stage in STAGES}
    done = {stage for stage, file in files.items() if file.exists()}
    logs = {stage: results / "logs" / stage / f"{name}.log" for stage in STAGES}
    begun = [stage for stage in STAGES if stage not in done and logs[stage].exists()]
    try:
        probe = json.loads(files["media"].read_text(encoding="utf-8")) if "media" in done else {}
    except ValueError:
        # Damaged: verify_store.py finds it.
        probe = {}
        done.discard("media")
    found = Video(name, "left", probe.get("duration_s"), done=done, begun=begun)
    if given_up is not None:
        broken = [stage for stage in STAGES if set(files_of(stage, name)) & set(given_up.outputs)]
        found.state, found.reason, found.failed = "failed", given_up.reason, broken
        found.done -= set(broken)
    elif probe.get("status") == "failed":
        found.state, found.reason = "unusable", probe["reason"]
    elif len(done) == len(STAGES):
        found.state = "done"
    elif begun:
        found.state, found.reason = "begun", f"{begun[0]}: {_last_line(logs[begun[0]])} ({logs[begun[0]]})"
    return found


def by_video(found: Iterable[Video]) -> str:
    """Return a line for each video: its id, state, seconds, how many stages are done, and the reason or the log of what has begun."""
    lines = ["video\tstate\tseconds\tstages\tnote"]
    for v in found:
        seconds = "?" if v.seconds is None else f"{v.seconds:.0f}"
        lines.append(f"{v.video}\t{v.state}\t{seconds}\t{len(v.done)}/{len(STAGES)}\t{v.reason}")
    return "\n".join(lines)


def by_stage(found: list[Video], pace: Pace) -> str:
    """Return a line for each stage: videos and hours of video done, begun, failed and left, hours of work left, and in how many
    hours that will be done ("?" where no job ended lately).

    A length not known yet counts as the mean of those that are.
    """
    known = [v.seconds for v in found if v.seconds]
    mean = sum(known) / len(known) if known else 0.0
    lines, total = ["stage\tdone\thours\tbegun\tfailed\tleft\thours\twork_left_h\ttime_left_h"], 0.0
    for stage in STAGES:
        done = [v for v in found if stage in v.done]
        left = [v for v in found if stage not in v.done]
        left_s = sum(mean if v.seconds is None else v.seconds for v in left)
        work = left_s * pace.s_per_video_s[stage] / 3600
        total += work
        begun, failed = sum(stage in v.begun for v in found), sum(stage in v.failed for v in found)
        done_h = sum(v.seconds or 0.0 for v in done) / 3600
        lines.append(
            f"{stage}\t{len(done)}\t{done_h:.1f}\t{begun}\t{failed}\t{len(left)}\t{left_s / 3600:.1f}\t{_hours(pace, work)}"
        )
    return "\n".join([*lines, f"all\t\t\t\t\t\t\t{_hours(pace, total)}"])


def _hours(pace: Pace, work_h: float) -> str:
    time_h = pace.hours_left(work_h)
    return f"{work_h:.1f}\t{'?' if time_h is None else f'{time_h:.1f}'}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no word in its log"
