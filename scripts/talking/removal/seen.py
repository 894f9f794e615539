"""Where removed persons are: their kept faces, and the tracks, voices and frames of a video in which they are seen or heard.

A face is kept as the least that finds all that is known of the person: the mean of the embeddings, and further ones only where
that mean is too far away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import arrays, intervals, tables
from talking.core.arrays import opened
from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.faces import identities
from talking.removal.removals import Removal, Removals, frames_of, video_and_span
from talking.speech import turns


@dataclass(frozen=True)
class Face:
    """By what a removed person is found: embeddings (n, d) of unit length, and the distance up to which the model's are of one person."""

    embeddings: np.ndarray
    same_person: float


def read_faces(removals: Removals) -> dict[str, Face]:
    """Return the kept face of each removed person; raises InputError that names a row whose person has none."""
    known = _kept(removals)
    for row in removals.persons:
        if row.key not in known:
            raise InputError(
                f"{removals.file}, line {row.line}: {removals.faces} has no face of this person; start a whole run, which finds it."
            )
    return {row.key: known[row.key] for row in removals.persons}


def keep_faces(removals: Removals, results: Path, same_person: float) -> None:
    """Look up the face of each removed person who has none yet, and forget those of persons who are not removed any more.

    Raises InputError that names the row of a person who is not among the results.
    """
    known = _kept(removals)
    wanted = {
        row.key: known[row.key] if row.key in known else face_of(row, removals.file, results, same_person)
        for row in removals.persons
    }
    if known and not wanted:
        removals.faces.unlink()
    elif wanted.keys() != known.keys():
        named = [
            (f"{key}/{name}", array)
            for key, face in wanted.items()
            for name, array in (("embedding", face.embeddings), ("same_person", np.array([face.same_person])))
        ]
        arrays.write(removals.faces, named)


def face_of(row: Removal, file: Path | str, results: Path, same_person: float) -> Face:
    """Return the face of a person of the results; raises InputError if there is no such person, or none of the faces has an embedding."""
    where = f"{file}, line {row.line}" if row.line else row.key
    own = _tracks_of(row, where, results)
    groups = {video: _groups(results, video, same_person) for video in own}
    means = [
        mean
        for video, of_video in groups.items()
        for tracks, mean in of_video.groups
        if tracks & own[video] and np.linalg.norm(mean) > 0
    ]
    if not means:
        raise InputError(
            f"{where}: no face of this person can be compared with others; remove the ranges that show the person."
        )
    kept = [_unit(np.sum(means, axis=0))]
    own_limit = next(of_video.same_person for of_video in groups.values() if of_video.groups)
    for mean in means:
        if not _is_near(_unit(mean), np.stack(kept), same_person or own_limit):
            kept.append(_unit(mean))
    return Face(np.stack(kept).astype(np.float32), own_limit)


def videos(results: Path, stage: str) -> list[str]:
    """Return the videos that have a table of a stage, sorted."""
    return sorted(file.stem for file in (results / stage).glob("[!.]*.parquet"))


def tracks(results: Path, video: str, faces: Iterable[Face], same_person: float) -> set[int]:
    """Return the tracks of a video that show a removed person, by their embeddings.

    Raises InputError if the faces were kept with another model.
    """
    faces = list(faces)
    if not faces:
        return set()
    found = _groups(results, video, same_person)
    for face in faces:
        if found.groups and (face.same_person, face.embeddings.shape[1]) != (
            found.same_person,
            len(found.groups[0][1]),
        ):
            raise InputError(
                f"{results / f'embeddings/{video}.npz'} is of another model than the kept faces of removed persons, who cannot be found"
                " so: choose the model of before, or remove the ranges that show them."
            )
    limit = same_person or found.same_person
    return {
        track
        for of_person, mean in found.groups
        if np.linalg.norm(mean) > 0 and any(_is_near(_unit(mean), face.embeddings, limit) for face in faces)
        for track in of_person
    }


def spans(results: Path, video: str, faces: Iterable[Face], same_person: float) -> list[Interval]:
    """Return the frames [start, end) of a video in which removed persons are seen or heard, sorted and disjoint.

    Heard is who is heard mostly while a removed person is seen speaking.
    """
    shown = tracks(results, video, faces, same_person)
    if not shown:
        return []
    people = tables.read("persons", results / f"people/{video}.parquet")
    is_shown = [not shown.isdisjoint(own) for own in people["tracks"]]
    of_persons = people[people["person"].isin(people["person"][is_shown])]
    shown |= {int(track) for own in of_persons["tracks"] for track in own}
    table = tables.read("tracks", results / f"tracks/{video}.parquet")
    frames = table[table["track"].isin(shown)].groupby("track")["frame"].agg(["min", "max"])
    seen = [(int(first), int(last) + 1) for first, last in frames.itertuples(index=False)]
    return intervals.union([*seen, *_heard(results, video, shown)])


