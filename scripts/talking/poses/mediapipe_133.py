"""MediaPipe's body and hand models mapped to the 133 keypoints, one region of the picture for each face.

BlazePose (Bazarevsky et al., 2020) alone finds one body in a picture. Here its landmark model gets the region: first below the
face, then where the look before showed that body. So nobody else's body is taken, and nothing lags, as no filter over time is
used. Hands (MediaPipe Hands, Zhang et al., 2020) are looked for at the ends of that body's arms, where they are in the picture.
The face points are those of the landmarks file. Every few frames are looked at. Between two looks the middle frame is looked at
too where somebody moves far or is found in one of them only; if it does not lie where the two lead to expect, so are both halves.
A hand that the two have found, or not found, at one place is not searched for between them.
"""

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from mediapipe.framework.formats import rect_pb2

from talking.core import boxes, keypoints
from talking.poses import between, mediapipe_networks
from talking.poses.looks import Face, Piece
from talking.poses.reading import Picture

# Where a body may lie when only its face is known: the middle of the region below the face's middle, and the region's side,
# both in face sizes. Standing, seated, leaning and small people are found by different ones.
_STARTS = ((4, 10), (3, 8), (3, 12), (5, 12), (5, 10))
# Runs of the model from one start: each one's region is better than the last.
_STEPS = 3
# Largest distance, in face sizes, of the model's nose and eyes from those of the face for a body to be the face's own.
_FITS = 0.5
# A body that fits this well and whose trunk and arms are this visible needs no search from other starts.
_FITS_WELL, _WELL_SEEN = 0.15, 0.9

# A head is a face box grown by this much; the heads of others are painted over in black.
_HEAD, _PAINT = 1.5, 0
# Where the border between two people lies farther from a face than this, in its widths, what is beyond is painted over as well: the
# other's hands would else pass for this person's. Nearer, it might be this person's own shoulder.
_REACH = 1.5
# Somebody whose face is smaller than this fraction of a person's is far behind.
_BEHIND = 0.5

# Hands are looked for at wrists inside the picture of at least this visibility, as the search costs more than the body's.
_WRIST_SEEN = 0.3

# BlazePose's 33 points: its index for each of ours. Its foot index point stands for the big toe; it has no small toe.
_FROM_BLAZEPOSE = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24, "left_knee": 25,
    "right_knee": 26, "left_ankle": 27, "right_ankle": 28, "left_heel": 29, "right_heel": 30, "left_big_toe": 31,
    "right_big_toe": 32,
}  # fmt: skip
_HAND_GROUPS = tuple(zip(between.HANDS, between.WRISTS, strict=True))
_TRUNK_AND_ARMS = [*range(11, 17), 23, 24]
_OURS = [keypoints.INDEX[name] for name in _FROM_BLAZEPOSE]
_THEIRS = list(_FROM_BLAZEPOSE.values())


class MediaPipe:
    """The models, a set for each thread, and the faces that are followed."""

    def __init__(self, threads: int, every_frames: int) -> None:
        self._every = every_frames
        self._pool = ThreadPoolExecutor(threads)
        self._idle: queue.SimpleQueue[mediapipe_networks.Networks] = queue.SimpleQueue()
        for _ in range(threads):
            self._idle.put(mediapipe_networks.Networks())
        self._followed: dict[int, _Follower] = {}

    def look(self, picture: Picture, frame: int, pieces: Sequence[Piece]) -> None:
        """Take the next frame of some pieces."""

        def add(piece: Piece) -> None:
            models = self._idle.get()
            try:
                self._followed[id(piece)].add(models, picture, frame)
            finally:
                self._idle.put(models)

        for piece in pieces:
            if id(piece) not in self._followed:
                self._followed[id(piece)] = _Follower(piece, self._every)
        # MediaPipe gives up Python's lock while it runs, so that threads do run side by side.
        list(self._pool.map(add, pieces))

    def flush(self) -> None:
        """Forget the faces that were followed: all is found at once."""
        self._followed.clear()


@dataclass
class _Track:
    """Where a body was seen last: the region to look at next, where the one before lay from the face, and how often it was lost since."""

    region: rect_pb2.NormalizedRect | None = None
    led: np.ndarray = field(default_factory=lambda: np.zeros(3))
    failed: int = 0

    def kept(self) -> np.ndarray:
        """Return it as an array (10,)."""
        r = self.region or rect_pb2.NormalizedRect()
        place = [r.x_center, r.y_center, r.width, r.height, r.rotation]
        return np.array([self.region is not None, *place, *self.led, self.failed], dtype=float)

    @classmethod
    def of(cls, kept: np.ndarray) -> "_Track":
        """Return what `kept` has returned; a new one for an empty array."""
        if not kept.size:
            return cls()
        names = ("x_center", "y_center", "width", "height", "rotation")
        region = rect_pb2.NormalizedRect(**dict(zip(names, kept[1:6].tolist(), strict=True)))
        return cls(region if kept[0] else None, kept[6:9].copy(), int(kept[9]))


