"""Fit the calibrations to labelled videos: filmed conversations, roughened to move like real mouths, and real clips.

A filmed mouth follows the sound almost perfectly and a filmed listener keeps still; real ones do neither. Each video
is therefore also used with lips that open less, come early or late, and move a little on every face (domain
randomisation; Tobin et al., 2017), so that no weight rests on what only films have.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from talking import boxes, identities, media, tables, turns
from talking.errors import InputError
from talking.speaking import evidence, fusion, lip_sync

LIP_FEATURES = ("level", "against", "match", "match_against", "brisk", "lost", "alone", "voice")
FUSION_FEATURES = ("asd", "voice", "turn", "rival")
_ROUGH_COPIES = 2
_SAME_FACE_IOU = 0.4
# Strong, as frames of one turn are no independent examples.
_PENALTY = 0.002
_MOVED_POINTS = slice(65, 68)


@dataclass
class Labelled:
    """One labelled video: its inputs and, for each row of `tracks`, whether the person speaks (1, 0; -1 unknown)."""

    tracks: pd.DataFrame
    points: np.ndarray
    voice: pd.DataFrame
    sound: Path
    spoken: list[turns.Turn]
    person_of: dict[int, int]
    truth: np.ndarray


def read(results: Path, truth: Path) -> Labelled:
    """Read the video that `truth`, a `{video}.frames.csv` (frame, person, x1, y1, x2, y2, speaking), names, from `results/`.

    Raises InputError that names the file if the truth has no such columns.
    """
    video = truth.name.removesuffix(".frames.csv")
    labels = pd.read_csv(truth)
    wanted = ["frame", "x1", "y1", "x2", "y2", "speaking"]
    if not set(wanted) <= set(labels):
        raise InputError(f"{truth} has not the columns {', '.join(wanted)}; write it as the films' frames.csv.")
    if "visible" in labels:
        labels = labels[labels["visible"] > 0]
    tracks = tables.read("tracks", results / f"tracks/{video}.parquet")
    with np.load(results / f"landmarks/{video}.npz", allow_pickle=False) as arrays:
        points = arrays["points"]
    with np.load(results / f"embeddings/{video}.npz", allow_pickle=False) as arrays:
        person_of = identities.cluster_tracks(dict(arrays), tracks, identities.Settings().same_person)
    voice = tables.read("voice", results / f"voice/{video}.parquet")
    spoken = turns.read(results / f"speech/{video}.rttm")
    return Labelled(tracks, points, voice, results / f"media/{video}.wav", spoken, person_of, _truth(tracks, labels))


def fit(videos: list[Labelled], seed: int = 0) -> dict[str, dict]:
    """Return calibrations of `lip_sync` and `fusion` fitted to labelled videos; each video weighs the same."""
    rng = np.random.default_rng(seed)
    lips, fused = [], []
    for video in tqdm(videos, desc="features", unit="video"):
        copies = [video.points, *(roughened(video.tracks, video.points, rng) for _ in range(_ROUGH_COPIES))]
        found = [lip_sync.features(video.tracks, points, video.voice, video.sound) for points in copies]
        lips.append([_table(f, LIP_FEATURES, video.truth) for f in found])
    out = {"lip_sync": _logistic([part for parts in lips for part in parts], LIP_FEATURES)}
    for video, parts in zip(videos, lips, strict=True):
        for part in parts:
            asd = video.tracks[["track", "frame"]].assign(score=_applied(out["lip_sync"], part))
            features = fusion.features(asd, video.voice, video.spoken, video.person_of, fusion.Settings())
            fused.append(_table(features, FUSION_FEATURES, video.truth))
    out["fusion"] = _logistic(fused, FUSION_FEATURES) | {"confidence": 1.0}
    return out


def roughened(tracks: pd.DataFrame, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return landmarks (n, 68, 2) whose lips open less, early or late and against a little motion of their own."""
    out = np.array(points, dtype=float)
    for rows in tracks.groupby("track").indices.values():
        length = len(rows)
        axis = out[rows, lip_sync.CHIN] - out[rows, lip_sync.BRIDGE]
        gap = pd.Series(lip_sync.lip_gap(out[rows])).interpolate(limit_direction="both").fillna(0).to_numpy()
        late = np.clip(evidence.local_mean(rng.normal(0, 25, length), np.ones(length), 0.4), -8, 8)
        moved = np.interp(np.arange(length) + late, np.arange(length), gap) * rng.uniform(0.35, 1.0)
        own = evidence.band_pass(rng.normal(size=length), np.ones(length), 1.0, 6.0)
        moved += own / max(own.std(), 1e-9) * rng.lognormal(np.log(0.006), 0.4)
        out[rows, _MOVED_POINTS] += ((moved - gap)[:, None] * axis)[:, None]
    return out


def _truth(tracks: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Return for each row of `tracks` whether the labelled face nearest to it speaks: 1, 0, or -1 if there is none."""
    out = np.full(len(tracks), -1)
    by_frame = dict(iter(labels.groupby("frame")))
    for frame, rows in tracks.groupby("frame").indices.items():
        if frame not in by_frame:
            continue
        true = by_frame[frame]
        box = ["x1", "y1", "x2", "y2"]
        overlap = boxes.iou_matrix(tracks[box].to_numpy()[rows], true[box].to_numpy())
        best = overlap.argmax(axis=1)
        found = overlap.max(axis=1) >= _SAME_FACE_IOU
        out[rows[found]] = true["speaking"].to_numpy()[best[found]] > 0
    return out


def _table(features: dict[str, np.ndarray], names: tuple[str, ...], truth: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({name: features[name] for name in names}).assign(truth=truth)


def _logistic(parts: list[pd.DataFrame], names: tuple[str, ...]) -> dict:
    """Return bias and weights of a logistic regression over tables of features with `truth`, each table weighing the same."""
    known = [part[part["truth"] >= 0] for part in parts]
    known = [part for part in known if len(part)]
    weight = np.concatenate([np.full(len(part), media.FPS * 30 / len(part)) for part in known])
    table = pd.concat(known)
    model = LogisticRegression(C=_PENALTY, max_iter=1000)
    model.fit(table[list(names)], table["truth"], sample_weight=weight)
    weights = {name: round(float(w), 3) for name, w in zip(names, model.coef_[0], strict=True)}
    return {"bias": round(float(model.intercept_[0]), 3), "scale": 1.0, "weights": weights}


def _applied(entry: dict, features: pd.DataFrame) -> np.ndarray:
    return entry["bias"] + sum(w * features[name].to_numpy() for name, w in entry["weights"].items())
