"""MediaPipe's body and hand models mapped to the 133 keypoints, one region of the picture for each face.

BlazePose (Bazarevsky et al., 2020) finds one body in a picture by itself. Here its landmark model is told where to look: first
below the face, then where the frame before showed that body, so that nobody else's body is taken and nothing lags, as no filter
over time is used. Hands (MediaPipe Hands, Zhang et al., 2020) are looked for at the ends of that body's own arms. The face points
are those of the landmarks file.
"""

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from google.protobuf import text_format
from mediapipe.framework import calculator_pb2
from mediapipe.framework.formats import rect_pb2
from mediapipe.python.solution_base import SolutionBase

from talking import boxes, keypoints
from talking.poses import Faces

# Where a body may lie when only its face is known: the middle of the region below the face's middle, and the region's side,
# both in face sizes. Standing, seated, leaning and small people are found by different ones.
_STARTS = ((4, 10), (3, 8), (3, 12), (5, 12), (5, 10))
# Runs of the model from one start: each tells better than the last where the body lies.
_STEPS = 3
# Largest distance, in face sizes, of the model's nose and eyes from those of the face for a body to be the face's own.
_FITS = 0.5

# A head is a face box grown by this much; the heads of others are painted over in black.
_HEAD, _PAINT = 1.5, 0
# Where the border between two people lies farther from a face than this, in its widths, what is beyond is painted over as well: the
# other's hands would else pass for this person's. Nearer, it might be this person's own shoulder.
_REACH = 1.5
# Whose face is smaller than this share of a person's is far behind.
_BEHIND = 0.5

# Hands are looked for at wrists inside the picture of at least this visibility, as the search costs more than the body's.
_WRIST_SEEN = 0.3

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


def opened(threads: int) -> Callable[[int], "_Clip"]:
    """Return a function that starts a session for a clip of so many people; they are worked on in `threads` threads."""
    pool = ThreadPoolExecutor(threads)
    return lambda people: _Clip(people, pool)


class _Clip:
    """A session for one clip."""

    def __init__(self, people: int, pool: ThreadPoolExecutor) -> None:
        self._people = [_Person() for _ in range(people)]
        self._pool = pool
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, picture: np.ndarray, faces: Faces) -> None:
        """Take the next frame."""
        # MediaPipe gives up Python's lock while it runs, so that threads do run side by side.
        found = list(self._pool.map(lambda i: self._people[i].find(picture, faces, i), range(len(self._people))))
        self._found.append((np.stack([f[0] for f in found]), np.stack([f[1] for f in found])))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all keypoints and scores, and close the models."""
        for person in self._people:
            person.close()
        # Closed graphs leave memory in pieces, some 10 MB a clip, which glibc keeps unless told; other C libraries are not asked.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
        return np.stack([f[0] for f in self._found]), np.stack([f[1] for f in self._found])


class _Person:
    """One person followed through a clip, by a graph of its own."""

    def __init__(self) -> None:
        self._body_model = SolutionBase(graph_config=_parsed(_BODY_GRAPH), side_inputs={"model_complexity": 1})
        self._hands_model = SolutionBase(graph_config=_parsed(_HANDS_GRAPH))
        self._region: rect_pb2.NormalizedRect | None = None
        self._window = np.zeros(4)
        self._failed = 0

    def close(self) -> None:
        self._body_model.close()
        self._hands_model.close()

    def find(self, picture: np.ndarray, faces: Faces, person: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the person's keypoints (133, 2) in px and scores (133,), all 0 if the body is not found."""
        window = faces.windows[person]
        if (window != self._window).any():
            self._region, self._window = None, window
        x1, y1, x2, y2 = window
        others = np.concatenate([np.delete(faces.boxes, person, axis=0), faces.bystanders]) - np.tile(window[:2], 2)
        alone = _alone(picture[y1:y2, x1:x2], faces.boxes[person] - np.tile(window[:2], 2), others)
        box, face = faces.boxes[person] - np.tile(window[:2], 2), faces.points[person] - window[:2]
        points, scores = self._find(alone, box, face, faces.scores[person])
        return points + window[:2], scores

    def _find(
        self, picture: np.ndarray, box: np.ndarray, face: np.ndarray, score: float
    ) -> tuple[np.ndarray, np.ndarray]:
        points, scores = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
        body = None if np.isnan(box).any() else self._body(picture, box, face)
        if body is None:
            self._region = None
            return points, scores
        size = picture.shape[1::-1]
        points[_OURS] = _pixels(body.body, size)[_THEIRS]
        scores[_OURS] = [body.body.landmark[i].visibility for i in _THEIRS]
        if score > 0 and not np.isnan(face).any():
            points[keypoints.FACE], scores[keypoints.FACE] = face, score
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
        if self._region is not None:
            found = self._run(picture, self._region)
            if _fit(found, picture, box, face) <= _FITS:
                return self._kept(found)
        # A body lost for long is looked for with one start a frame, as all of them every frame would take too long.
        starts = _STARTS if self._failed == 0 else [_STARTS[self._failed % len(_STARTS)]]
        found = [found for start in starts if (found := self._from_start(picture, box, face, *start)) is not None]
        if found:
            # Of several bodies for one face, the right one is well seen and lies well.
            return self._kept(max(found, key=lambda one: _seen(one) - _fit(one, picture, box, face)))
        self._failed += 1
        return None

    def _kept(self, found):
        self._region, self._failed = found.next_region, 0
        return found

    def _from_start(self, picture: np.ndarray, box: np.ndarray, face: np.ndarray, below: float, side: float):
        """Return what is found in the last step before the region goes over to somebody else, None if it never fits the face."""
        height, width = picture.shape[:2]
        x, y, size = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1])
        region = rect_pb2.NormalizedRect(
            x_center=x / width,
            y_center=(y + below * size) / height,
            width=side * size / width,
            height=side * size / height,
        )
        fitting = None
        for _ in range(_STEPS):
            found = self._run(picture, region)
            if found.body is None:
                break
            if _fit(found, picture, box, face) <= _FITS:
                fitting = found
            region = found.next_region
        return fitting

    def _run(self, picture: np.ndarray, region: rect_pb2.NormalizedRect):
        return self._body_model.process({"image": picture, "region": region})


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
