"""Which face tracks are one person: by embeddings and by place, within a shot and across the jump cuts of a scene."""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking.core import boxes
from talking.faces import identities
from talking.video.media import FPS

_BOX = ["x1", "y1", "x2", "y2"]
# How far a face may have moved while it was away, in face sizes: at once, more for each second, and at most; and how much its
# size may have changed, as a logarithm. Across a jump cut the camera has moved, too.
_REACH, _REACH_A_SECOND, _REACH_AT_MOST, _GROWTH = 0.8, 0.6, 2.0, 0.5
_REACH_JUMP, _GROWTH_JUMP = 2.0, 0.8
# Faces whose looks are unknown are joined over gaps up to this long.
_BLIND_GAP_S = 4.0
# Tracks that are hardly faces are joined only at the same place and within this time.
_POOR_GAP_S, _POOR_PLACE = 1.0, 0.6
# Weight of the embeddings in the cost of joining two tracks that can be one person by their place.
_LOOKS = 0.7


@dataclass
class Group:
    """Tracks that are one person: where each begins and ends, and the sum of their embeddings (d,), None if unknown."""

    tracks: np.ndarray
    shot: np.ndarray
    start: np.ndarray
    end: np.ndarray
    first: np.ndarray
    last: np.ndarray
    is_living: bool
    looks: np.ndarray | None
    apart: set[int]

    def joined(self, other: "Group") -> "Group":
        """Return the group of both groups' tracks."""
        parts = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("tracks", "shot", "start", "end", "first", "last")
        }
        known = [g.looks for g in (self, other) if g.looks is not None]
        looks = np.sum(known, axis=0) if known else None
        return Group(**parts, is_living=self.is_living or other.is_living, looks=looks, apart=self.apart | other.apart)


def persons(
    tracks: pd.DataFrame, shots: pd.DataFrame, embeddings: Mapping[str, np.ndarray], living: Mapping[int, bool]
) -> dict[int, int]:
    """Return track → person of a `tracks` table; persons are numbered by their first tracks.

    `embeddings` are the arrays of `embeddings/{video}.npz`, whose `same_person` is the distance up to which looks are one
    person's; `living` says which tracks are likely a living face: others are joined only to what lies where they are. Tracks seen
    in one frame are never one person, unless they lie over each other: then the detector saw one face twice.
    """
    if tracks.empty:
        return {}
    scenes = (shots["transition"] != "jump_cut").cumsum().to_numpy()
    scene_of = dict(zip(shots["shot"].tolist(), scenes.tolist(), strict=True))
    apart, doubles = identities.seen_together(tracks)
    groups = _single(tracks, embeddings, living, apart)
    by_scene: dict[int, dict[int, Group]] = {}
    for track, group in groups.items():
        by_scene.setdefault(scene_of[int(group.shot[0])], {})[track] = group
    first_of: dict[int, int] = {}
    for members in by_scene.values():
        within = sorted(pair for pair in doubles if pair[0] in members)
        for group in _joined(members, within, float(embeddings["same_person"].item())):
            first_of |= dict.fromkeys(group.tracks.tolist(), int(group.tracks.min()))
    numbers = {first: i for i, first in enumerate(sorted(set(first_of.values())))}
    return {track: numbers[first] for track, first in sorted(first_of.items())}


def _single(
    tracks: pd.DataFrame,
    embeddings: Mapping[str, np.ndarray],
    living: Mapping[int, bool],
    apart: set[tuple[int, int]],
) -> dict[int, Group]:
    """Return each track as a separate group."""
    vectors = np.asarray(embeddings["embedding"], dtype=float) * np.minimum(embeddings["faces"], 8)[:, None]
    looks = dict(zip(embeddings["track"].tolist(), vectors, strict=True))
    others: dict[int, set[int]] = {}
    for a, b in apart:
        others.setdefault(a, set()).add(b)
        others.setdefault(b, set()).add(a)
    groups = {}
    for track, of in tracks.groupby("track"):
        of = of.sort_values("frame")
        box = of[_BOX].to_numpy(dtype=float)
        groups[int(track)] = Group(
            tracks=np.array([track]),
            shot=of["shot"].to_numpy()[:1],
            start=of["frame"].to_numpy()[:1],
            end=of["frame"].to_numpy()[-1:] + 1,
            first=box[:1],
            last=box[-1:],
            is_living=living[int(track)],
            looks=looks.get(int(track)),
            apart=others.get(int(track), set()),
        )
    return groups


