"""Poses: the 133 COCO-WholeBody keypoints of every person in every frame of the candidate clips.

Person i of a clip is the i-th of its column `people`, given by its face tracks. A model proposes a pose for each face; what
does not clearly belong to that face is marked as missing here, whichever model proposed it. docs/keypoints.md says which points a model has.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import scipy
from tqdm import tqdm

from talking.core import boxes, checksums, cli, intervals, keypoints, mediapipe_parts
from talking.core.errors import InputError
from talking.poses import hands, looks, reading, windows
from talking.poses.faces import People, Windows
from talking.poses.looks import BLOCK, Piece, Store
from talking.video import parts

# The head points of a person's own pose lie in its face box, grown by this much for tilted and turned heads.
_FACE_GROWN = 1.6
# Two people whose shoulders lie within this fraction of a shoulder's width of each other have been given one body.
_SAME_BODY = 0.3
_PARABOLA = 2
# Frames that are decoded ahead of the model.
_AHEAD = 8


@dataclass
class Settings:
    """Settings of the pose estimation."""

    model: str = cli.setting("mediapipe", "pose model", choices=["mediapipe", "sapiens", "sapiens2"])
    min_score: float = cli.setting(0.3, "score from which a keypoint counts for a person's body box, 0-1")
    smooth_frames: int = cli.setting(
        0, "frames over which keypoints are smoothed in time, symmetrically; 0: no smoothing", minimum=0
    )
    mediapipe_every_frames: int = cli.setting(
        8,
        "MediaPipe looks at every so many frames; in between, keypoints are interpolated where nobody moves fast",
        minimum=1,
    )
    sapiens_weights: str = cli.setting(
        "", "TorchScript file of Sapiens for 133 points, or folder of a Sapiens 2 pose model"
    )
    sapiens_batch: int = cli.setting(16, "person crops in one batch for Sapiens")
    sapiens_flip: bool = cli.setting(True, "average Sapiens' heat maps with those of the mirrored crop")


class Model(Protocol):
    """A pose model that follows faces through their pieces.

    It looks at the frames that are main ones of a piece (`Piece.is_main`), and at others where it must.
    """

    def look(self, picture: reading.Picture, frame: int, pieces: Sequence[Piece]) -> None:
        """Take the next frame of some pieces, those that have a face in it; what is found is added to the pieces."""

    def flush(self) -> None:
        """Add to the pieces what has not been added yet."""


def _mediapipe(settings: Settings, threads: int) -> Model:
    mediapipe_parts.prepare()
    from talking.poses import mediapipe_133

    return mediapipe_133.MediaPipe(threads, settings.mediapipe_every_frames)


def _sapiens(settings: Settings, threads: int) -> Model:
    from talking.poses import sapiens, sapiens2

    if not settings.sapiens_weights:
        raise InputError(f"poses.model is {settings.model} but poses.sapiens_weights is empty; name its weights.")
    opened = {"sapiens": sapiens, "sapiens2": sapiens2}[settings.model].opened
    return opened(settings.sapiens_weights, settings.sapiens_batch, settings.sapiens_flip, threads)


# Whether a model finds the 68 face points too; where it does not those of the landmarks are taken.
FINDS_FACE = {"mediapipe": False, "sapiens": True, "sapiens2": True}

# A model, given the settings and how many threads it may use.
MODELS: dict[str, Callable[[Settings, int], Model]] = {
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
    store: Store | None = None,
    part: str = "",
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `{clip}/keypoints` (f, p, 133, 2), `scores` (f, p, 133), `boxes` (f, p, 4) and `valid` (f, p) of each candidate clip of a `part`.

    Keypoints and boxes are in pixels of `video`. Where `valid` is false everything is 0; where a score is 0 its keypoint is.
    The model looks only at frames whose looks are not in the `store`, and only these are decoded, once. Memory is that of the
    clips open at a time.
    """
    wanted = parts.candidates_of(part, candidates)
    if wanted.empty:
        return
    store = Store(None, {}) if store is None else store
    # Of all clips, so that those of other parts change nothing.
    people = People(wanted, candidates[candidates["candidate"]], tracks, landmarks)
    shown = Windows(video, people, store)
    worker = _Worker(video, settings, threads, store)
    waiting = list(wanted.sort_values("end_frame", kind="stable").itertuples())
    spans = intervals.union(zip(wanted["start_frame"], wanted["end_frame"], strict=True))
    blocks = sorted({block for a, b in spans for block in range(a // BLOCK, (b - 1) // BLOCK + 1)})
    pieces: dict[tuple[int, int], Piece] = {}
    with tqdm(total=len(blocks), unit=" blocks", desc="poses") as progress:
        for block in blocks:
            of_block = people.pieces(block, every_frames(settings), shown)
            worker.look(of_block)
            pieces |= {(piece.track, piece.start): piece for piece in of_block}
            while waiting and waiting[0].end_frame <= (block + 1) * BLOCK:
                clip = waiting.pop(0)
                made = _clip(clip, people, shown, pieces, settings)
                yield from ((f"{clip.clip}/{name}", of) for name, of in made.items())
            needed = min((clip.start_frame for clip in waiting), default=None)
            pieces = {} if needed is None else {key: piece for key, piece in pieces.items() if piece.end > needed}
            progress.update()
    store.keep_only(people.all_pieces(), people.all_shots())


def every_frames(settings: Settings) -> int:
    """Return how many frames lie between two that a model looks at whatever happens."""
    return settings.mediapipe_every_frames if settings.model == "mediapipe" else 1


def dependencies(video: str | Path, settings: Settings) -> dict[str, object]:
    """Return all that looks depend on beside the faces: the video's content, the model, its weights and its settings."""
    weights = Path(settings.sapiens_weights)
    files = sorted(file for file in weights.rglob("*") if file.is_file()) if weights.is_dir() else [weights]
    is_mediapipe = settings.model == "mediapipe"
    return {
        "video": checksums.sha256(Path(video)),
        "model": settings.model,
        "every_frames": every_frames(settings),
        "weights": [] if is_mediapipe else [checksums.sha256(file) for file in files if file.is_file()],
        "flip": not is_mediapipe and settings.sapiens_flip,
    }


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
    points, scores = looks.rounded(points, scores)
    body = _body_boxes(points, scores >= min_score, faces, shown)
    return {
        "keypoints": points,
        "scores": scores,
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


class _Worker:
    """The model and the pictures, opened when there is something to look at."""

    def __init__(self, video: str | Path, settings: Settings, threads: int, store: Store) -> None:
        self._video, self._settings, self._threads, self._store = video, settings, threads, store
        self._model: Model | None = None
        self._pictures = reading.Reader(video)

    def look(self, pieces: Sequence[Piece]) -> None:
        """Look at the frames of the pieces of one block that have not been looked at; keep what is found."""
        for piece in pieces:
            self._store.load(piece)
        waiting = [piece for piece in pieces if piece.next() <= piece.goal]
        if not waiting:
            return
        if self._model is None:
            self._model = MODELS[self._settings.model](self._settings, self._threads)
        spans = {id(piece): range(piece.next(), piece.goal + 1) for piece in waiting}
        for start, end in intervals.union((span.start, span.stop) for span in spans.values()):
            # Decoded while the model works.
            for frame, picture in reading.ahead(self._pictures.frames(start, end), _AHEAD):
                self._model.look(picture, frame, [piece for piece in waiting if frame in spans[id(piece)]])
        self._model.flush()
        for piece in waiting:
            self._store.save(piece)


def _clip(
    clip, people: People, shown: Windows, pieces: dict[tuple[int, int], Piece], settings: Settings
) -> dict[str, np.ndarray]:
    """Return the arrays of a candidate clip, made of the looks at its people."""
    start, end = int(clip.start_frame), int(clip.end_frame)
    shape = (end - start, len(clip.person_tracks))
    points, scores = np.zeros((*shape, keypoints.COUNT, 2)), np.zeros((*shape, keypoints.COUNT))
    boxes_, cut = np.full((*shape, 4), np.nan), np.zeros((*shape, 4))
    for i, numbers in enumerate(clip.person_tracks):
        tracks, rows = people.rows([int(number) for number in numbers], start, end)
        for number in np.unique(tracks[tracks >= 0]).tolist():
            here, track = np.flatnonzero(tracks == number), people.track(number)
            boxes_[here, i], cut[here, i] = track.boxes[rows[here]], shown.of(number)
            for piece in (piece for (of, _), piece in pieces.items() if of == number):
                inside = here[(here + start >= piece.start) & (here + start < piece.end)]
                if inside.size:
                    points[inside, i], scores[inside, i] = piece.filled(inside + start)
            if not FINDS_FACE[settings.model]:
                add_faces(points[:, i], scores[:, i], here, track.points[rows[here]], track.scores[rows[here]])
    points = smoothed(points, scores, settings.smooth_frames)
    return checked(points, scores, boxes_, cut, settings.min_score)


def add_faces(points: np.ndarray, scores: np.ndarray, frames: np.ndarray, faces: np.ndarray, sure: np.ndarray) -> None:
    """Put face points (n, 68, 2) of scores `sure` (n,) into the keypoints of frames (n,) in which there is a body, in place."""
    known = (sure > 0) & ~np.isnan(faces).any((1, 2)) & scores[frames].any(-1)
    points[frames[known], keypoints.FACE] = faces[known]
    scores[frames[known], keypoints.FACE] = sure[known, None]


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
