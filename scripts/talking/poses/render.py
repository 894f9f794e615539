"""Pictures of poses, as pose-guided generators need them, and the box of a face by its keypoints."""

import colorsys
import math

import cv2
import numpy as np

from talking.core import boxes, keypoints

# Body limbs by name, from the neck (the middle of the shoulders, which is no keypoint) outwards; hues go round in this order.
_LIMBS = [
    ("neck", "right_shoulder"), ("neck", "left_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("neck", "right_hip"), ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"), ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"), ("nose", "left_eye"), ("left_eye", "left_ear"),
    ("right_ankle", "right_big_toe"), ("right_ankle", "right_heel"), ("left_ankle", "left_big_toe"), ("left_ankle", "left_heel"),
]  # fmt: skip
_NECK = keypoints.COUNT
_LIMB_ENDS = [tuple(_NECK if name == "neck" else keypoints.INDEX[name] for name in limb) for limb in _LIMBS]
_LIMB_BRIGHTNESS = 0.6
_JOINTS = [*range(keypoints.BODY.start, keypoints.FEET.stop), _NECK]


def _colour(hue: float, brightness: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 1, brightness))
    return red, green, blue


_LIMB_COLOURS = [_colour(i / len(_LIMB_ENDS), _LIMB_BRIGHTNESS) for i in range(len(_LIMB_ENDS))]
_JOINT_COLOURS = [_colour(i / len(_JOINTS), 1) for i in range(len(_JOINTS))]
_BONE_COLOURS = [_colour(finger / 5, 1) for _ in range(2) for finger in range(5) for _ in range(4)]
_FACE = range(keypoints.FACE.start, keypoints.FACE.stop)
_FACE_COLOURS = [(255, 255, 255)] * len(_FACE)
# Widths as fractions of the picture's shorter side, so that a pose looks the same at every size.
_LIMB_WIDTH, _JOINT_RADIUS, _BONE_WIDTH, _DOT_RADIUS = 0.011, 0.006, 0.003, 0.0025
# px; a smaller picture is drawn several times as large and shrunk: dots of 2 px would hide whether a mouth is open.
_SMALLEST_SIDE = 360
# Coordinates are given to OpenCV in 1/16 px.
_SHIFT = 4

# The face box of CovOG: its points' box grown in width and height, the shoulders' lift in shoulder widths.
_FACE_GROWN = (1.4, 1.6)
_SHOULDER_LIFT = 1.2


def draw_poses(
    points: np.ndarray, scores: np.ndarray, height: int, width: int, min_score: float = 0.3, scale: float = 1.0
) -> np.ndarray:
    """Return an RGB picture (height, width, 3) uint8 of people's skeletons on black.

    `points` (people, 133, 2) in px are multiplied by `scale`, for a picture of another size than the one they were found in;
    those whose `scores` (people, 133) are below `min_score` are left out. Limbs and hand bones are coloured, faces are white dots.
    """
    finer = math.ceil(_SMALLEST_SIDE / min(height, width))
    picture = np.zeros((finer * height, finer * width, 3), dtype=np.uint8)
    points, seen = _with_neck(np.asarray(points, dtype=float) * scale, np.asarray(scores) >= min_score)
    # Coordinates are those of pixels' centres.
    points, side = finer * (points + 0.5) - 0.5, min(picture.shape[:2])
    for person, known in zip(_fixed(points), seen.tolist(), strict=True):
        _lines(picture, person, known, _LIMB_ENDS, _LIMB_COLOURS, _LIMB_WIDTH * side)
        _dots(picture, person, known, _JOINTS, _JOINT_COLOURS, _JOINT_RADIUS * side)
        _lines(picture, person, known, keypoints.HAND_LIMBS, _BONE_COLOURS, _BONE_WIDTH * side)
        _dots(picture, person, known, _FACE, _FACE_COLOURS, max(_DOT_RADIUS * side, finer / 2))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if finer > 1 else picture


def face_box(points: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Return the boxes (..., 4) px of faces with keypoints (..., 133, 2), by CovOG's rule (arXiv 2508.03050).

    The box of four face points, grown, is cut to the grown box of the upper body; if nothing is left the upper body's serves. As the
    upper body includes those points, this bites where they lie on a line, as they do where a model found no face.
    Points that are NaN or, given `scores` (..., 133), have score 0 are unknown: without a shoulder nothing is cut, without one of
    the four face points the box is NaN.
    """
    points = np.asarray(points, dtype=float)
    if scores is not None:
        points = np.where(np.asarray(scores)[..., None] > 0, points, np.nan)
    face = points[..., keypoints.FACE_BOX_POINTS, :]
    shoulders = points[..., [keypoints.LEFT_SHOULDER, keypoints.RIGHT_SHOULDER], :]
    lift = _SHOULDER_LIFT * np.linalg.norm(shoulders[..., 0, :] - shoulders[..., 1, :], axis=-1)[..., None]
    lifted = np.stack([shoulders[..., 0], shoulders[..., 1] - lift], axis=-1)
    box = boxes.scale(_around(face), *_FACE_GROWN)
    upper = boxes.scale(_around(np.concatenate([shoulders, lifted, face], axis=-2)), *_FACE_GROWN)
    cut = boxes.intersection(box, upper)
    cut = np.where(boxes.area(cut)[..., None] > 0, cut, upper)
    return np.where(np.isnan(upper).any(-1, keepdims=True), box, cut)


def _around(points: np.ndarray) -> np.ndarray:
    """Return the smallest boxes (..., 4) around points (..., n, 2), NaN if one of them is."""
    return np.concatenate([points.min(-2), points.max(-2)], axis=-1)


def _with_neck(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shoulders = [keypoints.LEFT_SHOULDER, keypoints.RIGHT_SHOULDER]
    neck, known = points[:, shoulders].mean(1, keepdims=True), seen[:, shoulders].all(1, keepdims=True)
    points, seen = np.concatenate([points, neck], axis=1), np.concatenate([seen, known], axis=1)
    return points, seen & np.isfinite(points).all(-1)


def _lines(picture, points, seen, ends, colours, width) -> None:
    for (a, b), colour in zip(ends, colours, strict=True):
        if seen[a] and seen[b]:
            cv2.line(picture, points[a], points[b], colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _dots(picture, points, seen, which, colours, radius) -> None:
    for i, colour in zip(which, colours, strict=True):
        if seen[i]:
            cv2.circle(picture, points[i], round(max(radius, 1) * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return points (people, n, 2) in OpenCV's fixed-point numbers."""
    # A point far outside would overflow them; none is drawn that far out. One that is not known is not drawn at all.
    whole = np.round(np.clip(np.nan_to_num(points), -30_000, 30_000) * 2**_SHIFT).astype(int)
    return [[tuple(point) for point in person] for person in whole.tolist()]
