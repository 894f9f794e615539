"""Fit the calibration of faces and roles to videos whose people are known, real and synthetic ones together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from talking import people
from talking.core import boxes, tables
from talking.core.arrays import opened
from talking.core.errors import InputError
from talking.faces import landmarks
from talking.people import calibration, evidence
from talking.video import media

# Weights that separate on real videos: the prior of a fit.
FACE_PRIOR = {"confidence": 1.5, "presence": 3.5, "still": -7.0, "brief": -0.7}
PARTICIPANT_PRIOR = {"smaller": -3.0, "blurred": -0.6, "cut_off": -2.0, "brief": -1.5, "silent": -1.0, "aside": -3.5}
_BIAS_PRIOR = {"face": 0.5, "participant": 6.0}
# The prior counts as much as so many examples; each video as so many.
_PRIOR_EXAMPLES, _EXAMPLES_OF_EACH = 8.0, 5.0
_BOX = ["x1", "y1", "x2", "y2"]
_SAME_FACE_IOU = 0.3
# A living track of so many thumbnails is taken a second time as a still.
_STILL_THUMBNAILS = 3 * media.FPS // landmarks.THUMBNAIL_STEP


@dataclass
class Known:
    """The truth of a video: boxes (frame, x1, ..., y2) of faces and of other things, the frames in which all faces are known, and who takes part.

    `participants` has start, end and the names of each shot's participants, None where they are not known; `ignored` are boxes with
    start and end in which nothing is known.
    """

    faces: pd.DataFrame
    others: pd.DataFrame
    checked: np.ndarray
    participants: list[tuple[int, int, list[str]]] | None
    ignored: pd.DataFrame


def read_truth(path: Path) -> tuple[str, Known]:
    """Return the video's name and its truth, from a truth written by eye (`{name}.json`) or of a synthetic video (`{video}.boxes.csv`).

    Raises InputError that names the file if it is neither.
    """
    try:
        if path.name.endswith(".boxes.csv"):
            table = pd.read_csv(path)
            seen = table[table["visible"] > 0] if "visible" in table else table
            none = table.iloc[:0]
            known = Known(seen[["frame", "person", *_BOX]], none, table["frame"].unique(), None, none)
            return path.name.removesuffix(".boxes.csv"), known
        truth = json.loads(path.read_text(encoding="utf-8"))
        columns = ["frame", "person", *_BOX]
        shots = [(s["start"], s["end"], s["participants"]) for s in truth["shots"]]
        return truth["video"], Known(
            pd.DataFrame(truth["boxes"], columns=columns),
            pd.DataFrame(truth["not_faces"], columns=["frame", *_BOX]),
            np.array(truth["checked_frames"]),
            shots,
            pd.DataFrame(truth.get("ignore", []), columns=["start", "end", *_BOX]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} has no truth of faces that can be read ({error!r}).") from error


def names_of(tracks: pd.DataFrame, known: Known) -> dict[int, str | None]:
    """Return the person of each track of a `tracks` table: a name, "" for nobody, None where unknown.

    A track shows whom most of its boxes in frames with truth overlap. One that was checked and overlaps no face shows nobody.
    """
    faces, others = dict(iter(known.faces.groupby("frame"))), dict(iter(known.others.groupby("frame")))
    found: dict[int, str | None] = {}
    for number, track in tracks.groupby("track"):
        votes: list[str] = []
        for row in track[track["frame"].isin({*known.checked.tolist(), *others})].itertuples():
            box = np.array([[row.x1, row.y1, row.x2, row.y2]], dtype=float)
            if _is_ignored(row.frame, box, known.ignored):
                continue
            name = _best(box, faces.get(row.frame))
            if name is None and row.frame not in known.checked and _best(box, others.get(row.frame)) is None:
                continue
            votes.append(name or "")
        found[int(number)] = max(set(votes), key=votes.count) if votes else None
    return found


def examples(results: Path, truth: Path, detector: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return labelled examples of one video: of tracks (features of a face) and of persons (of a participant), each with `truth`.

    Living tracks of three seconds and more come twice: the second time as stills, one of their pictures carried about.
    """
    video, known = read_truth(truth)
    tracks, shots, asd, voice = (
        tables.read(name, results / f"{name}/{video}.parquet") for name in ("tracks", "shots", "asd", "voice")
    )
    with opened(results / f"landmarks/{video}.npz") as arrays:
        marks = {name: arrays[name] for name in people.MARKS}
    with opened(results / f"embeddings/{video}.npz") as arrays:
        embeddings = dict(arrays)
    size = media.size_and_length(results / f"media/{video}.mp4")[:2]
    rows = {int(t): of for t, of in tracks.groupby("track").indices.items()}
    measured = evidence.measure(rows, tracks, marks, evidence.frames_talking(tracks, asd, voice), size)
    names = names_of(tracks, known)
    shown = [names[track] for track in measured.index]
    measured["truth"] = [np.nan if name is None else float(name != "") for name in shown]
    faces = [measured, _stills(measured[measured["truth"] == 1], rows, marks)]
    table = pd.concat([pd.DataFrame(calibration.face_features(m)).assign(truth=m["truth"].to_numpy()) for m in faces])
    found = people.find(tracks, shots, marks, embeddings, asd, voice, size, detector, people.Settings())
    return table.dropna(), _participants(found, shots, names, known)


