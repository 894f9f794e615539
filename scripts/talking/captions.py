"""Writing over faces, such as captions burned into a video, by the text detector (PP-OCR) that the package rapidocr carries.

Each face is looked at alone: of writing on a wall behind a head, whatever the head does not hide lies beside the face.
"""

from collections.abc import Callable

import numpy as np

from talking import boxes

# A face is looked at with a longer side of so many pixels.
_LONG_SIDE = 320
# The middle of the face box that is looked at: what lies beyond it may lie behind the head.
_MIDDLE = 0.8
# A line of writing is at least so many times as wide as it is high, and at most this share of the face high: what else looks
# like writing to the detector (hair, eyes, a whole face) is squarer or higher.
_LEAST_WIDE, _MOST_HIGH = 1.5, 0.5
# Faces with a shorter side of fewer pixels cannot be searched.
_LEAST_PX = 8

# From an RGB picture to the boxes (n, 4) of its lines of writing.
Detector = Callable[[np.ndarray], np.ndarray]


def detector() -> Detector:
    """Return a function from an RGB picture (height, width, 3) to the boxes (n, 4) of what looks like writing in it, in its pixels."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.use_rec": False,
            "Global.log_level": "error",
            "Det.limit_side_len": _LONG_SIDE,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )

    def written(picture: np.ndarray) -> np.ndarray:
        found = engine(np.ascontiguousarray(picture[..., ::-1]), use_det=True, use_cls=False, use_rec=False).boxes
        if found is None or not len(found):
            return np.zeros((0, 4))
        corners = np.asarray(found, dtype=float)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    return written


def covered(picture: np.ndarray, face: np.ndarray, written: Detector) -> float:
    """Return the share of a face box (4,) px that the largest line of writing on it covers; 0 of an absent face (NaN).

    `picture` is RGB (height, width, 3), `written` what `detector` returns.
    """
    import cv2

    if np.isnan(face).any():
        return 0.0
    x1, y1, x2, y2 = boxes.clip(boxes.scale(face, _MIDDLE, 1.0), *picture.shape[1::-1]).astype(int)
    if min(x2 - x1, y2 - y1) < _LEAST_PX:
        return 0.0
    larger = _LONG_SIDE / max(x2 - x1, y2 - y1)
    found = (
        written(cv2.resize(picture[y1:y2, x1:x2], None, fx=larger, fy=larger, interpolation=cv2.INTER_CUBIC)) / larger
    )
    width, height = (found[:, 2:] - found[:, :2]).T
    lines = found[(width >= _LEAST_WIDE * height) & (height <= _MOST_HIGH * (y2 - y1))]
    return float(boxes.area(lines).max(initial=0) / max(boxes.area(face), 1e-6))
