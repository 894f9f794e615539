"""Join the faces of successive frames into tracks, one for each person and shot."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from talking import intervals, media, tables
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
    touch: float = setting(
        1.1, "two faces touch when their centres are nearer, in face sizes; their looks are compared"
    )
    swap_margin: float = setting(0.04, "two tracks are exchanged when their looks fit better by this cosine distance")


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


class Contact(NamedTuple):
    """Two tracks (their places in a list) whose faces touch in frames [start, end), and are nearest at `nearest`."""

    start: int
    end: int
    nearest: int
    first: int
    second: int


# Gives the looks of the faces in the given (frame, box) places: unit vectors, None where no face can be made out.
Looks = Callable[[list[tuple[int, np.ndarray]]], list[np.ndarray | None]]


def track(faces: pd.DataFrame, shots: pd.DataFrame, looks: Looks, settings: Settings) -> pd.DataFrame:
    """Return the `tracks` table of a `faces` and a `shots` table; tracks are numbered by shot, first frame and place.

    Faces are joined by place and motion; where two tracks touched, looks decide who went on as whom.
    """
    found: list[tuple[int, Track]] = []
    for shot in shots.itertuples():
        inside = faces[(faces.frame >= shot.start_frame) & (faces.frame < shot.end_frame)]
        needed = min(settings.min_frames, shot.end_frame - shot.start_frame)
        joined = [t for t in join(inside, settings) if len(t.frames) >= needed]
        settled = [part for t in untangle(joined, looks, settings) for part in _parts(t, settings.max_missed_frames)]
        found += [(shot.shot, t) for t in settled if len(t.frames) >= needed]
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


def looks_in(video: str | Path) -> Looks:
    """Return a function that looks at faces of a `media/` video; nothing is loaded or decoded before it is called."""

    def looks(places: list[tuple[int, np.ndarray]]) -> list[np.ndarray | None]:
        from talking.identities import MODELS, EmbedSettings
        from talking.landmarks import MESH_TO_IBUG, FaceMesh

        embedder, mesh = MODELS[EmbedSettings.model](), FaceMesh()
        out: list[np.ndarray | None] = [None] * len(places)
        for frame, picture in media.frames_at(video, (frame for frame, _ in places)):
            for i, (wanted, box) in enumerate(places):
                if wanted == frame:
                    points, _ = mesh(picture, _centre(box), 1.4 * (box[2:] - box[:2]).max(), 0.0)
                    if np.isfinite(points).all():
                        out[i] = embedder(picture, points[MESH_TO_IBUG, :2])
        mesh.close()
        return out

    return looks


def untangle(tracks: list[Track], looks: Looks, settings: Settings) -> list[Track]:
    """Return the tracks of one shot, exchanged after a contact where the faces after it look the other way round."""
    tracks = [Track(list(t.rows), list(t.frames), list(t.boxes)) for t in tracks]
    contacts = contacts_of(tracks, settings.touch)
    seen: set[Contact] = set()
    while ahead := [c for c in contacts if c not in seen]:
        contact = ahead[0]
        seen.add(contact)
        if _looks_swapped(contact, tracks, looks, settings.swap_margin):
            a, b = tracks[contact.first], tracks[contact.second]
            tracks[contact.first], tracks[contact.second] = (
                _spliced(a, b, contact.nearest),
                _spliced(b, a, contact.nearest),
            )
            # Earlier contacts are settled; later ones now belong to other tracks.
            contacts = [c for c in contacts_of(tracks, settings.touch) if c.start > contact.start]
    return [t for t in tracks if t.frames]


def contacts_of(tracks: list[Track], touch: float) -> list[Contact]:
    """Return all contacts of any two tracks, by start; centres nearer than `touch` mean sizes are a contact."""
    if len(tracks) < 2:
        return []
    rows = []
    for i, t in enumerate(tracks):
        frames = np.arange(t.frames[0], t.frames[-1] + 1)
        boxes = np.array(t.boxes)
        filled = np.column_stack([np.interp(frames, t.frames, boxes[:, k]) for k in range(4)])
        rows.append(np.column_stack([np.full(len(frames), i), frames, _centre(filled), _size(filled)]))
    every = pd.DataFrame(np.concatenate(rows), columns=["track", "frame", "x", "y", "size"])
    pairs = every.merge(every, on="frame", suffixes=("_a", "_b"))
    pairs = pairs[pairs["track_a"] < pairs["track_b"]]
    apart = np.hypot(pairs.x_a - pairs.x_b, pairs.y_a - pairs.y_b) / ((pairs.size_a + pairs.size_b) / 2)
    pairs = pairs.assign(apart=apart)
    found = []
    for (a, b), pair in pairs.groupby(["track_a", "track_b"]):
        first = int(pair["frame"].min())
        pair = pair.set_index("frame")["apart"].reindex(range(first, int(pair["frame"].max()) + 1))
        for start, end in intervals.from_mask(pair.to_numpy() < touch):
            nearest = int(pair.iloc[start:end].idxmin())
            found.append(Contact(first + start, first + end, nearest, int(a), int(b)))
    return sorted(found)


def _looks_swapped(contact: Contact, tracks: list[Track], looks: Looks, margin: float) -> bool:
    """Tell whether the faces after a contact look like the other's before it, by more than `margin` on average."""
    places = {
        (which, after): _beside(tracks[which], contact, after)
        for which in (contact.first, contact.second)
        for after in (False, True)
    }
    a, b = contact.first, contact.second
    stays, swaps = (
        [((a, False), (a, True)), ((b, False), (b, True))],
        [((a, False), (b, True)), ((b, False), (a, True))],
    )
    if not all(any(places[x] and places[y] for x, y in pairs) for pairs in (stays, swaps)):
        return False
    found = iter(looks([place for group in places.values() for place in group]))
    means = {}
    for key, group in places.items():
        vectors = [v for v in [next(found) for _ in group] if v is not None]
        if vectors:
            means[key] = np.mean(vectors, axis=0)
    costs = [
        [scipy.spatial.distance.cosine(means[x], means[y]) for x, y in pairs if x in means and y in means]
        for pairs in (stays, swaps)
    ]
    return all(costs) and float(np.mean(costs[0]) - np.mean(costs[1])) > margin


