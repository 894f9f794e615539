"""The same person shown twice in one picture: a mirror, a split screen replay, a video call beside its recording."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from talking.people import evidence
from talking.video.media import FPS

# Two persons are compared if they are seen together for so long, by up to so many pictures of the same frames.
_TOGETHER_S, _PICTURES = 1.0, 12
# So many persons of a shot are compared, the largest: in a crowd nobody is looked for twice.
MOST_PERSONS = 8
# Pictures of one frame that differ less than this are the same picture. Where looks are one person's they may differ more: they are
# scaled and coded otherwise.
_SAME_PICTURE, _ALIKE_PICTURE = 0.06, 0.25
# Looks nearer than this, in units of the distance up to which they are one person's, are one person's though both are seen at once.
_SAME_LOOKS = 0.35


def find(
    rows: Mapping[int, np.ndarray],
    tracks: pd.DataFrame,
    marks: Mapping[str, np.ndarray],
    embeddings: Mapping[str, np.ndarray],
) -> dict[int, int]:
    """Return second showing → first one for the persons of a shot that show somebody who is in the picture already.

    `rows` are the positions in `tracks` of each person's rows, the largest first: a person can only repeat an earlier one. Two are
    the same person if their pictures are the same ones, as they are or mirrored, or if their looks are.
    """
    looks = {person: _looks(tracks["track"].iloc[of].unique(), embeddings) for person, of in rows.items()}
    same_person = float(embeddings["same_person"].item())
    pictures = {person: _pictures(of, tracks, marks) for person, of in rows.items()}
    found: dict[int, int] = {}
    for first, second in itertools.combinations(rows, 2):
        if first in found or second in found:
            continue
        together = np.intersect1d(tracks["frame"].iloc[rows[first]], tracks["frame"].iloc[rows[second]])
        if len(together) < _TOGETHER_S * FPS:
            continue
        unlike = _unlike(looks[first], looks[second]) / same_person
        if unlike <= _SAME_LOOKS or _apart(pictures[first], pictures[second]) <= (
            _ALIKE_PICTURE if unlike <= 1 else _SAME_PICTURE
        ):
            found[second] = first
    return found


def _looks(tracks: np.ndarray, embeddings: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the mean look (d,) of a person's tracks by the faces that each was measured on; None if none was."""
    known = np.isin(embeddings["track"], tracks)
    if not known.any():
        return None
    return np.average(embeddings["embedding"][known], axis=0, weights=embeddings["faces"][known])


def _unlike(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Return the cosine distance of two looks, infinite if one is unknown."""
    if a is None or b is None:
        return np.inf
    return 1 - float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)


def _pictures(rows: np.ndarray, tracks: pd.DataFrame, marks: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Return a person's thumbnails (32, 32) by frame."""
    mine = np.isin(marks["thumbnail_row"], rows)
    frames = tracks["frame"].to_numpy()[marks["thumbnail_row"][mine]]
    return dict(zip(frames.tolist(), marks["thumbnail"][mine], strict=True))


def _apart(a: Mapping[int, np.ndarray], b: Mapping[int, np.ndarray]) -> float:
    """Return how much the pictures of the same frames differ, as the median over up to twelve, the second ones mirrored if that is less.

    Of persons whose first pictures are far from the same ones only these are compared.
    """
    frames = sorted(a.keys() & b.keys())
    if not frames:
        return np.inf
    chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, _PICTURES).round().astype(int))]
    medians = []
    for turned in (slice(None), slice(None, None, -1)):
        pairs = ((a[f], np.ascontiguousarray(b[f][:, turned])) for f in chosen)
        first = evidence.difference(*next(pairs))
        rest = [evidence.difference(*pair) for pair in pairs] if first <= 2 * _ALIKE_PICTURE else []
        medians.append(float(np.median([first, *rest])))
    return min(medians)
