"""Join the faces of successive frames into tracks, one for each person and shot."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from talking.core import intervals, tables
from talking.core.cli import setting
from talking.faces import embedding
from talking.video import media

_BOX = ["x1", "y1", "x2", "y2"]
# The cost of a pair that must not be joined; finite, as the assignment needs a full matching.
_NEVER = 1e6
# Frames over which a track's speed is measured, and frames for which it is extrapolated: people stop and turn.
_SPEED_FRAMES = 5
_FURTHEST_FRAMES = 12


@dataclass(frozen=True)
class Settings:
    """Settings of the tracks."""

    max_missed_frames: int = setting(25, "longest gap without a detection that is filled in, in frames")
    start_confidence: float = setting(
        0.5, "a track needs a detection of this confidence; weaker ones only continue it, forwards and backwards"
    )
    min_frames: int = setting(3, "tracks with fewer such detections are dropped")
    reach: float = setting(0.7, "largest distance of a face from where it is expected, in face sizes")
    touch: float = setting(
        1.1, "distance of two faces' centres below which they touch and their embeddings are compared, in face sizes"
    )
    part: float = setting(1.5, "distance of the centres above which faces that touched are apart again, in face sizes")
    swap_margin: float = setting(
        0.6,
        "two tracks are exchanged if that makes their embeddings fit better by this fraction of the distance within one person",
    )


@dataclass
class Track:
    """A track while it grows: the rows of the `faces` table that it joins, with their frames and boxes (4,)."""

    rows: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)

    def expected(self, frame: int) -> np.ndarray:
        """Return the box (4,) of its last detection, moved on at the speed of its last frames, but not for long."""
        first = max(0, len(self.frames) - 1 - _SPEED_FRAMES)
        passed = self.frames[-1] - self.frames[first]
        if passed == 0:
            return self.boxes[-1]
        speed = (_centre(self.boxes[-1]) - _centre(self.boxes[first])) / passed
        return self.boxes[-1] + np.tile(speed * min(frame - self.frames[-1], _FURTHEST_FRAMES), 2)


class Contact(NamedTuple):
    """Two tracks (their places in a list) whose faces touch in frames [start, end), and are nearest at `nearest`."""

    start: int
    end: int
    nearest: int
    first: int
    second: int


class Looks(NamedTuple):
    """How faces are compared.

    `of` gives the embeddings of the faces in (frame, box) places: unit vectors, None where no face can be seen; `same_person` is the
    cosine distance up to which two are of one person.
    """

    of: Callable[[list[tuple[int, np.ndarray]]], list[np.ndarray | None]]
    same_person: float


def track(faces: pd.DataFrame, shots: pd.DataFrame, looks: Looks, settings: Settings) -> pd.DataFrame:
    """Return the `tracks` table of a `faces` and a `shots` table; tracks are numbered by shot, first frame and place.

    Faces are joined by place and motion; where two tracks touched, embeddings decide which continues which.
    """
    found: list[tuple[int, Track]] = []
    confidence = faces.confidence.to_dict()

    def is_sure(track: Track, needed: int) -> bool:
        return sum(confidence[row] >= settings.start_confidence for row in track.rows) >= needed

    for shot in shots.itertuples():
        inside = faces[(faces.frame >= shot.start_frame) & (faces.frame < shot.end_frame)]
        needed = min(settings.min_frames, shot.end_frame - shot.start_frame)
        joined = [t for t in join(inside, settings) if is_sure(t, needed)]
        settled = [part for t in untangle(joined, looks, settings) for part in _parts(t, settings.max_missed_frames)]
        found += [(shot.shot, t) for t in settled if is_sure(t, needed)]
    found.sort(key=lambda item: (item[0], item[1].frames[0], item[1].boxes[0][0]))
    parts = [_filled(number, shot, t, [confidence[r] for r in t.rows]) for number, (shot, t) in enumerate(found)]
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("tracks")


def join(faces: pd.DataFrame, settings: Settings) -> list[Track]:
    """Return the tracks of the faces of one shot, those of weak detections alone among them.

    In each frame faces and tracks are paired by the assignment of least total cost (scipy), first the confident
    faces, then the weak ones with the tracks left over (ByteTrack's order: Zhang et al., ECCV 2022). A weak face that is left over
    begins a track as well: so a face is followed from before the detector was sure of it.
    """
    done: list[Track] = []
    alive: list[Track] = []
    order = np.argsort(faces.frame.to_numpy(), kind="stable")
    index, every = faces.index.to_numpy()[order], faces[_BOX].to_numpy(dtype=float)[order]
    sure = (faces.confidence.to_numpy() >= settings.start_confidence)[order]
    frames, starts = np.unique(faces.frame.to_numpy()[order], return_index=True)
    for frame, start, end in zip(frames.tolist(), starts, np.append(starts, len(order))[1:], strict=True):
        ended = [t for t in alive if frame - t.frames[-1] > settings.max_missed_frames + 1]
        done += ended
        alive = [t for t in alive if frame - t.frames[-1] <= settings.max_missed_frames + 1]
        boxes = every[start:end]
        free = list(alive)
        for chosen in (np.flatnonzero(sure[start:end]), np.flatnonzero(~sure[start:end])):
            pairs = _pairs(free, boxes[chosen], frame, settings.reach)
            for t, i in pairs:
                free[t].rows.append(index[start + chosen[i]])
                free[t].frames.append(frame)
                free[t].boxes.append(boxes[chosen[i]])
            taken = {t for t, _ in pairs}
            free = [t for k, t in enumerate(free) if k not in taken]
            used = {chosen[i] for _, i in pairs}
            alive += [Track([index[start + i]], [frame], [boxes[i]]) for i in chosen if i not in used]
    return done + alive


def looks_in(video: str | Path, settings: embedding.Settings) -> Looks:
    """Return how faces of a `media/` video are compared, by the model of the settings; nothing is loaded or decoded before use."""

    def looks(places: list[tuple[int, np.ndarray]]) -> list[np.ndarray | None]:
        from talking.faces.landmarks import MESH_TO_IBUG, FaceMesh

        embedder, mesh = embedding.MODELS[settings.model](settings.weights), FaceMesh()
        out: list[np.ndarray | None] = [None] * len(places)
        for frame, picture in media.frames_at(video, (frame for frame, _ in places)):
            for i, (wanted, box) in enumerate(places):
                if wanted == frame:
                    points, _ = mesh(picture, _centre(box), 1.4 * (box[2:] - box[:2]).max(), 0.0)
                    if np.isfinite(points).all():
                        out[i] = embedder((picture, points[MESH_TO_IBUG, :2]))
        mesh.close()
        return out

    return Looks(looks, embedding.SAME_PERSON[settings.model])


def untangle(tracks: list[Track], looks: Looks, settings: Settings) -> list[Track]:
    """Return the tracks of one shot, with identity switches after a contact undone by embeddings."""
    tracks = [Track(list(t.rows), list(t.frames), list(t.boxes)) for t in tracks]
    contacts = contacts_of(tracks, settings)
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
            contacts = [c for c in contacts_of(tracks, settings) if c.start > contact.start]
    return [t for t in tracks if t.frames]


def contacts_of(tracks: list[Track], settings: Settings) -> list[Contact]:
    """Return all contacts of any two tracks, by start.

    A contact is a span in which two centres are nearer than `part` mean sizes and at least once nearer than `touch`: two who sit
    side by side at the edge of touching have one, not hundreds. Memory is linear in the faces: pairs are measured one by one.
    """
    alive = [i for i, t in enumerate(tracks) if t.frames]
    paths = {i: _path(tracks[i]) for i in alive}
    found = []
    open_tracks: list[int] = []
    for i in sorted(alive, key=lambda i: tracks[i].frames[0]):
        open_tracks = [o for o in open_tracks if tracks[o].frames[-1] >= tracks[i].frames[0]]
        for other in open_tracks:
            a, b = min(i, other), max(i, other)
            found += [Contact(*span, a, b) for span in _contacts(tracks[a], paths[a], tracks[b], paths[b], settings)]
        open_tracks.append(i)
    return sorted(found)


def _path(track: Track) -> np.ndarray:
    """Return centre x, centre y and size (frames, 3) in every frame of a track, gaps filled in."""
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    boxes = np.array(track.boxes)
    path = np.column_stack([_centre(boxes), _size(boxes)])
    return np.column_stack([np.interp(frames, track.frames, column) for column in path.T]).astype(np.float32)


def _contacts(
    a: Track, path_a: np.ndarray, b: Track, path_b: np.ndarray, settings: Settings
) -> list[tuple[int, int, int]]:
    """Return (start, end, nearest) of the contacts of two tracks."""
    start, end = max(a.frames[0], b.frames[0]), min(a.frames[-1], b.frames[-1]) + 1
    first, second = path_a[start - a.frames[0] : end - a.frames[0]], path_b[start - b.frames[0] : end - b.frames[0]]
    apart = np.hypot(*(first[:, :2] - second[:, :2]).T) / ((first[:, 2] + second[:, 2]) / 2)
    near = intervals.from_mask(apart < max(settings.part, settings.touch))
    return [
        (start + s, start + e, start + s + int(apart[s:e].argmin()))
        for s, e in near
        if apart[s:e].min() < settings.touch
    ]


def _looks_swapped(contact: Contact, tracks: list[Track], looks: Looks, margin: float) -> bool:
    """Return True if the faces after a contact look like the other's before it, by more than `margin` on average."""
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
    found = iter(looks.of([place for group in places.values() for place in group]))
    means = {}
    for key, group in places.items():
        vectors = [v for v in [next(found) for _ in group] if v is not None]
        if vectors:
            means[key] = np.mean(vectors, axis=0)
    costs = [
        [scipy.spatial.distance.cosine(means[x], means[y]) for x, y in pairs if x in means and y in means]
        for pairs in (stays, swaps)
    ]
    return all(costs) and float(np.mean(costs[0]) - np.mean(costs[1])) > margin * looks.same_person


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
