"""Identities: tracks grouped into persons across shots and videos, by their embeddings."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from talking.core import boxes, tables
from talking.core.cli import setting

# The distance of two groups that were seen at the same time: no average with it comes below any threshold.
_NEVER = 1e9
# Two boxes of one frame show the same face if they share this much of the smaller one.
_DOUBLE = 0.6
# Groups that hang together are clustered by all their distances at once; more than this would not fit in memory.
_MOST_AT_ONCE = 5000


@dataclass(frozen=True)
class Settings:
    """Who is one person."""

    same_person: float = setting(
        0.0,
        "largest average cosine distance of the tracks of one person; 0: the embedding's own value, 0.07 for dlib and 0.6 for arcface",
        minimum=0,
    )


def cluster(
    videos: Iterable[str],
    read: Callable[[str], tuple[Mapping[str, np.ndarray], pd.DataFrame]],
    settings: Settings,
) -> pd.DataFrame:
    """Return the `identities` table of videos; `read` gives a video's embeddings and its `tracks` table.

    Every video is clustered alone; then the persons of all videos, by the average of their embeddings. So what
    is compared at once is a video's tracks, and the persons of all videos only with those that are near. Persons
    are numbered in the order of the videos and tracks: videos added at the end do not change earlier numbers,
    unless they show that two persons are one.
    """
    rows: list[tuple[str, int, int]] = []
    means: list[np.ndarray] = []
    apart: set[tuple[int, int]] = set()
    total, same_person = 0, settings.same_person
    for video in videos:
        embeddings, tracks = read(video)
        same_person = same_person or embeddings["same_person"].item()
        persons = cluster_tracks(embeddings, tracks, same_person)
        rows += [(video, track, total + person) for track, person in persons.items()]
        sums = embedding_sums(embeddings, persons)
        means.append(sums)
        apart |= {(total + persons[a], total + persons[b]) for a, b in seen_together(tracks)[0]}
        total += len(sums)
    table = pd.DataFrame(rows, columns=["video", "track", "person"])
    if table.empty:
        return tables.empty("identities")
    vectors = np.concatenate(means)
    length = np.linalg.norm(vectors, axis=1)
    known = np.flatnonzero(length > 0)
    place = {int(person): i for i, person in enumerate(known)}
    among = {(place[a], place[b]) for a, b in apart if a in place and b in place}
    label = np.arange(total) + len(known)
    label[known] = group(vectors[known] / length[known, None], among, same_person)
    labels = label[table["person"]]
    numbers = {value: i for i, value in enumerate(dict.fromkeys(labels.tolist()), start=1)}
    return table.assign(person=[name_of(numbers[value]) for value in labels.tolist()])


def embedding_sums(embeddings: Mapping[str, np.ndarray], person_of: Mapping[int, int]) -> np.ndarray:
    """Return the sum (persons, d) of each person's embeddings, each weighted by its faces; 0 of a person without any."""
    sums = np.zeros((max(person_of.values(), default=-1) + 1, embeddings["embedding"].shape[1]))
    weights = np.minimum(embeddings["faces"], 8)[:, None]
    members = [person_of.get(int(t), -1) for t in embeddings["track"]]
    for person, vector in zip(members, weights * embeddings["embedding"], strict=True):
        if person >= 0:
            sums[person] += vector
    return sums


def cluster_tracks(embeddings: Mapping[str, np.ndarray], tracks: pd.DataFrame, same_person: float) -> dict[int, int]:
    """Return track → person of one video; persons are numbered from 0 in the order of their first tracks.

    `same_person` 0 stands for the embeddings' own value. Tracks seen in one frame are never one person. A track without an embedding is a person of its own.
    """
    every = [int(t) for t in np.unique(tracks["track"])]
    row = {int(t): i for i, t in enumerate(embeddings["track"])}
    known = {t: i for i, t in enumerate(t for t in every if t in row)}
    vectors = np.asarray(embeddings["embedding"], dtype=float)[np.array([row[t] for t in known], dtype=int)]
    apart = {(known[a], known[b]) for a, b in seen_together(tracks)[0] if a in known and b in known}
    labels = dict(
        zip(known, group(vectors, apart, same_person or embeddings["same_person"].item()).tolist(), strict=True)
    )
    keys = [(True, labels[t]) if t in labels else (False, t) for t in every]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return {t: numbers[key] for t, key in zip(every, keys, strict=True)}