def fit(parts: Sequence[pd.DataFrame], prior: dict[str, float], bias: float) -> dict:
    """Return bias and weights by examples (features and `truth`) of videos, each video weighing the same, near a prior."""
    table = pd.concat([part.assign(weight=_EXAMPLES_OF_EACH / len(part)) for part in parts if len(part)])
    x, sign = table[list(prior)].to_numpy(dtype=float), np.where(table["truth"] > 0, 1.0, -1.0)
    weight, before = table["weight"].to_numpy(), np.array([bias, *prior.values()])
    x = np.column_stack([np.ones(len(x)), x])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ at)
        value = weight @ np.logaddexp(0, -margin) + _PRIOR_EXAMPLES / 2 * ((at - before) ** 2).sum()
        return value, x.T @ (-sign * expit(-margin) * weight) + _PRIOR_EXAMPLES * (at - before)

    found = minimize(loss, before, jac=True).x
    return {
        "bias": round(float(found[0]), 3),
        "weights": {name: round(float(w), 3) for name, w in zip(prior, found[1:], strict=True)},
    }


def calibrations(parts: Sequence[tuple[pd.DataFrame, pd.DataFrame]], detector: str) -> dict[str, dict[str, dict]]:
    """Return the calibrations by the examples of videos: faces of the detector and of any, and participants."""
    faces, persons = [p[0] for p in parts], [p[1] for p in parts]
    without = {name: w for name, w in FACE_PRIOR.items() if name != "confidence"}
    return {
        "face": {
            detector: fit(faces, FACE_PRIOR, _BIAS_PRIOR["face"]),
            "any": fit(faces, without, _BIAS_PRIOR["face"]),
        },
        "participant": {"any": fit(persons, PARTICIPANT_PRIOR, _BIAS_PRIOR["participant"])},
    }


def left_out(parts: dict[str, tuple[pd.DataFrame, pd.DataFrame]], detector: str) -> pd.DataFrame:
    """Return how often each video's examples are right by a calibration fitted to the others: a row for each video.

    Columns: video; faces, false_faces: examples of the two kinds; faces_right, false_faces_right; participants, bystanders and how
    many of them are right.
    """
    rows = []
    for video, (faces, persons) in parts.items():
        fitted = calibrations([part for name, part in parts.items() if name != video], detector)
        row = {"video": video}
        for table, entry, kinds in (
            (faces, fitted["face"][detector], ("false_faces", "faces")),
            (persons, fitted["participant"]["any"], ("bystanders", "participants")),
        ):
            said = calibration.probability(entry, table) >= 0.5 if len(table) else np.zeros(0, dtype=bool)
            for value, kind in enumerate(kinds):
                of = (table["truth"] == value).to_numpy(dtype=bool)
                row |= {kind: int(of.sum()), f"{kind}_right": int((said[of] == bool(value)).sum())}
        rows.append(row)
    return pd.DataFrame(rows)


