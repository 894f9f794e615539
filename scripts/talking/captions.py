"""Writing in pictures, such as captions burned into a video, by the text detector (PP-OCR) that the package rapidocr carries."""

from collections.abc import Callable

import numpy as np

from talking import boxes

# Pictures are looked at with a longer side of so many pixels.
_LONG_SIDE = 640
# A line of writing is at least so many times as wide as it is high, and at most this share of the picture high: what else
# looks like writing to the detector (hair, leaves, a whole face) is squarer.
_LEAST_WIDE, _MOST_HIGH = 2.5, 0.15

# From an RGB picture to the boxes (n, 4) of its lines of writing.
Detector = Callable[[np.ndarray], np.ndarray]


def detector() -> Detector:
    """Return a function from an RGB picture (height, width, 3) to the boxes (n, 4) of the lines written in it, in its pixels."""
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

    def lines(picture: np.ndarray) -> np.ndarray:
        found = engine(np.ascontiguousarray(picture[..., ::-1]), use_det=True, use_cls=False, use_rec=False).boxes
        if found is None or not len(found):
            return np.zeros((0, 4))
        corners = np.asarray(found, dtype=float)
        spans = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        width, height = (spans[:, 2:] - spans[:, :2]).T
        return spans[(width >= _LEAST_WIDE * height) & (height <= _MOST_HIGH * picture.shape[0])]

    return lines


def covered(faces: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return the share (n,) of each face box (n, 4) that the line of writing (m, 4) over most of it covers."""
    shared = boxes.area(boxes.intersection(faces[:, None], lines[None]))
    return shared.max(axis=1, initial=0) / np.maximum(boxes.area(faces), 1e-6)
