"""MediaPipe's body and hand models mapped to the 133 keypoints, one region of the picture for each face.

BlazePose (Bazarevsky et al., 2020) alone finds one body in a picture. Here its landmark model gets the region: first below the
face, then where the frame before showed that body. So nobody else's body is taken, and nothing lags, as no filter over time is
used. Hands (MediaPipe Hands, Zhang et al., 2020) are looked for at the ends of that body's arms. The face points
are those of the landmarks file. Bodies and hands are looked for in every few frames; the frames between are looked at too where
somebody moves fast or was lost, and interpolated elsewhere.
"""

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from google.protobuf import text_format
from mediapipe.framework import calculator_pb2
from mediapipe.framework.formats import rect_pb2
from mediapipe.python.solution_base import SolutionBase

from talking.core import boxes, keypoints
from talking.poses import Faces

# Where a body may lie when only its face is known: the middle of the region below the face's middle, and the region's side,
# both in face sizes. Standing, seated, leaning and small people are found by different ones.
_STARTS = ((4, 10), (3, 8), (3, 12), (5, 12), (5, 10))
# Runs of the model from one start: each one's region is better than the last.
_STEPS = 3
# Largest distance, in face sizes, of the model's nose and eyes from those of the face for a body to be the face's own.
_FITS = 0.5

# A head is a face box grown by this much; the heads of others are painted over in black.
_HEAD, _PAINT = 1.5, 0
# Where the border between two people lies farther from a face than this, in its widths, what is beyond is painted over as well: the
# other's hands would else pass for this person's. Nearer, it might be this person's own shoulder.
_REACH = 1.5
# Somebody whose face is smaller than this fraction of a person's is far behind.
_BEHIND = 0.5

# Hands are looked for at wrists inside the picture of at least this visibility, as the search costs more than the body's.
_WRIST_SEEN = 0.3

# Farthest, in face sizes, that a point moves from one look to the next where the frames between are interpolated. Below it, what lies
# midway differs from a detection there by about as much as detections of somebody who sits still differ from each other.
_STEADY = 0.3

_BODY_GRAPH = """
input_stream: "image"
input_stream: "region"
output_stream: "body"
output_stream: "next_region"
input_side_packet: "model_complexity"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  output_stream: "LANDMARKS:body"
  output_stream: "AUXILIARY_LANDMARKS:auxiliary"
}
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:auxiliary"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "ROI:next_region"
}
"""

_HANDS_GRAPH = """
input_stream: "image"
input_stream: "body"
output_stream: "left_hand"
output_stream: "right_hand"
node {
  calculator: "HandLandmarksLeftAndRightCpu"
  input_stream: "IMAGE:image"
  input_stream: "POSE_LANDMARKS:body"
  output_stream: "LEFT_HAND_LANDMARKS:left_hand"
  output_stream: "RIGHT_HAND_LANDMARKS:right_hand"
}
"""

# BlazePose's 33 points: its index for each of ours. Its foot index point stands for the big toe; it has no small toe.
_FROM_BLAZEPOSE = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24, "left_knee": 25,
    "right_knee": 26, "left_ankle": 27, "right_ankle": 28, "left_heel": 29, "right_heel": 30, "left_big_toe": 31,
    "right_big_toe": 32,
}  # fmt: skip
_TRUNK_AND_ARMS = [*range(11, 17), 23, 24]
_OURS = [keypoints.INDEX[name] for name in _FROM_BLAZEPOSE]
_THEIRS = list(_FROM_BLAZEPOSE.values())


def opened(threads: int, every_frames: int) -> Callable[[int], "_Clip"]:
    """Return a function that starts a session for a clip of so many people; they are worked on in `threads` threads.

    Bodies are looked for every `every_frames`; frames between are interpolated where nothing moves fast.
    """
    pool = ThreadPoolExecutor(threads)
    return lambda people: _Clip([_Person(person, every_frames) for person in range(people)], pool)


