"""Driving a picture without a clip: its people's poses, moved a little as people of a data set move who speak or listen, and each
person's own recording."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from covog.conditions import People
from covog.generate import LISTENS, SPEAKS, Script
from covog.metrics import loudness_db
from talking.core import intervals, keypoints, signals
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import media

# Clips that motions are taken from, and the frames that one has at least.
_CLIPS, _LEAST = 40, media.FPS
# Frames over which one motion goes over into the next, and speaking into listening.
_FADE = 10
# Somebody speaks in frames that are no more than this below the recording's loud ones, nor below a level; pauses of up to so many
# frames belong to speech.
_BELOW_LOUD_DB, _SILENT_DB, _PAUSE = 25.0, -50.0, 12
# What is moved: head, face and shoulders. Arms and hands stay, as they would have to be those of the same body.
_MOVED = [*range(7), *range(keypoints.FACE.start, keypoints.FACE.stop)]
_MOUTH = [
    p for part in (keypoints.JAW, keypoints.OUTER_LIPS, keypoints.INNER_LIPS) for p in range(part.start, part.stop)
]
_LIPS_MIDDLE = [keypoints.INDEX["face_62"], keypoints.INDEX["face_66"]]


def data_set_of(weights: Path) -> Path:
    """Return the data set that weights were trained on, as the file beside them says; raises InputError if it is not there."""
    try:
        dataset = Path(json.loads((weights.parent / "provenance.json").read_text(encoding="utf-8"))["data_set"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{weights.parent / 'provenance.json'} does not say which data set the model was trained on ({error!r}); name one with --dataset."
        ) from error
    if not dataset.is_absolute():
        # As training was given it, in the folder of its run: one of those above the weights, wherever this command is typed.
        dataset = next(filter(Path.is_dir, (folder / dataset for folder in weights.resolve().parents)), dataset)
    if not dataset.is_dir():
        raise InputError(f"{dataset}, the data set of {weights}, is not there; name one with --dataset.")
    return dataset


def motions(dataset: Path, random: np.random.Generator) -> dict[bool, list[np.ndarray]]:
    """Return how people of a data set move who speak (True) and who listen to somebody (False), as `motion` does: of each the
    quieter half of what some of its clips show.

    Raises InputError if nobody is seen for a second doing one of the two.
    """
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    clips = store.split(dataset, "train")
    for number in random.permutation(len(clips))[:_CLIPS]:
        clip = store.Clip(clips[number])
        seen = clip.pose_valid & (clip.pose_scores[..., keypoints.FACE] > 0).all(-1)
        for speaks, frames in ((True, clip.speaking), (False, ~clip.speaking & clip.speaking.any(1, keepdims=True))):
            for person in range(clip.people):
                for start, end in intervals.from_mask(seen[:, person] & frames[:, person]):
                    if end - start >= _LEAST:
                        part = slice(start, end), person
                        found[speaks].append(motion(clip.keypoints[part], clip.pose_scores[part]))
    for speaks, of in found.items():
        if not of:
            what = "speaks" if speaks else "listens"
            raise InputError(
                f"{dataset} has no second of one person who {what} with a known face; name another data set."
            )
        of.sort(key=lambda moved: np.linalg.norm(moved[:, keypoints.NOSE_BRIDGE_END], axis=-1).max())
    return {speaks: of[: -(-len(of) // 2)] for speaks, of in found.items()}


def motion(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return how far points (f, 133, 2) with their scores (f, 133) are from where they mostly are, in widths of the face.

    Lips and jaw are as far from a closed mouth, so that no picture's mouth is closed more than it is. Points of the body below
    the shoulders and those that are not known throughout do not move.
    """
    nose = points[:, keypoints.NOSE_BRIDGE_END]
    moved = points - np.median(points, axis=0)
    mouth = points[:, _MOUTH] - nose[:, None]
    top, bottom = (points[:, middle] for middle in _LIPS_MIDDLE)
    closed = np.linalg.norm(top - bottom, axis=-1).argmin()
    moved[:, _MOUTH] = moved[:, keypoints.NOSE_BRIDGE_END, None] + mouth - mouth[closed]
    stays = np.ones(keypoints.COUNT, dtype=bool)
    stays[_MOVED] = False
    moved[:, stays | (scores == 0).any(axis=0)] = 0
    return moved / np.median(_face_widths(points))


def _face_widths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., keypoints.CONTOUR_LEFT, :] - points[..., keypoints.CONTOUR_RIGHT, :], axis=-1)


def played(of: list[np.ndarray], frames: int, random: np.random.Generator) -> np.ndarray:
    """Return motions (f, 133, 2), drawn one after the other and faded into each other, for so many frames."""
    out = of[random.integers(len(of))]
    while len(out) < frames:
        following = of[random.integers(len(of))]
        share = (np.arange(_FADE)[:, None, None] + 1) / (_FADE + 1)
        between = (1 - share) * out[-_FADE:] + share * following[:_FADE]
        out = np.concatenate([out[:-_FADE], between, following[_FADE:]])
    return out[:frames]


def spoken(samples: np.ndarray, frames: int) -> np.ndarray:
    """Return in which frames (f,) bool a recording of one person's speech is loud."""
    loudness = loudness_db(samples, frames)
    is_loud = loudness > max(np.percentile(loudness, 95) - _BELOW_LOUD_DB, _SILENT_DB)
    return intervals.to_mask(intervals.closed(intervals.from_mask(is_loud), _PAUSE), frames)


def script_of_picture(
    picture: np.ndarray,
    seen: dict[str, np.ndarray],
    recordings: Sequence[np.ndarray],
    sound: np.ndarray,
    library: dict[bool, list[np.ndarray]],
    random: np.random.Generator,
) -> Script:
    """Return the script in which the people of a picture speak while their `recordings` (samples at 16 kHz) are loud.

    `seen` are the people: `faces` (p, 4), and `keypoints`, `scores`, `boxes` and `valid` as those of a clip of one frame, in px of
    the picture (h, w, 3); `sound` (f, p, layers, channels) what the recordings sound like.
    """
    frames, people = sound.shape[:2]
    rest = {name: np.repeat(seen[name], frames, axis=0) for name in ("keypoints", "scores", "boxes", "valid")}
    points, speaks = rest["keypoints"].astype(float), np.stack([spoken(s, frames) for s in recordings], axis=1)
    still = points[:1].copy()
    faces = np.repeat(seen["faces"][None].astype(float), frames, axis=0)
    for person in range(people):
        share = signals.moving_mean(speaks[:, person].astype(float), _FADE)[:, None, None]
        moved = share * played(library[True], frames, random) + (1 - share) * played(library[False], frames, random)
        is_known = (seen["scores"][0, person, keypoints.FACE_BOX_POINTS] > 0).all()
        box = seen["faces"][person]
        moved = moved * (_face_widths(still[0, person]) if is_known else box[2] - box[0])
        points[:, person] += np.where(seen["scores"][0, person, :, None] > 0, moved, 0)
        faces[:, person] += np.tile(moved[:, keypoints.NOSE_BRIDGE_END], 2)
    scores = np.where(speaks, SPEAKS, LISTENS)
    moving = People(points, rest["scores"], rest["boxes"], rest["valid"], faces, scores)
    unmoved = People(still, seen["scores"], seen["boxes"], seen["valid"], seen["faces"][None], scores[:1])
    return Script(moving, sound, picture.shape[1::-1], picture, unmoved, 0, 0, frames)
