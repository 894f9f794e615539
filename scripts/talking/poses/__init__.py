"""Poses: the 133 COCO-WholeBody keypoints of every person in every frame of the candidate clips.

Person i of a clip is the i-th of its column `people`, given by its face tracks. A model proposes a pose for each face; what
does not clearly belong to that face is marked as missing here, whichever model proposed it. docs/keypoints.md says which points a model has.
"""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import scipy
from tqdm import tqdm

from talking.core import boxes, cli, intervals, keypoints
from talking.core.errors import InputError
from talking.poses import hands, windows
from talking.video import media

# The head points of a person's own pose lie in its face box, grown by this much for tilted and turned heads.
_FACE_GROWN = 1.6
# Two people whose shoulders lie within this fraction of a shoulder's width of each other have been given one body.
_SAME_BODY = 0.3
_PARABOLA = 2
# Steps to which coordinates and scores are rounded: far below any model's error, and the file is half as large.
_PIXEL_STEPS, _SCORE_STEPS = 16, 256


@dataclass
class Settings:
    """Settings of the pose estimation."""

    model: str = cli.setting("mediapipe", "pose model", choices=["mediapipe", "sapiens", "sapiens2"])
    min_score: float = cli.setting(0.3, "score from which a keypoint counts for a person's body box, 0-1")
    smooth_frames: int = cli.setting(
        0, "frames over which keypoints are smoothed in time, symmetrically; 0: no smoothing", minimum=0
    )
    mediapipe_every_frames: int = cli.setting(
        2,
        "MediaPipe looks at every so many frames; in between, keypoints are interpolated where nobody moves fast",
        minimum=1,
    )
    sapiens_weights: str = cli.setting(
        "", "TorchScript file of Sapiens for 133 points, or folder of a Sapiens 2 pose model"
    )
    sapiens_batch: int = cli.setting(16, "person crops in one batch for Sapiens")
    sapiens_flip: bool = cli.setting(True, "average Sapiens' heat maps with those of the mirrored crop")


@dataclass
class Faces:
    """The people of one frame, by their faces: boxes (people, 4) px, points (people, 68, 2) px and scores (people,) 0-1.

    NaN stands for a face that is not there and for points that were lost. `windows` (people, 4) px, whole numbers, are the parts of
    the picture that show them; a model looks nowhere else. `bystanders` (n, 4) px are the boxes of faces whose poses are not needed.
    """

    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray
    windows: np.ndarray
    bystanders: np.ndarray


class Session(Protocol):
    """A model at work on one clip: it takes the frames in order and returns all poses at the end."""

    def add(self, picture: np.ndarray, faces: Faces) -> None:
        """Take the next frame: an RGB picture (height, width, 3) and the faces in it."""

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (frames, people, 133, 2) in px and scores (frames, people, 133), 0 for what is absent."""


def _mediapipe(settings: Settings, threads: int) -> Callable[[int], Session]:
    # Read when MediaPipe is first imported: only its errors belong in the log.
    os.environ.setdefault("GLOG_minloglevel", "2")
    from talking.poses import mediapipe_133

    return mediapipe_133.opened(threads, settings.mediapipe_every_frames)


def _sapiens(settings: Settings, threads: int) -> Callable[[int], Session]:
    from talking.poses import sapiens, sapiens2

    if not settings.sapiens_weights:
        raise InputError(f"poses.model is {settings.model} but poses.sapiens_weights is empty; name its weights.")
    opened = {"sapiens": sapiens, "sapiens2": sapiens2}[settings.model].opened
    return opened(settings.sapiens_weights, settings.sapiens_batch, settings.sapiens_flip, threads)


# A model: given the settings and how many threads it may use, loaded once; then a session for each clip of so many people.
MODELS: dict[str, Callable[[Settings, int], Callable[[int], Session]]] = {
    "mediapipe": _mediapipe,
    "sapiens": _sapiens,
    "sapiens2": _sapiens,
}


def estimate(
    video: str | Path,
    candidates: pd.DataFrame,
    tracks: pd.DataFrame,
    landmarks: dict[str, np.ndarray],
    settings: Settings,
    threads: int = 1,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `{clip}/keypoints` (f, p, 133, 2), `scores` (f, p, 133), `boxes` (f, p, 4) and `valid` (f, p) of each candidate clip.

    Keypoints and boxes are in pixels of `video`. Where `valid` is false everything is 0; where a score is 0 its keypoint is.
    Frames are decoded once, and only those of candidates; memory is that of the clips open at a time.
    """
    wanted = candidates[candidates["candidate"]]
    if wanted.empty:
        return
    session_for = MODELS[settings.model](settings, threads)
    of_track = dict(list(_with_landmarks(tracks, landmarks).groupby("track")))
    spans = intervals.union(zip(wanted["start_frame"], wanted["end_frame"], strict=True))
    with tqdm(total=sum(end - start for start, end in spans), unit=" frames", desc="poses") as progress:
        for span in spans:
            inside = wanted[(wanted["start_frame"] >= span[0]) & (wanted["end_frame"] <= span[1])]
            waiting, running = list(inside.sort_values("start_frame", ascending=False).itertuples()), []
            for frame, picture in enumerate(media.frames(video, *span), start=span[0]):
                while waiting and waiting[-1].start_frame == frame:
                    running.append(_Running(waiting.pop(), of_track, session_for, video))
                for clip in running:
                    clip.add(frame, picture)
                for clip in [c for c in running if c.end == frame + 1]:
                    running.remove(clip)
                    yield from ((f"{clip.name}/{name}", of) for name, of in clip.finish(settings).items())
                progress.update()
            if waiting or running:
                raise InputError(f"{video} has fewer frames than its candidate clips; delete its tables and run again.")


