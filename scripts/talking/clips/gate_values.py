"""Gate values of right clips and of other clips of real videos, as a table."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from talking.clips import gates
from talking.core import tables
from talking.core.errors import InputError

# A measured clip is right if so much of it lies in a right one with as many people, and it covers as much of that.
_COMMON = 0.7


def right_clips(path: Path) -> dict[str, tuple[list, list]]:
    """Return by video the right clips and the doubtful ones, each (start, end, participants), of a truth that a person wrote.

    The file is an object of videos with `clips` (`by_eye`), or one video's object with `video` and `shots`, each with start, end,
    participants, clip and doubt. Raises InputError that names the file if it is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if "shots" in content:
            spans = [(s["start"], s["end"], len(s["participants"]), s["clip"], s["doubt"]) for s in content["shots"]]
            found = [span[:3] for span in spans if span[3]], [span[:3] for span in spans if span[4]]
            return {content["video"]: found}
        return {v: ([tuple(c) for c in of["clips"]], []) for v, of in content.items() if isinstance(of, dict)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no truth of right clips ({error!r}).") from error


def judged(clips: pd.DataFrame, right: list, doubtful: list) -> np.ndarray:
    """Return "right", "other" or "" (doubtful) for each row of the table `clips` (its measured ones)."""

    def is_in(row: tuple, spans: list) -> bool:
        start, end, people = row
        return any(
            people == count
            and (common := min(end, last) - max(start, first)) >= _COMMON * (end - start)
            and common >= _COMMON * (last - first)
            for first, last, count in spans
        )

    rows = clips[["start_frame", "end_frame", "num_people"]].itertuples(index=False)
    return np.array(["right" if is_in(r, right) else "" if is_in(r, doubtful) else "other" for r in rows], dtype=object)


def measured(results: Iterable[Path], truth: dict[str, tuple[list, list]]) -> pd.DataFrame:
    """Return the measured clips of folders of results whose videos have a truth, with the column `judged`; doubtful ones are left out."""
    parts = []
    for video, (right, doubtful) in truth.items():
        for folder in results:
            path = Path(folder) / "clips" / f"{video}.parquet"
            if path.exists():
                clips = tables.read("clips", path)
                clips = clips[clips["candidate"]]
                parts.append(clips.assign(judged=judged(clips, right, doubtful)))
    if not parts:
        raise InputError("none of the folders of results has clips of a video of the truth.")
    every = pd.concat(parts, ignore_index=True)
    return every[every["judged"] != ""].drop_duplicates(["clip", "num_people", "judged"], ignore_index=True)


def table(clips: pd.DataFrame, settings: gates.Settings | None = None) -> str:
    """Return a Markdown table of every gate: its limit, the worst of right clips, the range of other clips, how many of these it rejects."""
    settings = settings or gates.Settings()
    right, other = (clips[clips["judged"] == kind] for kind in ("right", "other"))
    lines = [
        f"| gate | default | worst of {len(right)} right clips | {len(other)} other clips | rejects of these |",
        "|---|---|---|---|---|",
    ]
    for gate in dataclasses.fields(gates.Settings):
        bound, column = gate.name.split("_", 1)
        limit = getattr(settings, gate.name)
        values, others = (part[column].dropna().astype(float) for part in (right, other))
        worst = values.min() if bound == "min" else values.max()
        rejected = int((others < limit if bound == "min" else others > limit).sum())
        spread = f"{_figure(others.min())} to {_figure(others.max())}" if len(others) else "-"
        lines.append(f"| `{gate.name}` | {limit:g} | {_figure(worst)} | {spread} | {rejected} |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return "cannot be told" if pd.isna(value) else f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
