"""From face tracks to persons: which tracks are a living face, which are one person, and who takes part.

Open `find` first: it makes the table `people/{video}.parquet` (schema `persons`) of what `evidence` measures,
`joining` joins, `calibration` turns into probabilities and `repeats` compares. `rows_of` gives each person's rows of the `tracks` table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking.core import schemas, tables
from talking.core.cli import setting
from talking.people import calibration, evidence, joining, repeats
from talking.video.media import FPS

# The arrays of landmarks/{video}.npz that `find` looks at.
MARKS = ("points", "score", "yaw", "blur", "thumbnail", "thumbnail_row")
PARTICIPANT, BYSTANDER, NOT_A_FACE = "participant", "bystander", "not_a_face"


@dataclass(frozen=True)
class Settings:
    """Settings of persons and their roles."""

    min_face_probability: float = setting(
        0.5, "probability of a living face below which a person has the role not_a_face", minimum=0, maximum=1
    )
    min_participant_probability: float = setting(
        0.5, "probability of taking part below which a person has the role bystander", minimum=0, maximum=1
    )


def find(
    tracks: pd.DataFrame,
    shots: pd.DataFrame,
    marks: Mapping[str, np.ndarray],
    embeddings: Mapping[str, np.ndarray],
    asd: pd.DataFrame,
    voice: pd.DataFrame,
    size: tuple[int, int],
    detector: str,
    settings: Settings,
) -> pd.DataFrame:
    """Return the `persons` table of a video: one row for each person and shot, by shot and first frame.

    `marks` are the arrays of `landmarks/{video}.npz`, `embeddings` those of `embeddings/{video}.npz`, `size` is the picture's (width,
    height) in pixels, `detector` the config's `faces: model`, whose confidences are calibrated if the calibration knows it.
    """
    if tracks.empty:
        return tables.empty("persons")
    talking = evidence.frames_talking(tracks, asd, voice)
    rows_of_track = {int(t): rows for t, rows in tracks.groupby("track").indices.items()}
    by_track = evidence.measure(rows_of_track, tracks, marks, talking, size)
    is_living = face_probability(by_track, detector) >= settings.min_face_probability
    person_of = joining.persons(tracks, shots, embeddings, dict(zip(by_track.index, is_living, strict=True)))
    keys = pd.DataFrame({"shot": tracks["shot"].to_numpy(), "person": tracks["track"].map(person_of).to_numpy()})
    rows = {(int(shot), int(person)): at for (shot, person), at in keys.groupby(["shot", "person"]).indices.items()}
    tracks_of = {key: tracks["track"].iloc[at].drop_duplicates().tolist() for key, at in rows.items()}
    # What one track shows is measured already.
    joined = {key: at for key, at in rows.items() if len(tracks_of[key]) > 1}
    together = evidence.measure(joined, tracks, marks, talking, size).to_dict("index")
    people = pd.DataFrame(
        [together[key] if key in together else by_track.loc[of[0]].to_dict() for key, of in tracks_of.items()],
        columns=evidence.COLUMNS,
    )
    people = people.astype(dict.fromkeys(("start", "end", "frames"), int))
    people[["shot", "person"]], people["tracks"] = list(rows), list(tracks_of.values())
    people["face_probability"] = face_probability(people, detector)
    # In all shots of a scene it is one face: a profile that keeps still in one of them moves, or turns to the camera, in another.
    scenes = {
        person: at for person, at in keys.groupby("person").indices.items() if keys["shot"].iloc[at].nunique() > 1
    }
    if scenes:
        whole = evidence.measure(scenes, tracks, marks, talking, size)
        of_scene = people["person"].map(dict(zip(whole.index, face_probability(whole, detector), strict=True)))
        people["face_probability"] = of_scene.fillna(people["face_probability"])
    people = people.sort_values(["shot", "start", "person"], ignore_index=True)
    length = dict(zip(shots["shot"], (shots["end_frame"] - shots["start_frame"]) / FPS, strict=True))
    people["shot_s"], people["seconds"] = people["shot"].map(length), people["frames"] / FPS
    people["participant_probability"], people["role"] = 0.0, NOT_A_FACE
    people["repeated_of"] = pd.array([pd.NA] * len(people), dtype="Int32")
    for _, of in people[people["face_probability"] >= settings.min_face_probability].groupby("shot"):
        entry = calibration.load()["participant"]["any"]
        takes_part = calibration.probability(entry, calibration.participant_features(of))
        people.loc[of.index, "participant_probability"] = takes_part
        people.loc[of.index, "role"] = np.where(
            takes_part >= settings.min_participant_probability, PARTICIPANT, BYSTANDER
        )
        largest_first = of.sort_values("size", ascending=False)[: repeats.MOST_PERSONS]
        rows_of_person = {p.person: rows[p.shot, p.person] for p in largest_first.itertuples()}
        repeated = repeats.find(rows_of_person, tracks, marks, embeddings)
        people.loc[of.index, "repeated_of"] = of["person"].map(repeated).astype("Int32")
    people = people.rename(columns={"start": "start_frame", "end": "end_frame", "frames": "num_frames"})
    return people[schemas.schema("persons").names]


def face_probability(measured: pd.DataFrame, detector: str) -> np.ndarray:
    """Return the probability (n,) that each row of `evidence.measure` is of a living face."""
    entries = calibration.load()["face"]
    return calibration.probability(entries.get(detector, entries["any"]), calibration.face_features(measured))


def rows_of(people: Sequence[int], tracks: pd.DataFrame, persons: pd.DataFrame, start: int, end: int) -> np.ndarray:
    """Return the position in `tracks` of the row that shows each person in each frame of [start, end), as (frames, people).

    -1 stands where a person is absent. Where two tracks of a person share a frame, which only a double detection does, the
    detected and more confident one counts.
    """
    person_of = {int(t): p for p, group in zip(persons["person"], persons["tracks"], strict=True) for t in group}
    place = {int(p): i for i, p in enumerate(people)}
    inside = np.flatnonzero((tracks["frame"] >= start) & (tracks["frame"] < end))
    column = np.array([place.get(person_of.get(int(t), -1), -1) for t in tracks["track"].iloc[inside]], dtype=int)
    inside, column = inside[column >= 0], column[column >= 0]
    # Filled-in boxes have confidence 0: of two rows the better one is written last.
    order = np.argsort(tracks["confidence"].to_numpy()[inside], kind="stable")
    found = np.full((end - start, len(people)), -1)
    found[tracks["frame"].to_numpy()[inside[order]] - start, column[order]] = inside[order]
    return found
