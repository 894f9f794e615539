"""Writing over faces, such as captions burned into a video, by the text detector (PP-OCR) of the package rapidocr.

A line of writing that reaches over a face is searched again on the face alone: the head hides writing on a wall behind it.
"""

import itertools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from talking.core import boxes, onnx_networks

# The network's input has sides that are multiples of this. A pixel is of writing from so much on; a piece of it counts if it is
# so many pixels high and so sure on average, and reaches so many times its area over half its circumference beyond itself.
_SIDES = 32
_LEAST_PIXEL, _LEAST_MEAN, _LEAST_SIDE, _BEYOND = 0.3, 0.5, 3, 1.6
# Longer side in pixels of the pictures and faces that are searched.
_PICTURE_SIDE, _FACE_SIDE = 640, 320
# A line of writing is at least so many times as wide as it is high, and at most this fraction of the picture high: what else
# looks like writing to the detector (hair, leaves, a whole face) is squarer. On a face only a part of a line may lie.
_LEAST_WIDE, _MOST_HIGH = 2.5, 0.15
_LEAST_WIDE_ON_FACE, _MOST_HIGH_ON_FACE = 1.5, 0.5
# About a face so many of the highest lines to the left and to the right are searched: the rest of a line is not needed.
_ASIDE = 2.0
# The middle of the face box that is looked at alone: what lies beyond it may lie behind the head.
_MIDDLE = 0.8
# Smallest shorter side in pixels of a face that can be searched.
_LEAST_PX = 8

# From an RGB picture, and the longer side to look at it with, to the boxes (n, 4) of what looks like writing, in its pixels.
Detector = Callable[[np.ndarray, int], np.ndarray]


def detector() -> Detector:
    """Return a function from an RGB picture (height, width, 3) and a longer side in px to boxes (n, 4) of what looks like writing.

    Only the network of the package is used: importing the package takes longer than a minute of video. The decoding follows
    the paper on differentiable binarization (Liao et al., AAAI 2020) with the package's settings.
    """
    folder = Path(next(iter(find_spec("rapidocr").submodule_search_locations))) / "models"
    session = onnx_networks.opened(folder / "PP-OCRv6_det_small.onnx", may_use_gpu=False)
    name = session.get_inputs()[0].name

    def written(picture: np.ndarray, side: int) -> np.ndarray:
        scale = side / max(picture.shape[:2])
        shape = [max(_SIDES, round(length * scale / _SIDES) * _SIDES) for length in picture.shape[:2]]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        seen = cv2.resize(picture, shape[::-1], interpolation=method)[..., ::-1].transpose(2, 0, 1)[None]
        probability = session.run(None, {name: np.ascontiguousarray(seen, np.float32) / 127.5 - 1})[0][0, 0]
        grow = np.array(picture.shape[1::-1]) / shape[::-1]
        return decoded(probability) * np.tile(grow, 2)

    return written


def decoded(probability: np.ndarray) -> np.ndarray:
    """Return the boxes (n, 4) about what the network's map (height, width) takes for writing."""
    mask = cv2.dilate((probability > _LEAST_PIXEL).astype(np.uint8), np.ones((2, 2), np.uint8))
    found = []
    for contour in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
        middle, (wide, high), angle = cv2.minAreaRect(contour)
        if min(wide, high) < _LEAST_SIDE:
            continue
        corners = np.round(cv2.boxPoints((middle, (wide, high), angle))).astype(np.int32)
        x, y, width, height = cv2.boundingRect(corners)
        inside = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners - [x, y]], 1)
        inside = inside[max(0, -y) :, max(0, -x) :]
        part = probability[max(0, y) : y + height, max(0, x) : x + width]
        if not part.size or cv2.mean(part, inside[: part.shape[0], : part.shape[1]])[0] < _LEAST_MEAN:
            continue
        # The network marks the lines' cores: their area over their circumference says how far the lines reach beyond.
        beyond = _BEYOND * wide * high / (wide + high)
        corners = cv2.boxPoints((middle, (wide + beyond, high + beyond), angle))
        found.append([*corners.min(axis=0), *corners.max(axis=0)])
    return boxes.clip(np.array(found, dtype=float).reshape(-1, 4), *probability.shape[::-1])


def covered(picture: np.ndarray, faces: np.ndarray, written: Detector) -> np.ndarray:
    """Return the fraction (n,) of each face box (n, 4) px that the largest line of writing on it covers; 0 of an absent face (NaN).

    `picture` is RGB (height, width, 3), `written` what `detector` returns.
    """
    share = np.zeros(len(faces))
    lines = _lines(_about_faces(picture, faces, written), _LEAST_WIDE, _MOST_HIGH * picture.shape[0])
    for i, face in enumerate(faces):
        if not (boxes.area(boxes.intersection(face, lines)) > 0).any():
            continue
        x1, y1, x2, y2 = boxes.clip(boxes.scale(face, _MIDDLE, 1.0), *picture.shape[1::-1]).astype(int)
        if min(x2 - x1, y2 - y1) < _LEAST_PX:
            continue
        on_face = written(picture[y1:y2, x1:x2], _FACE_SIDE) + [x1, y1, x1, y1]
        on_face = _lines(on_face, _LEAST_WIDE_ON_FACE, _MOST_HIGH_ON_FACE * (y2 - y1))
        both = boxes.area(boxes.intersection(on_face[:, None], lines[None])).max(initial=0)
        share[i] = both / max(boxes.area(face), 1e-6)
    return share


def _about_faces(picture: np.ndarray, faces: np.ndarray, written: Detector) -> np.ndarray:
    """Return the boxes (n, 4) of what looks like writing about the faces, where a line that reaches over one of them would be."""
    height, width = picture.shape[:2]
    reach = _MOST_HIGH * height * np.array([-_ASIDE, -1, _ASIDE, 1])
    windows = [boxes.clip(face + reach, width, height) for face in faces[~np.isnan(faces).any(axis=1)]]
    found = [np.zeros((0, 4))]
    for x1, y1, x2, y2 in np.array(_merged(windows)).reshape(-1, 4).astype(int):
        if min(x2 - x1, y2 - y1) >= _LEAST_PX:
            side = round(_PICTURE_SIDE / max(height, width) * max(x2 - x1, y2 - y1))
            found.append(written(picture[y1:y2, x1:x2], side) + [x1, y1, x1, y1])
    return np.concatenate(found)


def _merged(windows: list[np.ndarray]) -> list[np.ndarray]:
    """Return boxes of which any two are joined if that makes less to search."""
    for i, j in itertools.combinations(range(len(windows)), 2):
        both = boxes.union(np.stack([windows[i], windows[j]]))
        if boxes.area(both) <= boxes.area(windows[i]) + boxes.area(windows[j]):
            return _merged([both, *(window for k, window in enumerate(windows) if k not in (i, j))])
    return windows


def _lines(found: np.ndarray, least_wide: float, most_high: float) -> np.ndarray:
    width, height = (found[:, 2:] - found[:, :2]).T
    return found[(width >= least_wide * height) & (height <= most_high)]
