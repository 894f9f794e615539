"""Pictures of the best faces of each track, kept while landmarks are marked: who recognises persons by them decodes nothing.

Each track's detected faces are split into equal spans, and the best of each span is kept: sharp, large and turned to the camera.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd

from talking.faces.detect import cut_square

# How many faces of a track are kept at most; the square about a face in longer sides of its box, and its pixels at most.
MOST = 12
REGION, _SIDE = 1.6, 224
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


def worth(boxes: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Return how well faces (n,) are recognised: one twice as sharp or large is worth as much as one turned 15 degrees less."""
    size = (boxes[..., 2:] - boxes[..., :2]).max(axis=-1)
    turned = np.nan_to_num(np.hypot(yaw, pitch))
    return np.log2(np.maximum(blur, 1)) / 2 + np.log2(np.maximum(size, 1)) - turned / 15


class Keeper:
    """Keeps the best face of each span of each track of a `tracks` table, given the faces by rising frames."""

    def __init__(self, tracks: pd.DataFrame) -> None:
        detected = tracks["detected"].to_numpy(bool)
        self._track, self._span = tracks["track"].to_numpy(), np.full(len(tracks), -1)
        for rows in tracks.groupby("track").indices.values():
            rows = rows[detected[rows]]
            self._span[rows] = np.arange(len(rows)) * min(MOST, len(rows)) // max(1, len(rows))
        # Of each track, the span that is under way and its best face so far: worth, row, picture, corner and scale.
        self._best: dict[int, tuple] = {}
        self._kept: list[tuple[int, np.ndarray, np.ndarray, float]] = []

    def see(self, row: int, worth: float, picture: np.ndarray, box: np.ndarray, origin: np.ndarray) -> None:
        """Take the face of a row in a part of an RGB picture that begins at `origin` (x, y); `box` (4,) lies in the whole picture."""
        track, span = int(self._track[row]), int(self._span[row])
        if span < 0:
            return
        best = self._best.get(track)
        if best is not None and best[0] != span:
            self._keep(*best[2:])
        elif best is not None and best[1] >= worth:
            return
        side = max((box[2:] - box[:2]).max() * REGION, 2.0)
        part, corner = cut_square(picture, (box[:2] + box[2:]) / 2 - origin, side)
        scale = min(1.0, _SIDE / len(part))
        if scale < 1:
            part = cv2.resize(part, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        self._best[track] = (span, worth, row, part, corner + origin, scale)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the kept faces as arrays: `face` JPEG bytes one after the other, and of each face (k) its row and where it is.

        `face_end` (k) is where its bytes end, `face_corner` (k, 2) its left upper corner in the whole picture and `face_scale` (k)
        its pixels over those of the whole picture.
        """
        for best in self._best.values():
            self._keep(*best[2:])
        self._best = {}
        kept = sorted(self._kept, key=lambda face: face[0])
        return {
            "face": np.concatenate([np.zeros(0, np.uint8), *(face[1] for face in kept)]),
            "face_row": np.array([face[0] for face in kept], dtype=np.int32),
            "face_end": np.cumsum([len(face[1]) for face in kept], dtype=np.int64),
            "face_corner": np.array([face[2] for face in kept], dtype=np.float32).reshape(-1, 2),
            "face_scale": np.array([face[3] for face in kept], dtype=np.float32),
        }

    def _keep(self, row: int, part: np.ndarray, corner: np.ndarray, scale: float) -> None:
        _, jpeg = cv2.imencode(".jpg", part[..., ::-1], _JPEG)
        self._kept.append((row, jpeg, corner, scale))


def face(landmarks: Mapping[str, np.ndarray], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the RGB picture (side, side, 3) of a kept face by its place in `face_row`, and its points (68, 2) in it."""
    end = landmarks["face_end"]
    start = int(end[number - 1]) if number else 0
    picture = cv2.imdecode(landmarks["face"][start : int(end[number])], cv2.IMREAD_COLOR_RGB)
    points = landmarks["points"][landmarks["face_row"][number]] - landmarks["face_corner"][number]
    return picture, points * landmarks["face_scale"][number]