def _heard(results: Path, video: str, shown: set[int]) -> list[Interval]:
    speaking = tables.read("speaking", results / f"speaking/{video}.parquet")
    speaking = speaking[speaking["speaking"]]
    is_shown = speaking["track"].isin(shown)
    spoken = turns.read(results / f"speech/{video}.rttm", video)
    length = 1 + int(max([*speaking["frame"], *(frames_of(t.start_s, t.end_s)[1] for t in spoken)], default=0))
    by_them, by_others = (
        intervals.to_mask([(f, f + 1) for f in speaking.loc[rows, "frame"]], length) for rows in (is_shown, ~is_shown)
    )
    voices = {
        speaker
        for speaker, mask in turns.spoken_frames(spoken, length).items()
        if (mask & by_them).sum() > (mask & by_others).sum()
    }
    return [frames_of(turn.start_s, turn.end_s) for turn in spoken if turn.speaker in voices]


@dataclass(frozen=True)
class _Groups:
    """The persons of a video by its embeddings alone: their tracks and the sum (d,) of the embeddings, 0 without any."""

    groups: list[tuple[set[int], np.ndarray]]
    same_person: float


def _groups(results: Path, video: str, same_person: float) -> _Groups:
    with opened(results / f"embeddings/{video}.npz") as embeddings:
        if "track" not in embeddings:
            # Of a video on which a stage has failed.
            return _Groups([], 0.0)
        of_video: Mapping[str, np.ndarray] = dict(embeddings)
    table = tables.read("tracks", results / f"tracks/{video}.parquet")
    person_of = identities.cluster_tracks(of_video, table, same_person)
    means = identities.embedding_sums(of_video, person_of)
    grouped: list[set[int]] = [set() for _ in means]
    for track, person in person_of.items():
        grouped[person].add(track)
    return _Groups(list(zip(grouped, means, strict=True)), of_video["same_person"].item())


def _tracks_of(row: Removal, where: str, results: Path) -> dict[str, set[int]]:
    """Return the tracks by video of a person of the results."""
    path = results / "identities.parquet"
    if not path.exists():
        raise InputError(
            f"{where}: {path} does not exist, in which the person is looked up; finish a run without this row first."
        )
    known = tables.read("identities", path)
    name = row.person
    if row.clip:
        video, _ = video_and_span(row.clip)
        shown = _tracks_in_clip(row, where, results, video)
        names = Counter(known.loc[(known["video"] == video) & known["track"].isin(shown), "person"])
        if not names:
            raise InputError(f"{where}: {path} does not know this person; remove the ranges that show the person.")
        name = names.most_common(1)[0][0]
    own = known[known["person"] == name]
    if own.empty:
        raise InputError(f"{where}: {path} has no person {name!r}; look the name up in results/dataset/people.parquet.")
    return {video: set(map(int, of["track"])) for video, of in own.groupby("video")}


def _tracks_in_clip(row: Removal, where: str, results: Path, video: str) -> set[int]:
    path = results / f"clips/{video}.parquet"
    clips: pd.DataFrame = tables.read("clips", path) if path.exists() else tables.empty("clips")
    found = clips[clips["clip"] == row.clip]
    if found.empty:
        raise InputError(
            f"{where}: there is no clip {row.clip} in {results / 'clips'}; look its name up in the gallery."
        )
    people, bystanders = found[["person_tracks", "bystander_tracks"]].iloc[0]
    known = {str(i): own for i, own in enumerate(people)} | {f"b{i}": own for i, own in enumerate(bystanders)}
    if row.person not in known:
        raise InputError(f"{where}: {row.clip} has the persons {', '.join(known)}, not {row.person}.")
    return set(map(int, known[row.person]))


def _kept(removals: Removals) -> dict[str, Face]:
    if removals.faces is None or not removals.faces.exists():
        return {}
    with opened(removals.faces) as file:
        keys = {name.rpartition("/")[0] for name in file}
        return {key: Face(file[f"{key}/embedding"], file[f"{key}/same_person"].item()) for key in keys}


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _is_near(vector: np.ndarray, others: np.ndarray, limit: float) -> bool:
    """Return True if a unit vector (d,) is within a cosine distance of one of others (n, d)."""
    return bool((1 - others @ vector).min() <= limit)