class _Clip:
    """A session for one clip."""

    def __init__(self, people: list["_Person"], pool: ThreadPoolExecutor) -> None:
        self._people = people
        self._pool = pool

    def add(self, picture: np.ndarray, faces: Faces) -> None:
        """Take the next frame."""
        # MediaPipe gives up Python's lock while it runs, so that threads do run side by side.
        list(self._pool.map(lambda person: person.add(picture, faces), self._people))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all keypoints and scores, and close the models."""
        found = list(self._pool.map(_Person.finish, self._people))
        # Closed graphs leave memory in pieces, some 10 MB a clip, which glibc keeps unless trimmed.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
        return np.stack([points for points, _ in found], axis=1), np.stack([scores for _, scores in found], axis=1)


@dataclass
class _Pose:
    """One person in one frame: keypoints (133, 2) px, scores (133,), the box (4,) px of the face and the window (4,) px."""

    points: np.ndarray
    scores: np.ndarray
    face: np.ndarray
    window: np.ndarray


class _Person:
    """One person followed through a clip, with a separate graph."""

    def __init__(self, person: int, every_frames: int) -> None:
        self._person = person
        self._every_frames = every_frames
        self._body_model = SolutionBase(graph_config=_parsed(_BODY_GRAPH), side_inputs={"model_complexity": 1})
        self._hands_model = SolutionBase(graph_config=_parsed(_HANDS_GRAPH))
        self._region: rect_pb2.NormalizedRect | None = None
        self._led = np.zeros(3)
        self._window = np.zeros(4)
        self._failed = 0
        self._found: list[_Pose] = []
        self._between: list[tuple[np.ndarray, Faces]] = []

    def add(self, picture: np.ndarray, faces: Faces) -> None:
        """Take the next frame: a picture and the faces in it."""
        if self._found and len(self._between) < self._every_frames - 1:
            self._between.append((picture, faces))
            return
        later = self._look(picture, faces)
        self._fill(later)
        self._found.append(later)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keypoints (frames, 133, 2) in px and the scores (frames, 133) of all frames, and close the models."""
        self._fill(None)
        self._body_model.close()
        self._hands_model.close()
        return np.stack([pose.points for pose in self._found]), np.stack([pose.scores for pose in self._found])

    def _fill(self, later: "_Pose | None") -> None:
        """Find the poses of the frames since the last one found, of which the `later` look, if any, is the end."""
        between, self._between = self._between, []
        if later is not None and between and _is_steady(self._found[-1], later):
            parts = np.linspace(0, 1, len(between) + 2)[1:-1]
            earlier = self._found[-1]
            self._found += [
                _midway(earlier, later, part, faces, self._person)
                for part, (_, faces) in zip(parts, between, strict=True)
            ]
            return
        # Afterwards the person is followed from the later look on.
        followed = self._region, self._led, self._window, self._failed
        self._found += [self._look(picture, faces) for picture, faces in between]
        self._region, self._led, self._window, self._failed = followed

    def _look(self, picture: np.ndarray, faces: Faces) -> "_Pose":
        """Return the pose that the models find, all scores 0 if there is no body."""
        window, box = faces.windows[self._person], faces.boxes[self._person]
        if (window != self._window).any():
            self._region, self._window = None, window
        x1, y1, x2, y2 = window
        corner = np.tile(window[:2], 2)
        others = np.concatenate([np.delete(faces.boxes, self._person, axis=0), faces.bystanders]) - corner
        alone = _alone(picture[y1:y2, x1:x2], box - corner, others)
        face, score = faces.points[self._person] - window[:2], faces.scores[self._person]
        points, scores = self._find(alone, box - corner, face, score)
        return _Pose(points + window[:2], scores, box, window)

    def _find(
        self, picture: np.ndarray, box: np.ndarray, face: np.ndarray, score: float
    ) -> tuple[np.ndarray, np.ndarray]:
        points, scores = _nothing()
        body = None if np.isnan(box).any() else self._body(picture, box, face)
        if body is None:
            self._region = None
            return points, scores
        size = picture.shape[1::-1]
        points[_OURS] = _pixels(body.body, size)[_THEIRS]
        scores[_OURS] = [body.body.landmark[i].visibility for i in _THEIRS]
        _add_face(points, scores, face, score)
        for group, wrist, hand in self._hands(picture, body.body, points, scores):
            # The hand model gives its points no scores of their own; they are as sure as the wrist they hang on.
            points[group], scores[group] = hand, scores[wrist]
        return points, scores

    def _hands(
        self, picture: np.ndarray, body, points: np.ndarray, scores: np.ndarray
    ) -> Iterator[tuple[slice, int, np.ndarray]]:
        """Yield for each hand found its group, its wrist and its points (21, 2) px."""
        size = picture.shape[1::-1]
        seen = (scores >= _WRIST_SEEN) & (points >= 0).all(-1) & (points < size).all(-1)
        left, right = keypoints.INDEX["left_wrist"], keypoints.INDEX["right_wrist"]
        if not (seen[left] or seen[right]):
            return
        found = self._hands_model.process({"image": picture, "body": body})
        if found.left_hand is not None and seen[left]:
            yield keypoints.LEFT_HAND, left, _pixels(found.left_hand, size)
        if found.right_hand is not None and seen[right]:
            yield keypoints.RIGHT_HAND, right, _pixels(found.right_hand, size)

    def _body(self, picture: np.ndarray, box: np.ndarray, face: np.ndarray):
        size = picture.shape[1::-1]
        if self._region is not None:
            # The region of the last body; where that one moves to somebody else, the region before it.
            for region in (self._region, _region(self._led, box, size)):
                found = self._run(picture, region)
                if _fit(found, picture, box, face) <= _FITS:
                    return self._kept(found, region, box, size)
        # A body lost for long is looked for with one start a frame, as all of them every frame would take too long.
        starts = _STARTS if self._failed == 0 else [_STARTS[self._failed % len(_STARTS)]]
        tried = [self._from_start(picture, box, face, np.array([0, *start])) for start in starts]
        fitting = [one for one in tried if one is not None]
        if fitting:
            # Of several bodies for one face, the right one is well seen and lies well.
            found, region = max(fitting, key=lambda one: _seen(one[0]) - _fit(one[0], picture, box, face))
            return self._kept(found, region, box, size)
        self._failed += 1
        return None

    def _kept(self, found, region: rect_pb2.NormalizedRect, box: np.ndarray, size: tuple[int, int]):
        self._region, self._led, self._failed = found.next_region, _place(region, box, size), 0
        return found

    def _from_start(self, picture: np.ndarray, box: np.ndarray, face: np.ndarray, start: np.ndarray):
        """Return the pose of the last step before the region moves to somebody else, and the region; None if it never fits."""
        region, fitting = _region(start, box, picture.shape[1::-1]), None
        for _ in range(_STEPS):
            found = self._run(picture, region)
            if found.body is None:
                break
            if _fit(found, picture, box, face) <= _FITS:
                fitting = found, region
            region = found.next_region
        return fitting

    def _run(self, picture: np.ndarray, region: rect_pb2.NormalizedRect):
        return self._body_model.process({"image": picture, "region": region})


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)


