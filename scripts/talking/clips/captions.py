"""Writing over faces, such as captions burned into a video, by the text detector (PP-OCR) of the package rapidocr.

A line of writing that reaches over a face is searched again on the face alone: the head hides writing on a wall behind it.
"""

from collections.abc import Callable

import numpy as np

from talking.core import boxes

# Longer side in pixels of the pictures and faces that are searched.
_PICTURE_SIDE, _FACE_SIDE = 640, 320
# A line of writing is at least so many times as wide as it is high, and at most this fraction of the picture high: what else
# looks like writing to the detector (hair, leaves, a whole face) is squarer. On a face only a part of a line may lie.
_LEAST_WIDE, _MOST_HIGH = 2.5, 0.15
_LEAST_WIDE_ON_FACE, _MOST_HIGH_ON_FACE = 1.5, 0.5
# The middle of the face box that is looked at alone: what lies beyond it may lie behind the head.
_MIDDLE = 0.8
# Smallest shorter side in pixels of a face that can be searched.
_LEAST_PX = 8

# From an RGB picture, and the longer side to look at it with, to the boxes (n, 4) of what looks like writing, in its pixels.
Detector = Callable[[np.ndarray, int], np.ndarray]


def detector() -> Detector:
    """Return a function from an RGB picture (height, width, 3) and a longer side in px to boxes (n, 4) of what looks like writing."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.use_rec": False,
            "Global.log_level": "error",
            "Det.limit_side_len": _PICTURE_SIDE,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )

    def written(picture: np.ndarray, side: int) -> np.ndarray:
        import cv2

        scale = side / max(picture.shape[:2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        seen = cv2.resize(picture[..., ::-1], None, fx=scale, fy=scale, interpolation=method)
        found = engine(np.ascontiguousarray(seen), use_det=True, use_cls=False, use_rec=False).boxes
        if found is None or not len(found):
            return np.zeros((0, 4))
        corners = np.asarray(found, dtype=float) / scale
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    return written


def covered(picture: np.ndarray, faces: np.ndarray, written: Detector) -> np.ndarray:
    """Return the fraction (n,) of each face box (n, 4) px that the largest line of writing on it covers; 0 of an absent face (NaN).

    `picture` is RGB (height, width, 3), `written` what `detector` returns.
    """
    share = np.zeros(len(faces))
    lines = _lines(written(picture, _PICTURE_SIDE), _LEAST_WIDE, _MOST_HIGH * picture.shape[0])
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


def _lines(found: np.ndarray, least_wide: float, most_high: float) -> np.ndarray:
    width, height = (found[:, 2:] - found[:, :2]).T
    return found[(width >= least_wide * height) & (height <= most_high)]
