"""How true the labels of a video are, measured against a truth of face boxes and speaker turns.

Faces are matched with the truth frame by frame at IoU ≥ 0.5 (CLEAR MOT; Bernardin and Stiefelhagen, 2008), diarization
is scored by pyannote.metrics. A figure that cannot be computed (no such table, nothing to score) is None.
"""

from typing import Any

import motmetrics
import numpy as np
import pandas as pd
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from talking.core import boxes, intervals
from talking.core.intervals import Interval
from talking.scoring import short_turns, word_error
from talking.scoring.figures import plain, ratio
from talking.scoring.results import Labels
from talking.scoring.right_clips import ClipRule, right_clips
from talking.scoring.truth import Truth
from talking.speech import turns
from talking.speech.turns import Turn
from talking.video import media

_BOX = ["x1", "y1", "x2", "y2"]
MATCH_IOU = 0.5
CUT_TOLERANCE_FRAMES = 1
# How far an edge of a turn may be off on either side without counting, as is usual since NIST's RT evaluations.
COLLAR_S = 0.25


def score(truth: Truth, labels: Labels, rule: ClipRule | None = None) -> dict[str, Any]:
    """Return every figure as a nested dict of plain numbers, ready for JSON."""
    frames = _length(truth, labels)
    spoken = turns.spoken_frames(truth.turns, frames)
    matched = said(truth, labels)
    if labels.speaking is not None:
        columns = ["track", "frame", "score", "score_smooth", "speaking", "speaking_confidence"]
        matched = matched.merge(labels.speaking[columns], on=["track", "frame"], how="left")
    out = {
        "frames": frames,
        "faces": _faces(truth, labels, matched),
        "identities": _identities(labels, matched),
        "people": _people(labels, matched) if labels.people is not None else None,
        "speaking": speaking(matched, len(truth.boxes)) if labels.speaking is not None else None,
        "short_turns": short_turns.recall(truth.turns, _labelled(matched)) if labels.speaking is not None else None,
        "shots": _per_shot(truth, labels, matched),
        "cuts": _cuts(truth.shots, labels.shots) if truth.shots is not None and labels.shots is not None else None,
        "clips": _clips(truth, labels, frames, spoken, rule or ClipRule()),
        "diarization": diarization(truth.turns, labels.turns, frames) if labels.turns is not None else None,
        "words": word_error.score(truth, labels.words, matched) if labels.words is not None else None,
    }
    return plain(out)


def said(truth: Truth, labels: Labels) -> pd.DataFrame:
    """Return a row frame, person, track, truth for each true face that was found: whether its person speaks."""
    matched = match_faces(truth.boxes, labels.tracks)
    spoken = turns.spoken_frames(truth.turns, _length(truth, labels))
    pairs = zip(matched["person"], matched["frame"], strict=True)
    return matched.assign(truth=[bool(spoken[p][f]) if p in spoken else False for p, f in pairs])


