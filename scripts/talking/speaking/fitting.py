"""Fit the calibrations to labelled videos: synthetic ones, roughened to move like real mouths, and real clips.

A synthetic mouth follows the sound almost perfectly and a synthetic listener keeps still; real ones do neither. Each
synthetic video is therefore also used with lips that open less, come early or late, and move a little on every face (domain
randomisation; Tobin et al., 2017), so that no weight depends on what only synthetic videos have.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from tqdm import tqdm

from talking.core import boxes, tables
from talking.core.arrays import opened
from talking.core.errors import InputError
from talking.faces import identities, measures
from talking.speaking import calibration, evidence, fusion, lip_sync
from talking.speech import turns
from talking.video import media

# The prior, from labelled real clips of two and three people: the level of lip motion and its fraction among the faces say most,
# correlation with loudness little; unseen lips speak less often than not.
LIP_PRIOR = {
    **dict.fromkeys(("level", "level_second", "level_long"), 0.5),
    **dict.fromkeys(("level_track", "slow", "middle", "fast", "slow_long", "middle_long", "fast_long"), 0.0),
    **dict.fromkeys(("width", "width_long", "range", "range_long", "head", "head_long", "rate"), 0.0),
    **{"match": 1.0, "match_long": 0.0, "match_gain": 0.0, "against": 0.5, "match_against": 0.7},
    **{"alone": 0.0, "lost": -1.3, "lost_long": 0.0, "voice": 0.6},
}
# Synthetic videos show turned heads only while they listen, which says nothing about real ones.
_HELD = ("lost", "lost_long")
# The score of a face whose lips are not seen, without what the voice adds: unlikely, so that the turns may decide otherwise.
_UNSEEN = -3.0
NETWORK_PRIOR = {"raw": 1.0}
FUSION_PRIOR = {"asd": 0.9, "voice": 0.4, "turn": 0.4, "foreign": -1.5, "rival": -0.2}
_ROUGH_COPIES = 2
_SAME_FACE_IOU = 0.4
_SECONDS_OF_EACH = 30
_SECONDS_OF_A_FACE = 2
# Examples that the prior is worth; frames of one turn are no independent examples.
_PRIOR_EXAMPLES = 1000.0
_MOVED_POINTS = slice(65, 68)


@dataclass
class Labelled:
    """One labelled video: its inputs, for each row of `tracks` whether the person speaks (1, 0; -1 unknown), and if it is synthetic."""

    tracks: pd.DataFrame
    points: np.ndarray
    voice: pd.DataFrame
    sound: Path
    spoken: list[turns.Turn]
    person_of: dict[int, int]
    truth: np.ndarray
    filmed: bool
    asd: pd.DataFrame | None = None


def read(results: Path, truth: Path, model: str) -> Labelled:
    """Read the video that `truth`, a `{video}.frames.csv` (frame, person, x1, y1, x2, y2, speaking), names, from `results/`.

    Its frames are those of the synthetic video if a `{video}.json` beside it names the video's rate, else at 25 fps. For a model other than lip_sync the scores in `results/asd/` are read too. Raises InputError that names the file if the truth has no such columns.
    """
    video = truth.name.removesuffix(".frames.csv")
    labels = pd.read_csv(truth)
    wanted = ["frame", "x1", "y1", "x2", "y2", "speaking"]
    if not set(wanted) <= set(labels):
        raise InputError(
            f"{truth} lacks some of the columns {', '.join(wanted)}; write it like a synthetic video's frames.csv."
        )
    labels = _at_25_fps(labels, truth.with_name(f"{video}.json"))
    if "visible" in labels:
        labels = labels[labels["visible"] > 0]
    tracks = tables.read("tracks", results / f"tracks/{video}.parquet")
    with opened(results / f"landmarks/{video}.npz") as arrays:
        points = arrays["points"]
    with opened(results / f"embeddings/{video}.npz") as arrays:
        person_of = identities.cluster_tracks(dict(arrays), tracks, identities.Settings().same_person)
    voice = tables.read("voice", results / f"voice/{video}.parquet")
    spoken = turns.read(results / f"speech/{video}.rttm")
    sound, said = results / f"media/{video}.wav", _truth(tracks, labels)
    asd = None if model == "lip_sync" else tables.read("asd", results / f"asd/{video}.parquet")
    return Labelled(tracks, points, voice, sound, spoken, person_of, said, "lip_opening" in labels, asd)


def fit(videos: list[Labelled], model: str, seed: int = 0) -> dict[str, dict]:
    """Return the calibrations `score` and `fusion` of a model fitted to labelled videos; each video weighs the same."""
    rng = np.random.default_rng(seed)
    videos = [*videos, *(part for video in videos if not video.filmed for part in _one_face_each(video))]
    prior = LIP_PRIOR if model == "lip_sync" else NETWORK_PRIOR
    parts = [_copies(video, model, rng) for video in tqdm(videos, desc="features", unit="video")]
    score = _logistic([pd.concat(copies) for copies in parts], prior)
    if "lost" in prior:
        score["weights"]["lost"] = round(_UNSEEN - score["bias"], 3)
    fused = []
    for video, copies in zip(videos, parts, strict=True):
        scored = [video.tracks[["track", "frame"]].assign(score=calibration.apply(score, copy)) for copy in copies]
        found = [fusion.features(s, video.voice, video.spoken, video.person_of, fusion.Settings()) for s in scored]
        fused.append(pd.concat([_table(f, FUSION_PRIOR, video.truth) for f in found]))
    entry = _logistic(fused, FUSION_PRIOR)
    # The first copy of a video is the one that was not roughened.
    plain = [part.iloc[: len(video.tracks)] for video, part in zip(videos, fused, strict=True)]
    early = max(range(4), key=lambda frames: np.mean([(m > 0).mean() for m in _margins(entry, videos, plain, frames)]))
    sure = _sureness(np.concatenate(_margins(entry, videos, plain, early)))
    return {"score": score, "fusion": entry | {"confidence": sure, "early_frames": early}}


def _one_face_each(video: Labelled) -> list[Labelled]:
    """Return a video of each face of a video of several: the others are heard but not seen, as in close-ups."""
    tracks = video.tracks["track"].to_numpy()
    if len(np.unique(tracks)) < 2:
        return []
    out = []
    for track in np.unique(tracks):
        rows = np.flatnonzero(tracks == track)
        if (video.truth[rows] >= 0).sum() < _SECONDS_OF_A_FACE * media.FPS:
            continue
        asd = None if video.asd is None else video.asd.iloc[rows].reset_index(drop=True)
        out.append(
            replace(
                video,
                tracks=video.tracks.iloc[rows].reset_index(drop=True),
                points=video.points[rows],
                truth=video.truth[rows],
                asd=asd,
            )
        )
    return out


def _copies(video: Labelled, model: str, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Return the features of one video, with those of roughened copies if it is synthetic and its lips are used."""
    if model != "lip_sync":
        entry = calibration.load()[model]["score"]
        raw = (video.asd["score"].to_numpy() - entry["bias"]) / entry["weights"]["raw"]
        return [_table({"raw": raw}, NETWORK_PRIOR, video.truth)]
    rough = [roughened(video.tracks, video.points, rng) for _ in range(_ROUGH_COPIES if video.filmed else 0)]
    found = [lip_sync.features(video.tracks, p, video.voice, video.sound) for p in (video.points, *rough)]
    return [_table(f, LIP_PRIOR, video.truth) for f in found]


