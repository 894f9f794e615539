"""Motion in a video's pictures: how face landmarks move, and what differs between two pictures when their motion is undone."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

# Points of the 68 (iBUG 300-W) that show where the face is, and those by which a listener reacts.
STEADY = [*range(17), *range(27, 36)]
EYES_BROWS = [*range(17, 27), *range(36, 48)]
# Middles of the inner lips, ends of the contour.
_UPPER_LIP, _LOWER_LIP, _CONTOUR = 62, 66, (0, 16)
# Face movements are given in px of a face of this size (AnyTalker's crop).
FACE_SIDE = 224
# A square's margin about the face, and how far dlib's box of a face lies above the middle of its points, in sides of the face.
_MARGIN, _BOX_HIGHER = 0.25, 0.09
# dlib's points are whole pixels and depend on its box: the mean over boxes shifted by these px halves what it finds in a face that does
# not move.
_SHIFTS = [(0, 0), (-7, 0), (7, 0), (0, -7), (0, 7)]

# A square picture with a face of `FACE_SIDE` in its middle, and the 68 points (68, 2) px of the face.
Marker = Callable[[np.ndarray], np.ndarray]


def dlib_marker() -> Marker:
    """Return dlib's shape predictor (Kazemi & Sullivan, 2014), from face_recognition_models."""
    import dlib

    folder = Path(next(iter(importlib.util.find_spec("face_recognition_models").submodule_search_locations))) / "models"
    predictor = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))

    def marker(square: np.ndarray) -> np.ndarray:
        low, high = round(_MARGIN * FACE_SIDE), round((1 + _MARGIN) * FACE_SIDE)
        found = [predictor(square, dlib.rectangle(low + x, low + y, high + x, high + y)) for x, y in _SHIFTS]
        return np.mean([[(point.x, point.y) for point in one.parts()] for one in found], axis=0)

    return marker


def face_movement(
    marker: Marker, before: np.ndarray, now: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how the landmarks (68, 2) of a face move from one picture (h, w, 3) to the next, and where they are in that one, in px
    of a face of `FACE_SIDE`.

    Both pictures are seen through the same square, about the `points` (68, 2) px where the face should be, so that two equal pictures
    give exactly 0. A face of a few pixels is enlarged in it.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).mean())
    middle = (low + high) / 2 - (0, _BOX_HIGHER * side)
    width = 1 + 2 * _MARGIN
    was, is_now = (cut_square(picture, middle, width * side, round(width * FACE_SIDE)) for picture in (before, now))
    found = marker(is_now)
    return found - marker(was), found


def opening(found: np.ndarray) -> float:
    """Return how far the inner lips of landmarks (68, 2) are apart, in widths of the face."""
    return float((found[_LOWER_LIP] - found[_UPPER_LIP])[1] / np.linalg.norm(found[_CONTOUR[1]] - found[_CONTOUR[0]]))


def cut_square(picture: np.ndarray, middle: np.ndarray, side: float, pixels: int) -> np.ndarray:
    """Return a square of `side` px about `middle` (x, y) as a picture (pixels, pixels, 3); grey where the picture ends."""
    scale, corner = pixels / max(side, 1), np.asarray(middle) - max(side, 1) / 2
    # Pixels are numbered by their middles, boxes by their edges.
    shift = scale * (0.5 - corner) - 0.5
    move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(picture, move, (pixels, pixels), borderMode=cv2.BORDER_CONSTANT, borderValue=(110, 110, 110))


def warping_errors(
    truth: tuple[np.ndarray, np.ndarray], made: tuple[np.ndarray, np.ndarray], regions: list[np.ndarray]
) -> list[float]:
    """Return for each region, boxes (n, 4) px, the mean difference (0-255) of the second of two `made` pictures (h, w, 3) uint8 to the
    first, moved onto it by the optical flow of the `truth` (Lai et al., 2018).

    The flow is the truth's, as made pictures should move so, and as the flow of noise finds pairs that look alike by chance. Only
    consistent pixels count, those whose flow there and back ends where it began (Sundaram et al., 2010); NaN if none is.
    """
    back, there = (_flow(a, b) for a, b in (truth[::-1], truth))
    before, now = made
    height, width = now.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    came_x, came_y = x + back[..., 0], y + back[..., 1]
    returned = cv2.remap(there, came_x, came_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = np.square(back + returned).sum(axis=-1)
    moved = np.square(back).sum(axis=-1) + np.square(returned).sum(axis=-1)
    inside = (came_x >= 0) & (came_x <= width - 1) & (came_y >= 0) & (came_y <= height - 1)
    consistent = inside & (gap < 0.01 * moved + 0.5)
    carried = cv2.remap(before.astype(np.float32), came_x, came_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = np.abs(carried - now).mean(axis=-1)
    found = []
    for boxes in regions:
        asked = np.zeros((height, width), dtype=bool)
        for x1, y1, x2, y2 in np.round(boxes[np.isfinite(boxes).all(axis=-1)]).clip(0).astype(int):
            asked[y1:y2, x1:x2] = True
        asked &= consistent
        found.append(float(error[asked].mean()) if asked.any() else np.nan)
    return found


def _flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the flow (h, w, 2) px from one picture to the other."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