def checked(
    points: np.ndarray, scores: np.ndarray, faces: np.ndarray, shown: np.ndarray, min_score: float
) -> dict[str, np.ndarray]:
    """Return a clip's arrays with everything marked as missing that does not clearly belong to the person.

    `points` (f, p, 133, 2), `scores` (f, p, 133), `faces` (f, p, 4; NaN if unseen) and the windows `shown` (f, p, 4) are in px. A
    pose is valid if nose and eyes lie in the face box and nobody with a better-lying head has the same shoulders; points count
    inside the person's window, and a hand with one arm only (`hands.owned`).
    """
    scores = np.where(windows.inside(points, shown), scores, 0)
    misfit = _misfit(points, scores, faces)
    valid = misfit <= 1
    for i, j in itertools.combinations(range(points.shape[1]), 2):
        same = _same_body(points[:, i], points[:, j], scores[:, i], scores[:, j]) & valid[:, i] & valid[:, j]
        valid[:, i] &= ~(same & (misfit[:, i] > misfit[:, j]))
        valid[:, j] &= ~(same & (misfit[:, i] <= misfit[:, j]))
    points, scores = hands.owned(points, np.where(valid[..., None], scores, 0), faces)
    scores = np.round(scores * _SCORE_STEPS) / _SCORE_STEPS
    points = np.where(scores[..., None] > 0, np.round(points * _PIXEL_STEPS) / _PIXEL_STEPS, 0)
    body = _body_boxes(points, scores >= min_score, faces, shown)
    return {
        "keypoints": points.astype(np.float32),
        "scores": scores.astype(np.float32),
        "boxes": np.where(valid[..., None], body, 0).astype(np.float32),
        "valid": valid,
    }


def smoothed(points: np.ndarray, scores: np.ndarray, smooth_frames: int) -> np.ndarray:
    """Return keypoints (f, p, 133, 2) on parabolas fitted over `smooth_frames` frames about each (Savitzky & Golay, 1964).

    It looks as far ahead as back and so lags behind nothing. Frames of score 0 are neither used nor filled; between them,
    fewer frames than a parabola is fitted over stay as they are.
    """
    width = smooth_frames + 1 - smooth_frames % 2
    if width <= _PARABOLA + 1:
        return points
    points = points.copy()
    for person, keypoint in np.ndindex(scores.shape[1:]):
        for start, end in intervals.from_mask(scores[:, person, keypoint] > 0):
            if end - start >= width:
                run = points[start:end, person, keypoint]
                points[start:end, person, keypoint] = scipy.signal.savgol_filter(run, width, _PARABOLA, axis=0)
    return points


