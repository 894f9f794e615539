"""Lips that are heard: a linear map from the sound's features to lips and jaw, found from clips of a data set in a moment.

It puts lips into poses, so every model that was trained with drawn lips can be driven by sound alone. With `data.lips: heard`
training sees the lips that generation will put there, and keeps the map beside the weights.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from covog.conditions import BROKEN, People, Segment
from talking.core import arrays, keypoints, signals
from talking.core.errors import InputError
from talking.dataset import store

_log = logging.getLogger(__name__)

# The file beside a training's weights that holds its map.
FILE = "hearing.npz"
# What the sound moves, and what it does not: brows, nose, eyes and the contour's ends tell where the head is.
_MOUTH = [p for s in (keypoints.JAW, keypoints.OUTER_LIPS, keypoints.INNER_LIPS) for p in range(s.start, s.stop)]
_HEAD = [keypoints.FACE.start + p for p in (0, 1, 2, 14, 15, 16, *range(17, 48))]
_GAP = [_MOUTH.index(keypoints.INNER_LIPS.start + p) for p in (2, 6)]
# Clips and frames that the map is found from at most, how much it is held back, and the frames over which a mouth begins to speak.
_CLIPS, _FRAMES, _RIDGE, _FADE = 40, 4000, 10.0, 5


@dataclass
class Hearing:
    """What lips and jaw do when something is heard: movements from a closed mouth, in widths of the face, which are `usual`
    (2 · points) and change with the sound's features, less their `mean` and over their `scale` (channels), by `weights`
    (channels, 2 · points); `opens` (points, 2) is how they move per gap between the lips, `rest` the gap of closed ones."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    usual: np.ndarray
    opens: np.ndarray
    rest: float

    def moved(self, sound: np.ndarray) -> np.ndarray:
        """Return the movements (f, points, 2) of lips and jaw at rows (f, layers, channels) of sound."""
        rows = (sound.reshape(len(sound), -1) - self.mean) / self.scale
        made = self.usual + rows @ self.weights
        return made.reshape(len(sound), -1, 2)

    def heard(
        self, people: People, sound: np.ndarray, frames: np.ndarray, reference_people: People, reference: int
    ) -> People:
        """Return people whose lips and jaw are where the sound says in these frames: closed of those who do not speak, by their
        scores; in other frames they are as they were.

        Mouths have the shape of the reference picture's, closed: it shows the `reference_people` in their frame `reference`. People
        whose faces are not known stay as they are. `sound` is that of a `Script`; raises InputError if it has other features than the
        clips that were learned from.
        """
        if (features := int(np.prod(sound.shape[-2:]))) != len(self.mean):
            raise InputError(
                f"the data set's sound has {len(self.mean)} features a frame, this sound {features}; take sound of the same network."
            )
        points = people.keypoints.astype(float)
        still, sure = (of[reference] for of in (reference_people.keypoints, reference_people.confidence))
        rows = np.asarray(sound[frames], dtype=np.float32)
        for person in np.flatnonzero(_known(sure) & reference_people.valid[reference]):
            face, known = still[person].astype(float), _known(people.confidence[frames, person])
            gap = _gaps(face[_MOUTH]) - self.rest * _width(face)
            closed = face[_MOUTH] - self.opens * max(gap, 0)
            speaks = signals.moving_mean((people.scores[:, person] > 0).astype(float), _FADE)[frames]
            moved = self.moved(rows[:, person] if rows.ndim == 4 else rows)
            shapes = closed + speaks[:, None, None] * moved * _width(face)
            for at in np.flatnonzero(known):
                frame = frames[at]
                points[frame, person, _MOUTH] = _onto(points[frame, person], face, shapes[at])
        return replace(people, keypoints=points)


def write(hearing: Hearing, path: Path) -> None:
    """Write a map as npz."""
    arrays.write(path, [(of.name, np.asarray(getattr(hearing, of.name))) for of in fields(Hearing)])


def beside(weights: Path) -> Hearing | None:
    """Return the map that a training left beside its weights; None if it left none. Raises InputError if the file is damaged."""
    path = weights.parent / FILE
    if not path.exists():
        return None
    with arrays.opened(path) as found:
        try:
            of = {field.name: found[field.name] for field in fields(Hearing)}
        except KeyError as error:
            raise InputError(f"{path} is not a whole map from sound to lips; delete it.") from error
    return Hearing(**of | {"rest": of["rest"].item()})