def _joined(groups: dict[int, Group], doubles: Sequence[tuple[int, int]], same_person: float) -> list[Group]:
    """Return the groups that tracks of a scene form: the two that fit best are joined first, as long as any two fit."""
    groups = dict(groups)
    key_of = {track: track for track in groups}

    def join(a: int, b: int) -> None:
        groups[a] = groups[a].joined(groups.pop(b))
        key_of.update(dict.fromkeys(groups[a].tracks.tolist(), a))

    for pair in doubles:
        a, b = (key_of[track] for track in pair)
        if a != b and not _are_apart(groups[a], groups[b]):
            join(min(a, b), max(a, b))
    # A heap and each group's fits: with a new table at each joining, an hour in one shot took minutes.
    fits: dict[int, dict[int, float]] = {key: {} for key in groups}
    best: list[tuple[float, int, int]] = []

    def weigh(a: int, b: int) -> None:
        if (cost := misfit(groups[a], groups[b], same_person)) <= 1:
            fits[a][b] = fits[b][a] = cost
            heapq.heappush(best, (cost, min(a, b), max(a, b)))

    for a, b in itertools.combinations(sorted(groups), 2):
        weigh(a, b)
    while best:
        cost, a, b = heapq.heappop(best)
        if fits.get(a, {}).get(b) != cost:
            # One of the two has been joined to another since.
            continue
        for joined in (a, b):
            for other in fits.pop(joined):
                fits.get(other, {}).pop(joined, None)
        join(a, b)
        fits[a] = {}
        for other in groups:
            if other != a:
                weigh(a, other)
    return list(groups.values())


def misfit(a: Group, b: Group, same_person: float) -> float:
    """Return how badly two groups fit as one person: up to 1 they are one.

    Where both looks are known their cosine distance counts, in units of `same_person`, mixed with the place where a face can have
    moved so; else the place alone, over gaps of up to four seconds. Groups that were seen in one frame never fit.
    """
    if _are_apart(a, b):
        return np.inf
    place, gap_s = _place(a, b)
    if not (a.is_living and b.is_living) and (gap_s > _POOR_GAP_S or place > _POOR_PLACE):
        return np.inf
    if a.looks is None or b.looks is None:
        return place if gap_s <= _BLIND_GAP_S else np.inf
    alike = float(a.looks @ b.looks) / max(float(np.linalg.norm(a.looks) * np.linalg.norm(b.looks)), 1e-9)
    unlike = (1 - alike) / same_person
    return _LOOKS * unlike + (1 - _LOOKS) * place if place <= 1 else unlike


def _are_apart(a: Group, b: Group) -> bool:
    return not a.apart.isdisjoint(b.tracks.tolist()) or not b.apart.isdisjoint(a.tracks.tolist())


def _place(a: Group, b: Group) -> tuple[float, float]:
    """Return how far two groups lie from each other where they are nearest in time (up to 1 a face can have moved so), and that gap in seconds."""
    gaps = np.maximum(b.start[None, :] - a.end[:, None], a.start[:, None] - b.end[None, :])
    i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
    before, after = (a.last[i], b.first[j]) if a.start[i] <= b.start[j] else (b.last[j], a.first[i])
    gap_s = max(0.0, float(gaps[i, j]) / FPS)
    size = [np.sqrt(max(float(boxes.area(box)), 1.0)) for box in (before, after)]
    moved = float(np.linalg.norm((after[:2] + after[2:] - before[:2] - before[2:]) / 2)) / np.sqrt(size[0] * size[1])
    jumps = a.shot[i] != b.shot[j]
    reach = _REACH_JUMP if jumps else min(_REACH + _REACH_A_SECOND * gap_s, _REACH_AT_MOST)
    grown = abs(float(np.log(size[1] / size[0]))) / (_GROWTH_JUMP if jumps else _GROWTH)
    return max(moved / reach, grown), gap_s
