"""Join the faces of successive frames into tracks, one for each person and shot."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from talking import tables
from talking.cli import setting

_BOX = ["x1", "y1", "x2", "y2"]
# The cost of a pair that must not be joined; finite, as the assignment wants a full matching.
_NEVER = 1e6
# Frames over which a track's speed is measured.
_SPEED_FRAMES = 5


@dataclass(frozen=True)
class Settings:
    """How faces are joined."""

    max_missed_frames: int = setting(12, "longest gap without a detection that is filled in, in frames")
    start_confidence: float = setting(
        0.6, "a track begins with a detection this confident; weaker ones only continue it"
    )
    min_frames: int = setting(3, "a track detected in fewer frames is a flicker of the detector and left out")
    reach: float = setting(0.7, "furthest a face may lie from where it is expected, in face sizes")


@dataclass
class Track:
    """A track while it grows: the rows of the `faces` table that it joins, with their frames and boxes (4,)."""

    rows: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)

    def expected(self, frame: int) -> np.ndarray:
        """Return the box (4,) of its last detection, moved on at the speed of its last frames."""
        first = max(0, len(self.frames) - 1 - _SPEED_FRAMES)
        passed = self.frames[-1] - self.frames[first]
        if passed == 0:
            return self.boxes[-1]
        speed = (_centre(self.boxes[-1]) - _centre(self.boxes[first])) / passed
        return self.boxes[-1] + np.tile(speed * (frame - self.frames[-1]), 2)


def track(faces: pd.DataFrame, shots: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the `tracks` table of a `faces` and a `shots` table; tracks are numbered by shot, first frame and place."""
    found: list[tuple[int, Track]] = []
    for shot in shots.itertuples():
        inside = faces[(faces.frame >= shot.start_frame) & (faces.frame < shot.end_frame)]
        needed = min(settings.min_frames, shot.end_frame - shot.start_frame)
        found += [(shot.shot, t) for t in join(inside, settings) if len(t.frames) >= needed]
    found.sort(key=lambda item: (item[0], item[1].frames[0], item[1].boxes[0][0]))
    confidence = faces.confidence.to_dict()
    parts = [_filled(number, shot, t, [confidence[r] for r in t.rows]) for number, (shot, t) in enumerate(found)]
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("tracks")


def join(faces: pd.DataFrame, settings: Settings) -> list[Track]:
    """Return the tracks of the faces of one shot.

    In each frame faces and tracks are paired by the assignment of least total cost (scipy), first the confident
    faces, then the weak ones with the tracks left over (ByteTrack's order: Zhang et al., ECCV 2022).
    """
    done: list[Track] = []
    alive: list[Track] = []
    for frame, group in faces.groupby("frame", sort=True):
        ended = [t for t in alive if frame - t.frames[-1] > settings.max_missed_frames + 1]
        done += ended
        alive = [t for t in alive if frame - t.frames[-1] <= settings.max_missed_frames + 1]
        boxes = group[_BOX].to_numpy(dtype=float)
        confident = group.confidence.to_numpy() >= settings.start_confidence
        free = list(alive)
        for chosen in (np.flatnonzero(confident), np.flatnonzero(~confident)):
            pairs = _pairs(free, boxes[chosen], frame, settings.reach)
            for t, i in pairs:
                free[t].rows.append(group.index[chosen[i]])
                free[t].frames.append(frame)
                free[t].boxes.append(boxes[chosen[i]])
            taken = {t for t, _ in pairs}
            free = [t for k, t in enumerate(free) if k not in taken]
            used = {chosen[i] for _, i in pairs}
            alive += [Track([group.index[i]], [frame], [boxes[i]]) for i in chosen if i not in used and confident[i]]
    return done + alive


def _pairs(tracks: list[Track], boxes: np.ndarray, frame: int, reach: float) -> list[tuple[int, int]]:
    """Return pairs (track, box) of least total distance, in face sizes and size ratios; none further than `reach`."""
    if not tracks or not len(boxes):
        return []
    expected = np.array([t.expected(frame) for t in tracks])
    size = np.sqrt(_size(expected)[:, None] * _size(boxes)[None, :])
    apart = np.linalg.norm(_centre(expected)[:, None] - _centre(boxes)[None, :], axis=-1) / size
    grown = np.abs(np.log(_size(expected)[:, None] / _size(boxes)[None, :]))
    cost = apart + grown / 2
    # The longer a face was not seen, the less is known of where it is.
    missed = np.array([frame - t.frames[-1] - 1 for t in tracks])
    cost[cost > reach * (1 + missed[:, None] / 25)] = _NEVER
    rows, columns = linear_sum_assignment(cost)
    return [(int(t), int(i)) for t, i in zip(rows, columns, strict=True) if cost[t, i] < _NEVER]


def _filled(number: int, shot: int, track: Track, confidences: list[float]) -> pd.DataFrame:
    """Return a track's rows of the table, its gaps filled in by straight lines."""
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    detected = np.isin(frames, track.frames)
    confidence = np.zeros(len(frames))
    confidence[detected] = confidences
    boxes = np.array(track.boxes)
    sides = {c: np.interp(frames, track.frames, boxes[:, i]) for i, c in enumerate(_BOX)}
    return pd.DataFrame(
        {"track": number, "shot": shot, "frame": frames, **sides, "detected": detected, "confidence": confidence}
    )


def _centre(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _size(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 1), axis=-1))