class _Follower:
    """One face followed through a piece."""

    def __init__(self, piece: Piece, every: int) -> None:
        self._piece, self._every = piece, every
        self._track = _Track.of(piece.state)
        self._last = max(piece.found, default=None)
        self._between: dict[int, Picture] = {}

    def add(self, models: mediapipe_networks.Networks, picture: Picture, frame: int) -> None:
        """Take the next frame."""
        if not self._piece.is_main(frame, self._every):
            self._between[frame] = picture
            return
        before = replace(self._track)
        self._piece.add(frame, *_look(models, picture.rgb(), self._piece.face(frame), self._track))
        self._piece.state = self._track.kept()
        if self._last is not None:
            self._fill(models, self._last, frame, before)
        self._last, self._between = frame, {}

    def _fill(self, models: mediapipe_networks.Networks, a: int, b: int, before: _Track) -> None:
        """Look at frames between two looks where that is needed; `before` is where the body was after the first."""
        if b - a < 2 or not between.has_moved(self._piece, a, b):
            return
        middle = (a + b) // 2
        face = self._piece.face(middle)
        expected = tuple(found[0] for found in self._piece.filled(np.array([middle])))
        # Of a body that only the later look has found, the region found there is the better start.
        track = replace(before if before.region is not None else self._track)
        hands = [not is_steady for is_steady in between.steady_hands(self._piece, a, b)]
        points, scores = _look(models, self._between[middle].rgb(), face, track, hands)
        if scores.any():
            for hand, is_searched in zip(between.HANDS, hands, strict=True):
                if not is_searched:
                    points[hand], scores[hand] = expected[0][hand], expected[1][hand]
        self._piece.add(middle, points, scores)
        is_lost_between = self._piece.found[a][1].any() != self._piece.found[b][1].any()
        if is_lost_between or not between.agree(expected, self._piece.found[middle], face):
            self._fill(models, a, middle, before)
            self._fill(models, middle, b, track)


