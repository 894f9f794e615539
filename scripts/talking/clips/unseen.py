"""People in a picture whose face is not seen, such as somebody from behind: pixels of people that no found face explains.

The segmentation is MediaPipe's selfie segmentation for wide pictures. It says which pixels belong to people, not to which
person: somebody in front of or close beside a person with a found face is not noticed.
"""

import threading
from collections.abc import Callable

import numpy as np

from talking.core import mediapipe_parts

# MediaPipe's selfie segmentation; its model 1 is the one for wide pictures.
_GRAPH = "mediapipe/modules/selfie_segmentation/selfie_segmentation_cpu.binarypb"
# Longer side in pixels of the pictures; the network's input is 256 × 144.
_PICTURE_SIDE = 320
# The sizes below count in the size of a face: the square root of its box's area; of several faces the smallest.
# A head reaches so far from the box's middle to either side, above the box and below it.
_HEAD_ASIDE, _HEAD_ABOVE, _HEAD_BELOW = 1.35, 1.0, 0.5
# From so far above the chin on a body widens from half the first width to half the second, by so much a row.
_NECK, _NECK_HALF, _BODY_HALF, _WIDENING = 0.3, 1.3, 2.3, 0.9
# Parts thinner than this are arms and legs that reach out of their body.
_THIN = 0.8
# What remains is a person if it has so many times a face's area, about a head with shoulders. In 213 real pictures that show a
# face, elbows, sofas, logos and balloons had up to 6.5, and people without a found face mostly 7.8 and more.
_LEAST_AREA = 7.0

# Graphs cannot be made by several threads at once; they run side by side.
_MAKING = threading.Lock()
# From an RGB picture (height, width, 3) to the probability (height, width) that a pixel belongs to a person.
Segmenter = Callable[[np.ndarray], np.ndarray]


def segmenter() -> Segmenter:
    """Return a function from an RGB picture (height, width, 3) to the probability (height, width) that a pixel is of a person."""
    with _MAKING:
        mediapipe_parts.prepare()
        from mediapipe.python.solution_base import SolutionBase

        inputs = {"model_selection": 1}
        network = SolutionBase(binary_graph_path=_GRAPH, side_inputs=inputs, outputs=["segmentation_mask"])

    def of_people(picture: np.ndarray) -> np.ndarray:
        return network.process({"image": np.ascontiguousarray(picture)}).segmentation_mask

    return of_people


def shows_unseen(picture: np.ndarray, faces: np.ndarray, of_people: Segmenter) -> bool:
    """Return True if an RGB picture (height, width, 3) shows a person none of whose face is among the boxes `faces` (n, 4) px.

    Absent faces are NaN; without any face nothing says how large a person is, and the answer is False. `of_people` is what
    `segmenter` returns.
    """
    faces = faces[~np.isnan(faces).any(axis=1)]
    if not len(faces):
        return False
    smaller, scale = small(picture)
    return unseen_area(of_people(smaller) > 0.5, faces * scale) >= _LEAST_AREA


def small(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a picture in the size that a segmenter is given, and that size over its own."""
    import cv2

    scale = min(1.0, _PICTURE_SIDE / max(picture.shape[:2]))
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def unseen_area(people: np.ndarray, faces: np.ndarray) -> float:
    """Return the largest part of `people` (height, width) bool that no face of `faces` (n, 4) px, n ≥ 1, explains, in face areas.

    A face explains its head and its body down to the picture's edge. Thin parts do not count.
    """
    import cv2

    least = max(1.0, float(_sizes(faces).min()))
    remaining = (people & ~explained(people.shape, faces)).astype(np.uint8)
    side = max(3, round(_THIN * least) | 1)
    thick = cv2.morphologyEx(remaining, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    _, _, parts, _ = cv2.connectedComponentsWithStats(thick)
    return float(parts[1:, cv2.CC_STAT_AREA].max(initial=0) / least**2)


def explained(shape: tuple[int, int], faces: np.ndarray) -> np.ndarray:
    """Return which pixels (height, width) bool lie where the heads and bodies of faces (n, 4) px can be."""
    x, y = np.arange(shape[1])[None, None] + 0.5, np.arange(shape[0])[None, :, None] + 0.5
    _, top, _, chin = (faces[:, i, None, None] for i in range(4))
    aside = np.abs(x - (faces[:, 0] + faces[:, 2])[:, None, None] / 2)
    size = _sizes(faces)[:, None, None]
    head = (aside < _HEAD_ASIDE * size) & (y > top - _HEAD_ABOVE * size) & (y < chin + _HEAD_BELOW * size)
    below = y - (chin - _NECK * size)
    half = np.minimum(_NECK_HALF * size + _WIDENING * below, _BODY_HALF * size)
    return (head | ((below > 0) & (aside < half))).any(axis=0)


def _sizes(faces: np.ndarray) -> np.ndarray:
    return np.sqrt((faces[:, 2:] - faces[:, :2]).prod(axis=1))