def cluster_persons(people: pd.DataFrame, embeddings: Mapping[str, np.ndarray], same_person: float) -> dict[int, int]:
    """Return track → person of one video, the same person in all its shots; tracks of what is no face are left out.

    `people` is the video's `persons` table, whose persons hold within a scene. `same_person` 0 stands for what the embeddings say suits
    them. Persons on screen at the same time are never one; one without an embedding is a person of its own.
    """
    living = people[people["role"] != "not_a_face"]
    tracks_of: dict[int, list[int]] = {}
    for person, tracks in zip(living["person"], living["tracks"], strict=True):
        tracks_of.setdefault(int(person), []).extend(int(t) for t in tracks)
    row = {int(t): i for i, t in enumerate(embeddings["track"])}
    weight = np.minimum(embeddings["faces"], 8) if "faces" in embeddings else np.ones(len(row))
    rows_of = {p: [row[t] for t in tracks if t in row] for p, tracks in tracks_of.items()}
    known = {p: i for i, p in enumerate(p for p, rows in rows_of.items() if rows)}
    means = [weight[rows_of[p]] @ np.asarray(embeddings["embedding"], dtype=float)[rows_of[p]] for p in known]
    vectors = np.array([mean / np.linalg.norm(mean) for mean in means])
    apart = {
        (known[a.person], known[b.person])
        for _, shown in living.groupby("shot")
        for a, b in itertools.combinations(shown.itertuples(), 2)
        if a.person in known and b.person in known and a.start_frame < b.end_frame and b.start_frame < a.end_frame
    }
    labels = group(vectors, apart, same_person or embeddings["same_person"].item()) if known else []
    keys = {p: (True, int(labels[known[p]])) if p in known else (False, p) for p in tracks_of}
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys.values()))}
    return {t: numbers[keys[p]] for p, tracks in tracks_of.items() for t in tracks}


