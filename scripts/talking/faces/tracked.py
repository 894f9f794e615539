"""The faces of a video, found by track and frame: the one place that decides in which frames a person has a face box."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from talking.core.errors import InputError

BOX = ["x1", "y1", "x2", "y2"]
# More faces than this in a picture are an audience: few of them are looked at closely.
MOST_LARGE = 8


def in_audience(tracks: pd.DataFrame) -> np.ndarray:
    """Return which rows (n,) of a `tracks` table are of a track that is mostly not among the largest eight faces of its frames."""
    box = tracks[BOX].to_numpy(dtype=float)
    size = pd.Series((box[:, 2:] - box[:, :2]).max(axis=1, initial=0), index=tracks.index)
    is_small = size.groupby(tracks["frame"]).rank(ascending=False, method="first") > MOST_LARGE
    return (is_small.groupby(tracks["track"]).transform("mean") > 0.5).to_numpy(bool)


class Faces:
    """The faces of a video with everything known of each, found by track and frame.

    `tracks`, `speaking` and `landmarks` are as the stages wrote them; a row that speaking lacks has score NaN and is silent.
    """

    def __init__(
        self,
        tracks: pd.DataFrame,
        speaking: pd.DataFrame | None = None,
        landmarks: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Index the rows of `tracks`; raises InputError if the landmarks are of other rows."""
        order = np.lexsort((tracks["frame"], tracks["track"]))
        is_in_order = bool((np.diff(order) == 1).all())
        self._key = _key(tracks["track"].to_numpy()[order], tracks["frame"].to_numpy()[order])
        self.box = tracks[BOX].to_numpy(dtype=np.float32)[order]
        self.detected = tracks["detected"].to_numpy()[order]
        self._detection = tracks["confidence"].to_numpy()[order]
        self.score, self.speaking, self.confidence = (np.full(len(order), fill) for fill in (np.nan, False, np.nan))
        if speaking is not None:
            at, known = self._find(speaking["track"].to_numpy(), speaking["frame"].to_numpy())
            self.score[at[known]] = speaking["score"].to_numpy()[known]
            self.speaking[at[known]] = speaking["speaking"].to_numpy()[known]
            self.confidence[at[known]] = speaking["speaking_confidence"].to_numpy()[known]
        for name, values in (landmarks or {}).items():
            if len(values) != len(order):
                raise InputError(
                    f"The landmarks ({len(values)} faces) are not of these tracks ({len(order)} faces); delete both files and run again."
                )
            # A long video's landmarks are large: they are not copied where they lie in order already.
            setattr(self, name, values if is_in_order else values[order])

    def rows(self, people: Sequence[Sequence[int]], start: int, end: int) -> np.ndarray:
        """Return the row numbers (frames, people) of people in frames [start, end), each given by its tracks; -1 where absent.

        Of two tracks of a person in one frame the one that the detector is surer of counts.
        """
        out = np.full((end - start, len(people)), -1)
        frame = np.arange(start, end)
        for i, tracks in enumerate(people):
            for track in tracks:
                at, known = self._find(np.full(frame.size, track), frame)
                at[~known] = -1
                better = known & ((out[:, i] < 0) | (self._detection[at] > self._detection[out[:, i]]))
                out[better, i] = at[better]
        return out

    def boxes(self, rows: np.ndarray) -> np.ndarray:
        """Return the face boxes (..., 4) px of row numbers (...), NaN where they are -1."""
        return self.of(self.box, rows, np.nan)

    @staticmethod
    def of(values: np.ndarray, rows: np.ndarray, absent: object) -> np.ndarray:
        """Return the values (..., …) that row numbers (...) have in `values` (rows, …), `absent` where they are -1."""
        if not len(values):
            return np.full((*rows.shape, *values.shape[1:]), absent)
        seen = (rows >= 0).reshape(*rows.shape, *[1] * (values.ndim - 1))
        return np.where(seen, values[rows], absent)

    def _find(self, track: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = _key(track, frame)
        at = np.searchsorted(self._key, wanted)
        known = at < self._key.size
        known[known] = self._key[at[known]] == wanted[known]
        return at, known


def _key(track: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return track.astype(np.int64) << 32 | frame.astype(np.int64)