def _participants(found: pd.DataFrame, shots: pd.DataFrame, names: dict[int, str | None], known: Known) -> pd.DataFrame:
    """Return the features of the living persons of shots whose participants are known, and whether they are among them."""
    length = dict(zip(shots["shot"], (shots["end_frame"] - shots["start_frame"]) / media.FPS, strict=True))
    columns = [*PARTICIPANT_PRIOR, "truth"]
    parts = [pd.DataFrame(columns=columns, dtype=float)]
    for shot, of in found[found["role"] != people.NOT_A_FACE].groupby("shot"):
        of = of.assign(seconds=of["num_frames"] / media.FPS, shot_s=length[shot])
        truth = []
        for person in of.itertuples():
            shown = {names[t] for t in person.tracks} - {None, ""}
            middle = (person.start_frame + person.end_frame) // 2
            taking_part = {n for a, b, who in known.participants or [] if a <= middle < b for n in who}
            truth.append(float(bool(shown & taking_part)) if known.participants and shown | taking_part else np.nan)
        parts.append(pd.DataFrame(calibration.participant_features(of)).assign(truth=truth))
    return pd.concat(parts, ignore_index=True).dropna()


def _stills(living: pd.DataFrame, rows: dict[int, np.ndarray], marks: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return living tracks of three seconds and more with the own motion of one of their pictures, carried about by a trembling box."""
    rng = np.random.default_rng(0)
    found = []
    for track in living.index:
        mine = np.isin(marks["thumbnail_row"], rows[track])
        if mine.sum() >= _STILL_THUMBNAILS:
            still = evidence.own_motion(_carried(marks["thumbnail"][mine][mine.sum() // 2], rng))
            found.append(living.loc[track].to_dict() | {"own_motion": still, "expression": 0.0, "truth": 0.0})
    return pd.DataFrame(found, columns=living.columns)


def _carried(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return twenty thumbnails of one, each moved, scaled and coded a little otherwise."""
    side = landmarks.THUMBNAIL_SIDE
    large = cv2.resize(picture, (3 * side, 3 * side), interpolation=cv2.INTER_CUBIC)
    out = []
    for _ in range(20):
        scale, move = rng.normal(1, 0.02), rng.normal(0, 0.02 * 3 * side, 2)
        shift = np.column_stack([np.eye(2) * scale, move + (1 - scale) * 1.5 * side])
        moved = cv2.warpAffine(large, shift, large.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        small = cv2.resize(moved, (side, side), interpolation=cv2.INTER_AREA) + rng.normal(0, 1, (side, side))
        out.append(np.clip(small, 0, 255).astype(np.uint8))
    return np.array(out)


def _best(box: np.ndarray, among: pd.DataFrame | None) -> str | None:
    """Return the name of what a box (1, 4) overlaps most; None if nothing enough."""
    if among is None or among.empty:
        return None
    overlap = boxes.iou_matrix(box, among[_BOX].to_numpy(dtype=float))[0]
    if overlap.max() < _SAME_FACE_IOU:
        return None
    return str(among["person"].iloc[int(overlap.argmax())]) if "person" in among else "other"


def _is_ignored(frame: int, box: np.ndarray, ignored: pd.DataFrame) -> bool:
    here = ignored[(ignored["start"] <= frame) & (frame < ignored["end"])] if len(ignored) else ignored
    if here.empty:
        return False
    inside = boxes.area(boxes.intersection(box, here[_BOX].to_numpy(dtype=float)))
    return bool((inside > boxes.area(box) / 2).any())
