"""How true the labels of a video are where people have reviewed them: the models' own decisions against the corrected ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from talking.core import intervals
from talking.review import apply
from talking.review.decisions import DROP, KEEP, Decision
from talking.scoring import labels
from talking.scoring.figures import plain, ratio
from talking.video import media


def score(
    own: pd.DataFrame,
    transcript: pd.DataFrame,
    clips: pd.DataFrame,
    faces: apply.Faces,
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    """Return every figure as a nested dict of plain numbers, ready for JSON.

    `own` is the table `speaking` as the models decide without a review. Who speaks and which words are wrong is scored where a reviewer says
    that the labels are right, with the corrections made there as truth; clips where one keeps or drops them.
    """
    spans = intervals.union([apply.frames(d) for d in decisions if d.field == "labels"])
    return plain(
        {
            "reviewed_s": intervals.total(spans) / media.FPS,
            "speaking": _speaking(own, faces, decisions, spans),
            "words": _words(transcript, decisions, spans),
            "clips": _clips(clips, decisions),
        }
    )


def _speaking(
    own: pd.DataFrame, faces: apply.Faces, decisions: Sequence[Decision], spans: list[intervals.Interval]
) -> dict[str, Any]:
    truth = apply.speaking(own, decisions, faces)["speaking"]
    takes_part = faces.people.loc[faces.people["role"] == "participant", "tracks"]
    tracks = {int(track) for tracks in takes_part for track in tracks}
    inside = np.zeros(len(own), dtype=bool)
    for start, end in spans:
        inside |= own["frame"].between(start, end - 1).to_numpy()
    seen = own.assign(truth=truth)[inside & own["track"].isin(tracks).to_numpy()]
    return labels.speaking(seen, len(seen))


def _words(transcript: pd.DataFrame, decisions: Sequence[Decision], spans: list[intervals.Interval]) -> dict[str, Any]:
    middle = ((transcript["start_s"] + transcript["end_s"]) / 2 * media.FPS).to_numpy()
    wrong = [apply.frames(d) for d in decisions if d.field == "words"]
    inside, called_wrong = (_within(middle, ranges) for ranges in (spans, wrong))
    count = int((inside & called_wrong).sum())
    return {"words": int(inside.sum()), "wrong": count, "wrong_share": ratio(count, int(inside.sum()))}


def _clips(clips: pd.DataFrame, decisions: Sequence[Decision]) -> dict[str, Any]:
    """Return how often the gates agree with reviewers about a clip."""
    reviewed = apply.clips(clips.assign(reviewed=""), decisions)["reviewed"].str.split(",").str[0]
    gates = (
        clips["rejected_by"].str.split(",").map(lambda reasons: not {*reasons} - {"", apply.REASON})
        & clips["candidate"]
    )
    counts = {
        "kept_by_both": (reviewed == KEEP) & gates,
        "kept_by_gates_alone": (reviewed == DROP) & gates,
        "kept_by_reviewers_alone": (reviewed == KEEP) & ~gates,
        "dropped_by_both": (reviewed == DROP) & ~gates,
    }
    return {name: int(found.sum()) for name, found in counts.items()}


def _within(values: np.ndarray, ranges: list[intervals.Interval]) -> np.ndarray:
    found = np.zeros(len(values), dtype=bool)
    for start, end in ranges:
        found |= (values >= start) & (values < end)
    return found
