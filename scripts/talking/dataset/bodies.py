"""Whose body a pixel of a clip's picture belongs to: by a segmentation, which does not tell people apart, and by faces and poses, which do."""

import numpy as np

from talking.core import keypoints

# Sizes below count in the size of a face: the square root of its box's area.
# How wide limbs are drawn, how far above and beside a face's box hair reaches, and how far below it and how wide a body without a pose.
_LIMB, _HAIR, _BODY, _SHOULDERS = 0.7, 0.4, 3.0, 2.6
# Pixels of people that lie farther than this from a drawn body belong to somebody else.
_REACH = 1.5
_MIN_SCORE = 0.3
_TORSO = [keypoints.INDEX[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]


def masks(probability: np.ndarray, faces: np.ndarray, points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return which pixel (h, w) belongs to whom, uint8: 0 to nobody, i + 1 to person i.

    `probability` (h, w) is that of a pixel to belong to anybody; `faces` (n, 4) and, of the first p ≤ n people, `points`
    (p, 133, 2) with their `scores` are in its pixels. A pixel belongs to the nearest body, of equally near ones to the
    one with the larger face, which is in front. All of a face's box belongs to its person, where two boxes overlap to the one with the larger face.
    """
    import cv2

    size = np.sqrt(np.maximum((faces[:, 2:] - faces[:, :2]).prod(axis=1), 1))
    unknown = [(np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT))] * (len(faces) - len(points))
    poses = [*zip(points, scores, strict=True), *unknown]
    bodies = [_body(probability.shape, *of) for of in zip(faces, size, poses, strict=True)]
    away = np.stack([cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) / s for body, s in zip(bodies, size, strict=True)])
    is_person = (probability > 0.5) & (away.min(axis=0) <= _REACH)
    in_front = np.argsort(-size, kind="stable")
    labels = np.where(is_person, in_front[away[in_front].argmin(axis=0)] + 1, 0).astype(np.uint8)
    for person in in_front[::-1]:
        labels[_inside(faces[person])] = person + 1
    return labels


def whole_boxes(faces: np.ndarray) -> np.ndarray:
    """Return face boxes (f, p, 4) with missing ones (NaN) interpolated linearly between the nearest known boxes."""
    whole, frames = faces.copy(), np.arange(len(faces))
    for person, edge in np.ndindex(faces.shape[1:]):
        known = np.flatnonzero(np.isfinite(faces[:, person, edge]))
        if known.size:
            whole[:, person, edge] = np.interp(frames, known, faces[known, person, edge])
    return whole


def _body(shape: tuple[int, int], face: np.ndarray, size: float, pose: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return where a person is (h, w) uint8 by the face and, where it is known, the pose: a coarse drawing that pixels are near to."""
    import cv2

    body = np.zeros(shape, dtype=np.uint8)
    x1, y1, x2, y2 = face
    body[_inside(np.array([x1 - _HAIR * size / 2, y1 - _HAIR * size, x2 + _HAIR * size / 2, y2]))] = 1
    points, scores = pose
    at, seen = np.round(points).astype(int), scores >= _MIN_SCORE
    width = max(1, round(_LIMB * size))
    for a, b in keypoints.BODY_LIMBS:
        if seen[a] and seen[b]:
            cv2.line(body, at[a].tolist(), at[b].tolist(), 1, width)
    torso = [at[i] for i in _TORSO if seen[i]]
    if len(torso) > 2:
        cv2.fillConvexPoly(body, cv2.convexHull(np.array(torso, dtype=np.int32)), 1)
    if len(torso) < 2:
        aside = (_SHOULDERS - 1) / 2 * size
        body[_inside(np.array([x1 - aside, y2, x2 + aside, y2 + _BODY * size]))] = 1
    return body


def _inside(box: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns that a box touches."""
    x1, y1, x2, y2 = (
        max(0, int(edge)) for edge in (np.floor(box[0]), np.floor(box[1]), np.ceil(box[2]), np.ceil(box[3]))
    )
    return slice(y1, y2), slice(x1, x2)