def _beside(track: Track, contact: Contact, after: bool) -> list[tuple[int, np.ndarray]]:
    """Return up to three (frame, box) of a track within a second before or after a contact."""
    reach = range(contact.end, contact.end + media.FPS) if after else range(contact.start - media.FPS, contact.start)
    inside = [i for i, frame in enumerate(track.frames) if frame in reach]
    chosen = [inside[i] for i in np.linspace(0, len(inside) - 1, 3).round().astype(int)] if inside else []
    return [(track.frames[i], track.boxes[i]) for i in sorted(set(chosen))]


def _spliced(before: Track, after: Track, frame: int) -> Track:
    """Return one track up to and with `frame`, and another from there on."""
    head = [i for i, f in enumerate(before.frames) if f <= frame]
    tail = [i for i, f in enumerate(after.frames) if f > frame]
    return Track(
        [before.rows[i] for i in head] + [after.rows[i] for i in tail],
        [before.frames[i] for i in head] + [after.frames[i] for i in tail],
        [before.boxes[i] for i in head] + [after.boxes[i] for i in tail],
    )


def _parts(track: Track, max_missed: int) -> list[Track]:
    """Return a track cut where more than `max_missed` frames lack a detection, as an exchange may leave it."""
    cuts = (np.flatnonzero(np.diff(track.frames) > max_missed + 1) + 1).tolist()
    return [
        Track(track.rows[a:b], track.frames[a:b], track.boxes[a:b])
        for a, b in itertools.pairwise([0, *cuts, len(track.frames)])
    ]


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
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
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