def roughened(tracks: pd.DataFrame, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return landmarks (n, 68, 2) whose lips open less, early or late and with a little added motion."""
    out = np.array(points, dtype=float)
    for rows in tracks.groupby("track").indices.values():
        length = len(rows)
        axis = out[rows, measures.CHIN] - out[rows, measures.BRIDGE]
        gap = pd.Series(measures.lip_gap(out[rows])).interpolate(limit_direction="both").fillna(0).to_numpy()
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


def _at_25_fps(labels: pd.DataFrame, about: Path) -> pd.DataFrame:
    """Return the labels of the frames that are seen at 25 fps, numbered so, if the file `about` a synthetic video exists."""
    if not about.exists():
        return labels
    film = json.loads(about.read_text(encoding="utf-8"))
    shown = media.shown_frames(Fraction(film["fps"]), film["frames"])
    at = pd.DataFrame({"frame": shown, "at": range(len(shown))})
    return labels.merge(at, on="frame").drop(columns="frame").rename(columns={"at": "frame"})


def _table(features: dict[str, np.ndarray], names: Iterable[str], truth: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({name: features[name] for name in names}).assign(truth=truth)


def _logistic(parts: list[pd.DataFrame], prior: dict[str, float]) -> dict:
    """Return bias and weights that fit tables of features with `truth`, each table weighing the same, near a prior."""
    table = pd.concat(parts, keys=range(len(parts)), names=["part"]).query("truth >= 0")
    weight = _SECONDS_OF_EACH * media.FPS / table.groupby("part")["truth"].transform("size").to_numpy()
    x, sign = table[list(prior)].to_numpy(), np.where(table["truth"] > 0, 1.0, -1.0)
    before = np.array(list(prior.values()))
    spread = np.where(np.isin(list(prior), _HELD), 1e3, x.std(axis=0))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (at[0] + x @ at[1:])
        pull = -sign * expit(-margin) * weight
        away = (at[1:] - before) * spread
        value = weight @ np.logaddexp(0, -margin) + _PRIOR_EXAMPLES / 2 * away @ away
        return value, np.concatenate([[pull.sum()], x.T @ pull + _PRIOR_EXAMPLES * away * spread])

    found = minimize(loss, np.concatenate([[0.0], before]), jac=True).x
    weights = {name: round(float(w), 3) for name, w in zip(prior, found[1:], strict=True)}
    return {"bias": round(float(found[0]), 3), "weights": weights}


def _margins(entry: dict, videos: list[Labelled], parts: list[pd.DataFrame], early_frames: int) -> list[np.ndarray]:
    """Return for each video the smoothed scores of its labelled rows, negative where they decide wrongly."""
    out = []
    for video, part in zip(videos, parts, strict=True):
        scored = video.tracks[["track", "frame"]].assign(score=calibration.apply(entry, part))
        smooth = fusion.smoothed(scored, fusion.Settings().smooth_frames, early_frames)
        known = video.truth >= 0
        out.append(np.where(video.truth > 0, smooth, -smooth)[known])
    return out


def _sureness(margin: np.ndarray) -> float:
    """Return the factor by which scores become log odds that agree best with how often they are right."""
    return round(float(minimize_scalar(lambda k: np.logaddexp(0, -k * margin).mean(), bounds=(0.05, 5)).x), 3)