class _Running:
    """A candidate clip while its frames are read."""

    def __init__(
        self, clip, of_track: dict[int, pd.DataFrame], session_for: Callable[[int], Session], video: str | Path
    ) -> None:
        self.name, self.start, self.end = clip.clip, int(clip.start_frame), int(clip.end_frame)
        frames = np.arange(self.start, self.end)
        people = [_rows_of(tracks, of_track).reindex(frames) for tracks in clip.person_tracks]
        beside = [_rows_of(tracks, of_track).reindex(frames) for tracks in clip.bystander_tracks]
        everybody = np.stack([p[["x1", "y1", "x2", "y2"]].to_numpy(float) for p in [*people, *beside]], axis=1)
        self.boxes, self.bystanders = everybody[:, : len(people)], everybody[:, len(people) :]
        self.points = [p["points"].to_numpy() for p in people]
        self.scores = np.stack([p["score"].to_numpy(float) for p in people], axis=1)
        shots = np.stack([p["shot"].to_numpy(float) for p in people], axis=1)
        self.windows = _windows(video, self.start, everybody, shots)[:, : len(people)]
        self.session = session_for(len(people))

    def add(self, frame: int, picture: np.ndarray) -> None:
        k = frame - self.start
        lost = np.full((68, 2), np.nan)
        points = np.stack([p[k] if isinstance(p[k], np.ndarray) else lost for p in self.points])
        self.session.add(picture, Faces(self.boxes[k], points, self.scores[k], self.windows[k], self.bystanders[k]))

    def finish(self, settings: Settings) -> dict[str, np.ndarray]:
        points, scores = self.session.finish()
        points = smoothed(points, scores, settings.smooth_frames)
        return checked(points, scores, self.boxes, self.windows, settings.min_score)


def _windows(video: str | Path, start: int, faces: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """Return the windows (f, p, 4) of people with face boxes (f, p, 4) in the shots (f, …) of a clip that begins at `start`.

    NaN stands in frames without a face. A few pictures of each shot are decoded ahead of the others.
    """
    found = np.zeros(faces.shape, dtype=int)
    shot = pd.Series(np.fmax.reduce(shots, axis=1)).ffill().bfill().to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(shot)) + 1), len(shot)]
    for first, last in itertools.pairwise(edges):
        numbers = np.linspace(start + first, start + last - 1, windows.PICTURES).round().astype(int)
        pictures = [picture for _, picture in media.frames_at(video, numbers.tolist())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a person who is never there
            middle = np.nanmedian(faces[first:last], axis=0)
        found[first:last] = windows.find(pictures, middle)
    return found


def _rows_of(tracks: Sequence[int], of_track: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """Return a person's rows by frame; of two tracks in one frame the one that the detector is surer of."""
    rows = pd.concat([of_track[int(track)] for track in tracks]).sort_values(["frame", "confidence"], kind="stable")
    return rows.drop_duplicates("frame", keep="last").set_index("frame")


def _with_landmarks(tracks: pd.DataFrame, landmarks: dict[str, np.ndarray]) -> pd.DataFrame:
    same = len(tracks) == len(landmarks["track"]) and (tracks["track"].to_numpy() == landmarks["track"]).all()
    if not same:
        raise InputError("the landmarks are not those of the tracks; delete both files and run again.")
    return tracks.assign(points=list(landmarks["points"]), score=landmarks["score"])


def _misfit(points: np.ndarray, scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return how far (…,) nose and eyes lie from the face box's centre: 1 on the edge of the grown box, infinite if unseen."""
    head = [keypoints.INDEX[name] for name in ("nose", "left_eye", "right_eye")]
    centre, half = (faces[..., :2] + faces[..., 2:]) / 2, (faces[..., 2:] - faces[..., :2]) / 2 * _FACE_GROWN
    away = np.abs(points[..., head, :] - centre[..., None, :]) / half[..., None, :]
    misfit = np.where((scores[..., head] > 0).all(-1), away.max((-1, -2)), np.inf)
    return np.where(np.isnan(misfit), np.inf, misfit)


def _same_body(a: np.ndarray, b: np.ndarray, a_scores: np.ndarray, b_scores: np.ndarray) -> np.ndarray:
    both = [keypoints.LEFT_SHOULDER, keypoints.RIGHT_SHOULDER]
    width = np.maximum(*(np.linalg.norm(p[:, both[0]] - p[:, both[1]], axis=-1) for p in (a, b)))
    apart = np.linalg.norm(a[:, both] - b[:, both], axis=-1).mean(-1)
    seen = (a_scores[:, both] > 0).all(-1) & (b_scores[:, both] > 0).all(-1)
    return seen & (apart < _SAME_BODY * width)


def _body_boxes(points: np.ndarray, seen: np.ndarray, faces: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the smallest boxes (…, 4) around the seen points and the face box, cut to the person's window."""
    low = np.where(seen[..., None], points, np.inf).min(-2)
    high = np.where(seen[..., None], points, -np.inf).max(-2)
    around = np.concatenate([np.fmin(low, faces[..., :2]), np.fmax(high, faces[..., 2:])], axis=-1)
    return boxes.intersection(around, shown)