def _look(
    models: mediapipe_networks.Networks,
    picture: np.ndarray,
    face: Face,
    track: _Track,
    hands: Sequence[bool] = (True, True),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the keypoints (133, 2) px and scores (133,) found for a face, all 0 if there is no body; `track` is brought up to date.

    `hands` says whether the left and the right hand are searched for.
    """
    x1, y1, x2, y2 = face.window
    corner = np.tile(face.window[:2], 2)
    alone = _alone(picture[y1:y2, x1:x2], face.box - corner, face.others - corner)
    size = alone.shape[1::-1]
    points, scores = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
    body = _body(models, alone, face.box - corner, face.points - face.window[:2], track)
    if body is None:
        track.region = None
        return points, scores
    places = mediapipe_networks.pixels(body.body, size)
    points[_OURS] = places[_THEIRS] + face.window[:2]
    scores[_OURS] = [body.body.landmark[i].visibility for i in _THEIRS]
    for side, (hand, wrist) in enumerate(_HAND_GROUPS):
        at = points[wrist] - face.window[:2]
        if hands[side] and scores[wrist] >= _WRIST_SEEN and (at >= 0).all() and (at < size).all():
            found = models.hand(side, alone, body.body)
            if found is not None:
                # The hand model gives its points no scores of their own; they are as sure as the wrist they hang on.
                points[hand], scores[hand] = found + face.window[:2], scores[wrist]
    return points, scores


def _body(models: mediapipe_networks.Networks, picture: np.ndarray, box: np.ndarray, face: np.ndarray, track: _Track):
    """Return what the model finds of a face's own body in a picture that shows nobody else, None if it finds none."""
    size = picture.shape[1::-1]
    if track.region is not None:
        # The region of the last body; where that one moves to somebody else, the region before it.
        for region in (track.region, _region(track.led, box, size)):
            found = models.body(picture, region)
            if _fit(found, picture, box, face) <= _FITS:
                return _kept(found, region, box, size, track)
    # A body lost for long is looked for with two starts a look, as all of them every time would take too long.
    after = [(2 * track.failed + k) % len(_STARTS) for k in range(2)]
    starts = _STARTS if track.failed == 0 else [_STARTS[k] for k in after]
    fitting = []
    for start in starts:
        one = _from_start(models, picture, box, face, np.array([0, *start]))
        fitting += [] if one is None else [one]
        # Other starts lead to the same body.
        if one is not None and _seen(one[0]) >= _WELL_SEEN and _fit(one[0], picture, box, face) <= _FITS_WELL:
            break
    if fitting:
        # Of several bodies for one face, the right one is well seen and lies well.
        found, region = max(fitting, key=lambda one: _seen(one[0]) - _fit(one[0], picture, box, face))
        return _kept(found, region, box, size, track)
    track.failed += 1
    return None


def _kept(found, region: rect_pb2.NormalizedRect, box: np.ndarray, size: tuple[int, int], track: _Track):
    track.region, track.led, track.failed = found.next_region, _place(region, box, size), 0
    return found


def _from_start(
    models: mediapipe_networks.Networks, picture: np.ndarray, box: np.ndarray, face: np.ndarray, start: np.ndarray
):
    """Return the pose of the last step before the region moves to somebody else, and the region; None if it never fits."""
    region, fitting = _region(start, box, picture.shape[1::-1]), None
    for _ in range(_STEPS):
        found = models.body(picture, region)
        if found.body is None:
            break
        if _fit(found, picture, box, face) <= _FITS:
            fitting = found, region
        region = found.next_region
    return fitting


def _alone(picture: np.ndarray, face: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the picture, not to be written to, with no other body whole: without the heads of others (n, 4) and what lies on their side.

    Of people who are far behind, only the head is left out: an arm of this person may reach before them.
    """
    height, width = picture.shape[:2]
    own = boxes.clip(boxes.scale(face, _HEAD), width, height).astype(int)
    x, size = (face[0] + face[2]) / 2, face[2] - face[0]
    left, right = 0, width
    for other in others:
        other_size = other[2] - other[0]
        if other_size < _BEHIND * size:
            continue
        # The border between two people lies nearer the smaller one.
        away = (other[0] + other[2]) / 2 - x
        border = away * size / (size + other_size)
        if border > _REACH * size:
            right = max(0, min(right, round(x + border)))
        elif border < -_REACH * size:
            left = min(width, max(left, round(x + border)))
    alone = np.empty_like(picture, order="C")
    alone[:, left:right] = picture[:, left:right]
    alone[:, :left], alone[:, right:] = _PAINT, _PAINT
    for other in others:
        head = boxes.clip(boxes.scale(other, _HEAD), width, height).astype(int)
        alone[head[1] : head[3], head[0] : head[2]] = _PAINT
    alone[own[1] : own[3], own[0] : own[2]] = picture[own[1] : own[3], own[0] : own[2]]
    # MediaPipe copies a picture for each model that gets it, unless nobody can write to it.
    alone.flags.writeable = False
    return alone


def _region(place: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> rect_pb2.NormalizedRect:
    """Return the square region of a picture whose middle lies (right, below) the face's and of the given side, all in face sizes."""
    middle, face = (box[:2] + box[2:]) / 2, max(box[2:] - box[:2])
    x, y = (middle + place[:2] * face) / size
    width, height = place[2] * face / np.array(size)
    return rect_pb2.NormalizedRect(x_center=x, y_center=y, width=width, height=height)


def _place(region: rect_pb2.NormalizedRect, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return where a region lies (3,) from a face, as `_region` takes it; what it is turned by is left out."""
    middle, face = (box[:2] + box[2:]) / 2, max(box[2:] - box[:2])
    at = np.array([region.x_center, region.y_center]) * size
    return np.append((at - middle) / face, max(region.width * size[0], region.height * size[1]) / face)


def _fit(found, picture: np.ndarray, box: np.ndarray, face: np.ndarray) -> float:
    """Return the mean distance of the body's nose and eyes from the face's, in face sizes; infinite if there is no body.

    Without face points the middle of the face box stands for all three.
    """
    if found.body is None:
        return np.inf
    nose_and_eyes = mediapipe_networks.pixels(found.body, picture.shape[1::-1])[[0, 2, 5]]
    if np.isnan(face).any():
        own = np.broadcast_to((box[:2] + box[2:]) / 2, (3, 2))
    else:
        own = np.stack([face[30], face[42:48].mean(0), face[36:42].mean(0)])
    return float(np.linalg.norm(nose_and_eyes - own, axis=1).mean() / max(box[2] - box[0], box[3] - box[1]))


def _seen(found) -> float:
    """Return the mean visibility of trunk and arms, 0-1."""
    return float(np.mean([found.body.landmark[i].visibility for i in _TRUNK_AND_ARMS]))
