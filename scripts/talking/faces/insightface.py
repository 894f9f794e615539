"""InsightFace's published networks as ONNX files: SCRFD finds faces, ArcFace embeds them.

SCRFD (Guo et al., ICLR 2022) is the successor of RetinaFace (Deng et al., CVPR 2020) with the same output; ArcFace is Deng et
al., CVPR 2019. Their weights are for non-commercial research only.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from talking.core import onnx_networks, pictures
from talking.core.errors import InputError

# What the networks were trained on: SCRFD pictures padded to whole cells of its coarsest map, and two anchors a cell.
_STRIDES = (8, 16, 32)
_ANCHORS = 2
_LEAST_SCORE, _SAME_FACE = 0.3, 0.4
# Where ArcFace expects the eyes, the nose and the corners of the mouth, left in the picture first, in its 112 pixels.
_FACE_PX = 112
_EXPECTED = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def scrfd(weights: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return SCRFD as a function from a BGR picture to detections (n, 15): x1, y1, x2, y2, score and five points.

    Raises InputError if `weights` is no ONNX file of SCRFD with points.
    """
    session = _opened(weights, "faces: weights", "SCRFD, such as det_10g.onnx")
    name, kinds = session.get_inputs()[0].name, [4, 1, 10]
    if len(session.get_outputs()) != len(_STRIDES) * len(kinds):
        raise InputError(f"{weights} is no SCRFD with points; name det_10g.onnx or a variant of it.")

    def detector(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        padded = np.zeros((*(-(-side // _STRIDES[-1]) * _STRIDES[-1] for side in (height, width)), 3), np.float32)
        padded[:height, :width] = (picture[..., ::-1].astype(np.float32) - 127.5) / 128
        found = session.run(None, {name: np.ascontiguousarray(padded.transpose(2, 0, 1)[None])})
        found = [part.reshape(-1, part.shape[-1]) for part in found]
        # Of each kind the finest map first: it has the most rows.
        maps = [sorted((p for p in found if p.shape[1] == kind), key=len, reverse=True) for kind in kinds]
        rows = [
            _decoded(box, score, points, stride, padded.shape[1] // stride)
            for stride, box, score, points in zip(_STRIDES, *maps, strict=True)
        ]
        rows = np.concatenate(rows)
        size = rows[:, 2:4] - rows[:, :2]
        kept = cv2.dnn.NMSBoxes(np.concatenate([rows[:, :2], size], axis=1).tolist(), rows[:, 4].tolist(), _LEAST_SCORE, _SAME_FACE)  # fmt: skip
        return rows[np.asarray(kept, dtype=int)]

    return detector


class ArcFace:
    """A function from a pair, an RGB picture and a face's points (68, 2), to an embedding (512,) of unit length.

    `together` does the same for several pairs in one run of the network, best so many as `at_once` says.
    """

    def __init__(self, weights: str | Path, at_once: int | None = None) -> None:
        """Load the network; raises InputError if `weights` is no ONNX file."""
        self._session = _opened(weights, "embeddings: weights", "ArcFace, such as w600k_r50.onnx")
        self._name = self._session.get_inputs()[0].name
        # Some files declare that they take one face a run.
        takes_many = not isinstance(self._session.get_inputs()[0].shape[0], int)
        self.at_once = at_once or (onnx_networks.at_once(self._session) if takes_many else 1)

    def __call__(self, face: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the embedding of one face."""
        return self.together([face])[0]

    def together(self, faces: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return the embeddings (n, 512) of the faces in n pictures."""
        cut = np.stack([aligned(picture, points) for picture, points in faces])
        cut = (cut.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
        found = self._session.run(None, {self._name: np.ascontiguousarray(cut)})[0]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def aligned(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the face with points (68, 2) turned, scaled and shifted so that eyes, nose and mouth lie where ArcFace expects them.

    The similarity is the one of least squares (Umeyama, 1991, here in complex numbers, where it is one division).
    """
    five = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    seen, wanted = five @ [1, 1j], _EXPECTED @ [1, 1j]
    spread = seen - seen.mean()
    turn = np.vdot(spread, wanted - wanted.mean()) / np.vdot(spread, spread).real
    shift = wanted.mean() - turn * seen.mean()
    to_face = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return pictures.warped(picture, to_face, (_FACE_PX, _FACE_PX))


def _decoded(box: np.ndarray, score: np.ndarray, points: np.ndarray, stride: int, columns: int) -> np.ndarray:
    """Return the rows (n, 15) of one map, whose distances are in strides from the corner of each anchor's cell."""
    cell = np.arange(len(score)) // _ANCHORS
    corner = np.stack([cell % columns, cell // columns], axis=1) * float(stride)
    first, last = corner - box[:, :2] * stride, corner + box[:, 2:] * stride
    five = np.tile(corner, 5) + points * stride
    return np.concatenate([first, last, score, five], axis=1)[score[:, 0] >= _LEAST_SCORE]


def _opened(weights: str | Path, key: str, what: str):
    if not weights or not Path(weights).is_file():
        raise InputError(f"{weights or 'no file'} was not found; set {key} to the path of an ONNX file of {what}.")
    try:
        return onnx_networks.opened(weights)
    except Exception as error:  # its classes are made at run time and share no other base
        raise InputError(f"{weights} is no ONNX file that can be run ({error}); set {key} to one of {what}.") from error
