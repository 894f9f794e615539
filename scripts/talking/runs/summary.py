"""Summary of a run in a few lines: outputs, unreadable videos, where to look next."""

import json
from collections.abc import Iterable
from pathlib import Path

from talking.core import tables
from talking.runs import giving_up


def unread(results: Path, videos: Iterable[str], reader: str = "dataset") -> list[tuple[str, str, str]]:
    """Return (video, status, reason) of every video that could not be used in full, by its probe or as a stage that `reader` is made of failed on it."""
    videos = list(videos)
    out, left_out = [], giving_up.left_out(results, set(videos), reader)
    for video in videos:
        if video in left_out:
            out.append((video, "failed", left_out[video]))
            continue
        probe = results / "media" / f"{video}.json"
        if probe.exists():
            found = json.loads(probe.read_text())
            if found["status"] != "ok":
                out.append((video, found["status"], found["reason"]))
    return out


def is_usable(probe: Path) -> bool:
    """Return True if a probe says that its video could be read."""
    try:
        return json.loads(probe.read_text(encoding="utf-8"))["status"] != "failed"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def closing_words(results: Path, videos: Iterable[str], sheet: Path) -> str:
    """Return the summary of a run on the videos of a sample sheet."""
    videos = list(videos)
    lines = []
    clips = results / "dataset/clips.parquet"
    if clips.exists():
        kept = tables.read("dataset", clips)
        seconds = kept["duration_s"].sum()
        again = int((kept["duplicate_of"] != "").sum())
        shown = f", {again} of them duplicates, which are in no split" if again else ""
        size = f"{len(kept)} clips, {seconds:.0f} s, from {len(videos)} videos{shown}"
        lines.append(f"Data set: {results / 'dataset'} ({size})")
    model = results / "covog/covog/stage2/weights.safetensors"
    if model.exists():
        too_little = "" if model.stat().st_size else ", empty: the data set has too few clips to train on"
        lines.append(f"CovOG:    {model}{too_little}")
    report = results / "report.html"
    if report.exists():
        lines.append(f"Report:   {report} (open it in a browser)")
    gallery = results / "gallery/index.html"
    if gallery.exists():
        lines.append(f"Gallery:  {gallery} (every clip plays there)")
    faults = unread(results, videos)
    for video, status, reason in faults[:20]:
        lines.append(f"Video {video}: {status}: {reason}")
    if len(faults) > 20:
        rest = ", ".join(video for video, *_ in faults[20:])
        lines.append(f"... and {len(faults) - 20} more, with their reasons in {results / 'videos.parquet'}: {rest}.")
    if clips.exists():
        lines.append(
            f"Next: add videos to {sheet}, or correct it, and run the same command again; only what changed is worked on."
            " With the target preview it makes a video of each clip with its labels drawn in."
        )
    return "\n".join(lines)