def hearing_of_training(found: Sequence[Segment], folder: Path, lips: str, resumes: bool) -> Hearing | None:
    """Return the map of the training clips if `lips` are heard, found and written to the training's folder; one that resumes takes what
    it began with. With other lips the folder keeps no map of an earlier training."""
    if lips != "heard":
        (folder / FILE).unlink(missing_ok=True)
    elif not resumes or not (folder / FILE).exists():
        write(learned(found), folder / FILE)
    return beside(folder / FILE)


def learned(found: Sequence[Segment]) -> Hearing:
    """Return the map of the frames in which people of these clips speak; raises InputError if nobody does with a known face.

    A broken clip is logged by name and left out.
    """
    random, most = np.random.default_rng(0), -(-_FRAMES // max(min(len(found), _CLIPS), 1))
    spoken: list[tuple[np.ndarray, np.ndarray, list[float]]] = []
    for number in random.permutation(len(found)):
        try:
            of_clip = _spoken(found[number], most, random)
        except BROKEN as error:
            _log.warning("%s is broken; how lips move is not learned from it: %s", found[number].clip, error)
            continue
        if len(of_clip[0]):
            spoken.append(of_clip)
        if len(spoken) == _CLIPS:
            break
    if not spoken:
        raise InputError(
            "nobody speaks with a known face in the data set's training clips, so lips cannot be heard; set data.lips to drawn."
        )
    rows, moved = (np.concatenate([of_clip[i] for of_clip in spoken]) for i in range(2))
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    rows, flat = (rows - mean) / scale, moved.reshape(len(moved), -1)
    usual, alike = flat.mean(axis=0), rows @ rows.T / rows.shape[1]
    weights = rows.T @ np.linalg.solve(alike + _RIDGE * np.eye(len(alike)), flat - usual) / rows.shape[1]
    gaps = _gaps(moved)
    opens = (gaps[:, None, None] * moved).sum(axis=0) / max(np.square(gaps).sum(), 1e-6)
    return Hearing(
        mean, scale, weights, usual, opens, float(np.median([rest for of_clip in spoken for rest in of_clip[2]]))
    )


def _spoken(segment: Segment, most: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Return, of at most `most` frames in which somebody of a clip speaks with a known face, the rows of sound (n, channels), how lips and
    jaw have moved from closed (n, points, 2), in widths of the face, and of each who speaks the gap of closed lips."""
    clip, part = store.Clip(segment.clip), slice(segment.start, segment.end)
    sound, points = clip.sound[part], clip.keypoints[part]
    known = _known(clip.pose_scores[part]) & clip.pose_valid[part]
    spoken = np.argwhere(known & clip.speaking[part])
    moves, rests = [], []
    spoken = spoken[np.sort(random.permutation(len(spoken))[:most])]
    for person in np.unique(spoken[:, 1]):
        own = points[:, person]
        closed = own[np.where(known[:, person], _gaps(own[:, _MOUTH]), np.inf).argmin()]
        back = np.stack([_onto(closed, own[f], own[f, _MOUTH]) for f in spoken[spoken[:, 1] == person, 0]])
        moves.append((back - closed[_MOUTH]) / _width(closed))
        rests.append(_gaps(closed[_MOUTH]) / _width(closed))
    spoken = spoken[np.argsort(spoken[:, 1], kind="stable")]
    heard = sound[spoken[:, 0], spoken[:, 1]] if sound.ndim == 4 else sound[spoken[:, 0]]
    rows = heard.reshape(len(spoken), -1).astype(np.float32)
    return rows, np.concatenate([np.empty((0, len(_MOUTH), 2)), *moves]), rests


def _known(confidence: np.ndarray) -> np.ndarray:
    return (confidence[..., _MOUTH] > 0).all(-1) & (confidence[..., _HEAD] > 0).all(-1)


def _gaps(mouth: np.ndarray) -> np.ndarray:
    """Return how far below the upper lip the lower one is, in px or widths of the face as the mouth (..., points, 2)."""
    return mouth[..., _GAP[1], 1] - mouth[..., _GAP[0], 1]


def _width(face: np.ndarray) -> float:
    return float(np.linalg.norm(face[keypoints.CONTOUR_LEFT] - face[keypoints.CONTOUR_RIGHT]))


def _onto(to: np.ndarray, face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) of one face, moved as its head's points (133, 2) must be, scaled and sheared, to lie on another's."""
    sides = np.pad(face[_HEAD], ((0, 0), (0, 1)), constant_values=1.0)
    move = np.linalg.lstsq(sides, to[_HEAD], rcond=None)[0]
    return points @ move[:2] + move[2]
