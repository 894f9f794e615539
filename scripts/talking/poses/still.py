"""Poses of the people of a single picture, as a clip of one frame."""

from dataclasses import dataclass

import numpy as np

from talking import poses
from talking.poses.looks import Piece


@dataclass
class _Shown:
    """A picture, as a model asks for pictures."""

    picture: np.ndarray

    def rgb(self) -> np.ndarray:
        return self.picture


def of_picture(
    picture: np.ndarray, faces: np.ndarray, points: np.ndarray, model: poses.Model, settings: poses.Settings
) -> dict[str, np.ndarray]:
    """Return `poses.checked` of the people with the `faces` (p, 4) px and face `points` (p, 68, 2) px (NaN: lost) of an RGB picture
    (h, w, 3)."""
    whole = np.array([0, 0, picture.shape[1], picture.shape[0]])
    pieces = [
        Piece(i, 0, box[None], points[i][None], whole, np.delete(faces, i, 0)[None], goal=0)
        for i, box in enumerate(faces)
    ]
    model.look(_Shown(picture), 0, pieces)
    model.flush()
    found, scores = (np.stack(of) for of in zip(*(piece.found[0] for piece in pieces), strict=True))
    if not poses.FINDS_FACE[settings.model]:
        sure = (~np.isnan(points).any((1, 2))).astype(float)
        for i in range(len(pieces)):
            poses.add_faces(found[i][None], scores[i][None], np.zeros(1, int), points[i][None], sure[i][None])
    return poses.checked(found[None], scores[None], faces[None], np.tile(whole, (1, len(faces), 1)), settings.min_score)