def match_faces(truth: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return one row (frame, person, track) for each true box matched with a track's box, in order of time.

    One to one in each frame, at IoU ≥ 0.5; a pair of the frame before is kept while it still fits.
    """
    people, ids = np.unique(truth["person"].to_numpy(dtype=str), return_inverse=True)
    of_truth = _by_frame(truth["frame"].to_numpy(), ids, truth[_BOX].to_numpy(dtype=float))
    of_found = _by_frame(found["frame"].to_numpy(), found["track"].to_numpy(), found[_BOX].to_numpy(dtype=float))
    none = (np.zeros(0, dtype=int), np.zeros((0, 4)))
    record = motmetrics.MOTAccumulator()
    for frame in sorted(of_truth.keys() | of_found.keys()):
        (true_ids, true_boxes), (found_ids, found_boxes) = of_truth.get(frame, none), of_found.get(frame, none)
        distance = 1 - boxes.iou_matrix(true_boxes, found_boxes)
        distance[distance > 1 - MATCH_IOU] = np.nan
        record.update(true_ids, found_ids, distance, frameid=frame)
    events = record.mot_events.reset_index()
    events = events[events["Type"].isin(["MATCH", "SWITCH"])]
    return pd.DataFrame(
        {
            "frame": events["FrameId"].astype(int),
            "person": people[events["OId"].astype(int)] if len(events) else np.zeros(0, dtype=str),
            "track": events["HId"].astype(int),
        }
    ).reset_index(drop=True)


def _by_frame(frame: np.ndarray, ids: np.ndarray, box: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    order = np.argsort(frame, kind="stable")
    names, starts = np.unique(frame[order], return_index=True)
    if not names.size:
        return {}
    return {int(f): (ids[at], box[at]) for f, at in zip(names, np.split(order, starts[1:]), strict=True)}


def _faces(truth: Truth, labels: Labels, matched: pd.DataFrame) -> dict[str, Any]:
    """Return recall, precision and the two kinds of mistaken identity in tracks."""
    ordered = matched.sort_values(["track", "frame"])
    changes = (ordered["track"].eq(ordered["track"].shift())) & ordered["person"].ne(ordered["person"].shift())
    shots = _shot_starts(truth, labels)
    ordered = matched.assign(shot=np.searchsorted(shots, matched["frame"], side="right"))
    ordered = ordered.sort_values(["shot", "person", "frame"])
    again = ordered["shot"].eq(ordered["shot"].shift()) & ordered["person"].eq(ordered["person"].shift())
    return {
        "true_boxes": len(truth.boxes),
        "found_boxes": len(labels.tracks),
        "recall": ratio(len(matched), len(truth.boxes)),
        "precision": ratio(len(matched), len(labels.tracks)),
        "id_swaps": int(changes.sum()),
        "track_switches_in_shots": int((again & ordered["track"].ne(ordered["track"].shift())).sum()),
        "tracks": int(labels.tracks["track"].nunique()),
    }


def _identities(labels: Labels, matched: pd.DataFrame) -> dict[str, Any] | None:
    """Return how pure the people found are, and how completely each true person is one of them."""
    if labels.identities is None or matched.empty:
        return None
    found = matched["track"].map(labels.identities.set_index("track")["person"])
    found = found.fillna("track " + matched["track"].astype(str))
    counts = pd.crosstab(found, matched["person"]).to_numpy()
    return {
        "purity": ratio(counts.max(axis=1).sum(), counts.sum()),
        "completeness": ratio(counts.max(axis=0).sum(), counts.sum()),
        "people_true": counts.shape[1],
        "people_found": counts.shape[0],
    }


def _people(labels: Labels, matched: pd.DataFrame) -> dict[str, Any]:
    """Return how many participants (rows of the people table) there are, and how many of them show no true face in half of their frames."""
    taking_part = labels.people[labels.people["role"] == "participant"]
    right = matched.groupby("track").size()
    shares = [right.reindex(t).sum() / n for t, n in zip(taking_part["tracks"], taking_part["num_frames"], strict=True)]
    return {"participants": len(taking_part), "false": sum(share < 0.5 for share in shares)}


def _labelled(matched: pd.DataFrame) -> pd.DataFrame:
    """Return the faces (frame, person, speaking) that have a label."""
    return matched.dropna(subset=["score_smooth"])[["frame", "person", "speaking"]]


def speaking(matched: pd.DataFrame, true_boxes: int) -> dict[str, Any]:
    """Return the figures of the speaking labels over person-frames whose face was found and scored.

    `matched` has the columns of the table `speaking` and `truth`; there are `true_boxes` faces, found or not.
    """
    scored = matched.dropna(subset=["score_smooth"])
    truth = scored["truth"].to_numpy(dtype=bool)
    decided = scored["speaking"].to_numpy(dtype=bool)
    both = 0 < truth.sum() < truth.size
    out = {
        "person_frames": len(scored),
        "not_scored": true_boxes - len(scored),
        "speaking_share": ratio(truth.sum(), truth.size),
        "accuracy": ratio((decided == truth).sum(), truth.size),
        "false_positives": int((decided & ~truth).sum()),
        "false_negatives": int((~decided & truth).sum()),
        "f1": float(f1_score(truth, decided)) if truth.any() else None,
    }
    for column in ("score_smooth", "score"):
        value = scored[column].to_numpy(dtype=float)
        out[column] = {
            "accuracy_at_0": ratio(((value > 0) == truth).sum(), truth.size),
            "average_precision": float(average_precision_score(truth, value)) if truth.any() else None,
            "roc_auc": float(roc_auc_score(truth, value)) if both else None,
            "f1_at_0": float(f1_score(truth, value > 0)) if truth.any() else None,
        }
    return out | {"calibration": _calibration(scored["speaking_confidence"].to_numpy(dtype=float), decided == truth)}


def _calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Return how often decisions (n,) of a stated confidence are right, in bins of 0.1, and their mean distance.

    The distance is the expected calibration error (Naeini et al., AAAI 2015).
    """
    of_bin = np.clip((confidence * 10).astype(int), 0, 9)
    bins = [
        {
            "confidence": float(confidence[rows].mean()),
            "right": float(right[rows].mean()),
            "person_frames": int(rows.sum()),
        }
        for k in np.unique(of_bin)
        if (rows := of_bin == k).any()
    ]
    away = sum(abs(b["confidence"] - b["right"]) * b["person_frames"] for b in bins)
    return {"expected_calibration_error": ratio(away, confidence.size), "bins": bins}


def _per_shot(truth: Truth, labels: Labels, matched: pd.DataFrame) -> list[dict[str, Any]] | None:
    if truth.shots is None:
        return None
    out = []
    for (start, end), hard in zip(truth.shots, truth.hard or [""] * len(truth.shots), strict=True):
        boxes_in, tracks_in, inside = (
            rows[rows["frame"].between(start, end - 1)] for rows in (truth.boxes, labels.tracks, matched)
        )
        row = {
            "start_frame": start,
            "end_frame": end,
            "hard": hard,
            "people": int(boxes_in["person"].nunique()),
            "recall": ratio(len(inside), len(boxes_in)),
            "precision": ratio(len(inside), len(tracks_in)),
        }
        if labels.speaking is not None:
            figures = speaking(inside, len(boxes_in))
            row |= {k: figures[k] for k in ("person_frames", "speaking_share", "accuracy", "f1")}
            row["average_precision"] = figures["score_smooth"]["average_precision"]
        out.append(row)
    return out


def _cuts(truth: list[Interval], found: pd.DataFrame) -> dict[str, Any]:
    """Return how many cuts were found within a frame, one to one."""
    true_cuts = np.array(sorted(start for start, _ in truth)[1:], dtype=float)
    cuts = np.sort(found["start_frame"].to_numpy(dtype=float))[1:]
    off = np.abs(true_cuts[:, None] - cuts[None])
    pairs = linear_sum_assignment(np.where(off <= CUT_TOLERANCE_FRAMES, off, 1e6))
    hits = int((off[pairs] <= CUT_TOLERANCE_FRAMES).sum())
    return {
        "true": true_cuts.size,
        "found": cuts.size,
        "within_a_frame": hits,
        "recall": ratio(hits, true_cuts.size),
        "precision": ratio(hits, cuts.size),
    }


def _clips(
    truth: Truth, labels: Labels, frames: int, spoken: dict[str, np.ndarray], rule: ClipRule
) -> dict[str, Any] | None:
    """Return how the kept clips agree with the right ones, which may be split into several.

    A right clip is found if kept clips cover at least 80 % of it; a kept clip is right if at least 95 % of it lies in
    one right clip and it has as many people.
    """
    if labels.clips is None:
        return None
    starts = _shot_starts(truth, labels)
    shots = truth.shots if truth.shots is not None else list(zip(starts, [*starts[1:], frames], strict=True))
    right = right_clips(truth, shots, frames, spoken, rule)
    kept = labels.clips[labels.clips["kept"]]
    spans = [(int(a), int(b)) for a, b in zip(kept["start_frame"], kept["end_frame"], strict=True)]

    def is_right(span: Interval, people: int) -> bool:
        return any(
            len(clip["people"]) == people
            and _common(span, [(clip["start_frame"], clip["end_frame"])]) >= 0.95 * (span[1] - span[0])
            for clip in right
        )

    covered = [
        _common((clip["start_frame"], clip["end_frame"]), intervals.union(spans))
        / (clip["end_frame"] - clip["start_frame"])
        for clip in right
    ]
    wrong = [s for s, n in zip(spans, kept["num_people"], strict=True) if not is_right(s, int(n))]
    return {
        "right": len(right),
        "found": sum(share >= 0.8 for share in covered),
        "kept": len(spans),
        "kept_wrong": len(wrong),
        "missed": [[c["start_frame"], c["end_frame"]] for c, share in zip(right, covered, strict=True) if share < 0.8],
        "wrong": [list(span) for span in wrong],
    }


def diarization(truth: list[Turn], found: list[Turn], frames: int) -> dict[str, Any]:
    """Return diarization error and its parts, without a collar and with the two collars that go by the name 0.25 s."""
    reference, hypothesis = _annotation(truth), _annotation(found)
    whole = Timeline([Segment(0, max([frames / media.FPS] + [t.end_s for t in truth + found]))])
    out: dict[str, Any] = {"speakers_true": len(reference.labels()), "speakers_found": len(hypothesis.labels())}
    for name, each_side in (
        ("collar_0.25_each_side", COLLAR_S),
        ("collar_0.25_in_all", COLLAR_S / 2),
        ("no_collar", 0.0),
    ):
        # pyannote.metrics' collar is the width in all, half on either side of an edge.
        parts = DiarizationErrorRate(collar=2 * each_side)(reference, hypothesis, uem=whole, detailed=True)
        out[name] = {
            "error": parts["diarization error rate"] if parts["total"] else None,
            "missed_s": parts["missed detection"],
            "false_alarm_s": parts["false alarm"],
            "confusion_s": parts["confusion"],
            "speech_s": parts["total"],
        }
    return out


def _shot_starts(truth: Truth, labels: Labels) -> list[int]:
    """Return the first frames of the true shots if known, else of those found, else 0."""
    if truth.shots is not None:
        return sorted(start for start, _ in truth.shots)
    if labels.shots is not None and len(labels.shots):
        return sorted(labels.shots["start_frame"].astype(int))
    return [0]


def _length(truth: Truth, labels: Labels) -> int:
    last = [rows["frame"].max() + 1 for rows in (truth.boxes, labels.tracks) if len(rows)]
    last += [int(np.ceil(turn.end_s * media.FPS)) for turn in truth.turns]
    last += [end for _, end in truth.shots or []]
    return int(max(last, default=0))


def _common(span: Interval, others: list[Interval]) -> int:
    return intervals.total(intervals.intersect([span], others))


def _annotation(spoken: list[Turn]) -> Annotation:
    annotation = Annotation()
    for i, turn in enumerate(spoken):
        annotation[Segment(turn.start_s, turn.end_s), i] = turn.speaker
    return annotation