def _add_face(points: np.ndarray, scores: np.ndarray, face: np.ndarray, score: float) -> None:
    """Put a face's own points (68, 2) into keypoints (133, 2) and scores (133,), in place."""
    if score > 0 and not np.isnan(face).any():
        points[keypoints.FACE], scores[keypoints.FACE] = face, score


def _is_steady(earlier: _Pose, later: _Pose) -> bool:
    """Return whether the frames between two looks may be interpolated: both found the body and the same hands, and nothing moved far."""
    if (earlier.window != later.window).any() or not (earlier.scores.any() and later.scores.any()):
        return False
    if any(
        earlier.scores[hand].any() != later.scores[hand].any() for hand in (keypoints.LEFT_HAND, keypoints.RIGHT_HAND)
    ):
        return False
    seen = (earlier.scores >= _WRIST_SEEN) & (later.scores >= _WRIST_SEEN)
    moved = np.linalg.norm(later.points - earlier.points, axis=-1)[seen]
    return bool(moved.max(initial=0) <= _STEADY * np.ptp(later.face.reshape(2, 2), axis=0).max())


def _midway(earlier: _Pose, later: _Pose, part: float, faces: Faces, person: int) -> _Pose:
    """Return the pose that lies so large a part (0-1) of the way from one look to the next; its face is that of its own frame."""
    points, scores = _nothing()
    box, window = faces.boxes[person], faces.windows[person]
    if not np.isnan(box).any():
        both = (earlier.scores > 0) & (later.scores > 0)
        scores[both] = ((1 - part) * earlier.scores + part * later.scores)[both]
        points[both] = ((1 - part) * earlier.points + part * later.points)[both]
        scores[keypoints.FACE] = 0
        _add_face(points, scores, faces.points[person], faces.scores[person])
    return _Pose(points, scores, box, window)


def _alone(picture: np.ndarray, face: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return a copy of the picture in which no other body is whole: without the heads of others (n, 4) and what lies on their side.

    Of people who are far behind, only the head is left out: an arm of this person may reach before them.
    """
    alone = np.array(picture, order="C")
    if np.isnan(face).any():
        return alone
    height, width = picture.shape[:2]
    own = boxes.clip(boxes.scale(face, _HEAD), width, height).astype(int)
    x, size = (face[0] + face[2]) / 2, face[2] - face[0]
    for other in others[~np.isnan(others).any(axis=-1)]:
        head = boxes.clip(boxes.scale(other, _HEAD), width, height).astype(int)
        alone[head[1] : head[3], head[0] : head[2]] = _PAINT
        other_size = other[2] - other[0]
        if other_size < _BEHIND * size:
            continue
        # The border between two people lies nearer the smaller one.
        away = (other[0] + other[2]) / 2 - x
        border = away * size / (size + other_size)
        if border > _REACH * size:
            alone[:, min(width, round(x + border)) :] = _PAINT
        elif border < -_REACH * size:
            alone[:, : max(0, round(x + border))] = _PAINT
    alone[own[1] : own[3], own[0] : own[2]] = picture[own[1] : own[3], own[0] : own[2]]
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
    nose_and_eyes = _pixels(found.body, picture.shape[1::-1])[[0, 2, 5]]
    if np.isnan(face).any():
        own = np.broadcast_to((box[:2] + box[2:]) / 2, (3, 2))
    else:
        own = np.stack([face[30], face[42:48].mean(0), face[36:42].mean(0)])
    return float(np.linalg.norm(nose_and_eyes - own, axis=1).mean() / max(box[2] - box[0], box[3] - box[1]))


def _seen(found) -> float:
    """Return the mean visibility of trunk and arms, 0-1."""
    return float(np.mean([found.body.landmark[i].visibility for i in _TRUNK_AND_ARMS]))


def _parsed(graph: str) -> calculator_pb2.CalculatorGraphConfig:
    return text_format.Parse(graph, calculator_pb2.CalculatorGraphConfig())


def _pixels(landmarks, size: tuple[int, int]) -> np.ndarray:
    return np.array([[point.x, point.y] for point in landmarks.landmark]) * size
