"""The truth of a video, read from files of who is where, who speaks when and which words."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.speech import turns
from talking.speech.turns import Turn

_BOX = ["x1", "y1", "x2", "y2"]


@dataclass
class Truth:
    """The truth of a video: boxes (frame, person, x1, y1, x2, y2 at 25 fps), turns, and words and shots if known.

    A person of the turns without a box is a voice from off screen; a person with a box and no turn never speaks.
    """

    boxes: pd.DataFrame
    turns: list[Turn]
    words: pd.DataFrame | None = None
    shots: list[Interval] | None = None
    # The hard case of each shot, as film_conversation names it; "" in an ordinary one.
    hard: list[str] | None = None
    # Bystanders: start_frame, end_frame, person.
    bystanders: pd.DataFrame | None = None

    def participants(self) -> pd.DataFrame:
        """Return the boxes of those who take part."""
        looks_on = np.zeros(len(self.boxes), dtype=bool)
        for row in [] if self.bystanders is None else self.bystanders.itertuples():
            inside = self.boxes["frame"].between(row.start_frame, row.end_frame - 1)
            looks_on |= (inside & (self.boxes["person"] == row.person)).to_numpy()
        return self.boxes[~looks_on]


def read_truth(
    turns_file: Path,
    boxes_file: Path,
    words_file: Path | None = None,
    shots_file: Path | None = None,
    video: str = "",
    people_file: Path | None = None,
) -> Truth:
    """Read a truth from an RTTM file, CSV files and a JSON file; raises InputError that names what is wrong.

    Boxes: columns frame, person, x1, y1, x2, y2. Shots: start_frame, end_frame and, if known, hard. People: start_frame, end_frame, person, role
    (everybody but a `bystander` takes part). Words: a list of objects, or an object
    whose key "words" (else "sentences") holds it, with start_s and end_s (or start and end), speaker, and word or text.
    """
    found = _csv(boxes_file, ["frame", "person", *_BOX])
    found = found.astype({"frame": int, "person": str} | dict.fromkeys(_BOX, float))
    shots, hard = None, None
    if shots_file is not None:
        rows = _csv(shots_file, ["start_frame", "end_frame"], ["hard"])
        rows = rows.astype({"start_frame": int, "end_frame": int})
        hard = ["" if pd.isna(kind) else str(kind) for kind in rows["hard"]]
        shots = [(int(a), int(b)) for a, b in zip(rows["start_frame"], rows["end_frame"], strict=True)]
    words = None
    if words_file is not None:
        content = json.loads(Path(words_file).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content = content.get("words") or content.get("sentences") or []
        words = pd.DataFrame(content).rename(columns={"start": "start_s", "end": "end_s", "text": "word"})
        words = words.reindex(columns=["word", "start_s", "end_s", "speaker"]).dropna(subset=["start_s", "end_s"])
    bystanders = None
    if people_file is not None:
        bystanders = _csv(people_file, ["start_frame", "end_frame", "person", "role"]).query("role == 'bystander'")
        bystanders = bystanders.astype({"person": str})
    return Truth(found, turns.read(turns_file, video), words, shots, hard, bystanders)


def _csv(path: Path, columns: list[str], optional: list[str] | None = None) -> pd.DataFrame:
    rows = pd.read_csv(path, skipinitialspace=True)
    missing = [c for c in columns if c not in rows.columns]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(columns)}.")
    return rows.reindex(columns=[*columns, *(optional or [])]).dropna(subset=columns)