def keep_names(table: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the table `identities` with the names of an earlier one, `remembered_identities`, where persons share tracks.

    A name stays with the person who has most of its tracks; new persons have numbers above all that were ever given.
    """
    known = {(row.video, row.track): row.person for row in before.itertuples()}
    votes: dict[str, Counter[str]] = {person: Counter() for person in table["person"]}
    for row in table.itertuples():
        if (name := known.get((row.video, row.track))) is not None:
            votes[row.person][name] += 1
    ballots = sorted(
        ((n, name, person) for person, of in votes.items() for name, n in of.items()), key=lambda b: (-b[0], b[1:])
    )
    named: dict[str, str] = {}
    taken: set[str] = set()
    for _, name, person in ballots:
        if person not in named and name not in taken:
            named[person] = name
            taken.add(name)
    highest = int(before["highest"].max()) if len(before) else 0
    new = (person for person in votes if person not in named)
    named |= {person: name_of(number) for number, person in enumerate(new, start=highest + 1)}
    return table.assign(person=table["person"].map(named))


def name_of(number: int) -> str:
    """Return the name of a person by its number, from 1."""
    return f"p{number:06d}"


def remember(table: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the table `remembered_identities` of a table `identities`, whose names were given after those of an earlier one."""
    numbers = [int(person.removeprefix("p")) for person in set(table["person"])]
    return table.assign(highest=max([*numbers, *before["highest"]], default=0))


def strangers(person_of: Mapping[int, int], embeddings: Mapping[str, np.ndarray]) -> set[int]:
    """Return the persons of a map track → person whose looks are unknown: none of their tracks has an embedding."""
    known = {int(t) for t in embeddings["track"]}
    return set(person_of.values()) - {person for track, person in person_of.items() if track in known}


def seen_together(tracks: pd.DataFrame) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the pairs (a, b), a < b, of tracks that show two faces in one frame, and the pairs that show one face twice.

    The latter are double detections: in half of the frames of both, 0.6 of the smaller box lies in the other one. Found in one
    sweep over the tracks' first and last frames; a track has a row for every frame between them.
    """
    table = tracks.sort_values(["track", "frame"], kind="stable")
    box = table[["x1", "y1", "x2", "y2"]].to_numpy(dtype=float)
    number, begin = np.unique(table["track"].to_numpy(), return_index=True)
    place = dict(zip(number.tolist(), begin.tolist(), strict=True))
    frame = table["frame"].to_numpy()
    spans = table.groupby("track")["frame"].agg(["min", "max"]).sort_values("min", kind="stable")
    pairs: tuple[set[tuple[int, int]], set[tuple[int, int]]] = set(), set()
    open_tracks: list[tuple[int, int]] = []
    for track, first, last in spans.itertuples():
        open_tracks = [(end, other) for end, other in open_tracks if end >= first]
        for end, other in open_tracks:
            shared = min(end, last) - first + 1
            mine, theirs = (box[place[t] + first - frame[place[t]] :][:shared] for t in (track, other))
            smaller = np.maximum(np.minimum(boxes.area(mine), boxes.area(theirs)), 1e-6)
            is_double = np.median(boxes.area(boxes.intersection(mine, theirs)) / smaller) >= _DOUBLE
            pairs[int(is_double)].add((min(other, track), max(other, track)))
        open_tracks.append((last, track))
    return pairs


def group(vectors: np.ndarray, apart: Iterable[tuple[int, int]], same_person: float) -> np.ndarray:
    """Return a group number (n,) for each unit vector (n, d), from 0 in the order of first members.

    Average linkage of cosine distances up to `same_person`; the pairs of indices in `apart` never share a group.
    Vectors with no chain of pairs within `same_person` between them cannot share a group and are clustered
    separately, so memory grows with the longest chain, not with n²; one of more than 5,000 is cut at its widest gaps.
    """
    labels = np.arange(len(vectors))
    forbidden: dict[int, set[int]] = {}
    for a, b in apart:
        forbidden.setdefault(a, set()).add(b)
        forbidden.setdefault(b, set()).add(a)
    for members in _chains(vectors, np.arange(len(vectors)), same_person):
        if len(members) == 1:
            continue
        distances = scipy.spatial.distance.pdist(vectors[members], "cosine")
        place = {int(m): i for i, m in enumerate(members)}
        for m, i in place.items():
            others = np.array([place[o] for o in forbidden.get(m, ()) if o in place and place[o] > i], dtype=int)
            distances[len(members) * i - i * (i + 1) // 2 + others - i - 1] = _NEVER
        found = scipy.cluster.hierarchy.fcluster(
            scipy.cluster.hierarchy.linkage(distances, "average"), same_person, "distance"
        )
        for value in np.unique(found):
            labels[members[found == value]] = members[found == value].min()
    return np.unique(labels, return_inverse=True)[1]


def _chains(vectors: np.ndarray, members: np.ndarray, radius: float) -> list[np.ndarray]:
    """Return members (n,) in parts that are linked at once: many are split where none are within a cosine distance of `radius`."""
    if len(members) <= _MOST_AT_ONCE:
        return [members] if len(members) else []
    from sklearn.neighbors import NearestNeighbors  # a second of start-up

    # Of unit vectors, |a - b|² is twice the cosine distance.
    near = NearestNeighbors(radius=np.sqrt(2 * radius)).fit(vectors[members]).radius_neighbors_graph()
    count, chain = scipy.sparse.csgraph.connected_components(near, directed=False)
    parts = [members[chain == c] for c in range(count)]
    return [part for whole in parts for part in _chains(vectors, whole, radius * 0.8)]
