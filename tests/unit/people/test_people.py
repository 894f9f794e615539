import itertools
import json

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from talking import people
from talking.core import schemas, tables
from talking.faces import landmarks
from talking.people import evidence, joining


def tracks_of(*spans, shot=0, confidence=0.9):
    """Return a `tracks` table of one 40 px face for each (start, end, left edge)."""
    parts = [
        pd.DataFrame(
            {
                "track": number,
                "shot": shot,
                "frame": np.arange(start, end),
                "x1": float(left),
                "y1": 50.0,
                "x2": left + 40.0,
                "y2": 90.0,
                "detected": True,
                "confidence": confidence,
            }
        )
        for number, (start, end, left) in enumerate(spans)
    ]
    return pd.concat(parts, ignore_index=True)


def persons_of(*groups):
    """Return a `persons` table of one row for each list of tracks."""
    rows = [{"person": i, "tracks": list(group)} for i, group in enumerate(groups)]
    return pd.DataFrame(rows, columns=schemas.schema("persons").names)


def test_rows_of_gives_the_row_of_each_person_in_each_frame_and_marks_absence():
    tracks = tracks_of((0, 4, 0), (2, 8, 100), (6, 8, 0))
    rows = people.rows_of([1, 0], tracks, persons_of([0, 2], [1]), 1, 7)
    frames = np.arange(1, 7)
    assert rows.shape == (6, 2)
    assert (rows[:, 0] < 0).tolist() == [True, False, False, False, False, False]
    assert (rows[:, 1] < 0).tolist() == [False, False, False, True, True, False]
    for column, mine in ((0, {1}), (1, {0, 2})):
        seen = rows[:, column] >= 0
        found = tracks.iloc[rows[seen, column]]
        assert (found["frame"].to_numpy() == frames[seen]).all() and set(found["track"]) == mine


def test_of_a_double_detection_the_more_confident_row_counts():
    tracks = tracks_of((0, 4, 0), (2, 6, 2))
    tracks.loc[tracks["track"] == 1, "confidence"] = 0.95
    rows = people.rows_of([0], tracks, persons_of([0, 1]), 0, 6)
    assert tracks["track"].iloc[rows[:, 0]].tolist() == [0, 0, 1, 1, 1, 1]


def test_a_person_who_is_not_in_the_frames_is_absent_throughout():
    tracks = tracks_of((0, 4, 0), (10, 14, 0))
    assert (people.rows_of([1], tracks, persons_of([0], [1]), 0, 5) == -1).all()
    assert people.rows_of([], tracks, persons_of([0], [1]), 0, 5).shape == (5, 0)


def shots_of(*starts, end=1000, jump_cuts=()):
    """Return a `shots` table whose shots begin at `starts`."""
    rows = []
    for i, (start, stop) in enumerate(itertools.pairwise([*starts, end])):
        kind = "start" if i == 0 else "jump_cut" if start in jump_cuts else "cut"
        rows.append({"shot": i, "start_frame": start, "end_frame": stop, "transition": kind})
    return pd.DataFrame(rows)


def looks_of(known, same_person=0.07):
    """Return arrays of an embeddings file: for each track an angle in degrees of its looks, in a plane."""
    angle = np.deg2rad(list(known.values()))
    return {
        "track": np.array(list(known), dtype=np.int32),
        "embedding": np.column_stack([np.cos(angle), np.sin(angle)]).reshape(-1, 2),
        "faces": np.full(len(known), 8),
        "same_person": np.array([same_person]),
    }


def joined(tracks, looks, shots=None, living=None):
    """Return the groups of tracks that are one person."""
    living = living or {}
    found = joining.persons(
        tracks,
        shots if shots is not None else shots_of(0),
        looks_of(looks),
        {t: living.get(t, True) for t in set(tracks["track"])},
    )
    return sorted(sorted(t for t in found if found[t] == person) for person in set(found.values()))


# An angle of 15 degrees is a cosine distance of 0.034, one of 45 degrees of 0.29.
def test_a_person_who_comes_back_with_the_same_looks_is_one_and_another_is_not():
    tracks = tracks_of((0, 50, 100), (100, 150, 110), (200, 250, 105))
    assert joined(tracks, {0: 0, 1: 15, 2: 60}) == [[0, 1], [2]]


def test_a_turned_head_without_looks_is_joined_by_its_place_for_a_short_while():
    tracks = tracks_of((0, 50, 100), (60, 70, 110), (75, 120, 105), (300, 310, 105))
    assert joined(tracks, {0: 0, 2: 5}) == [[0, 1, 2], [3]]


def test_two_faces_of_one_frame_are_never_one_person_however_alike():
    tracks = tracks_of((0, 50, 100), (40, 90, 160), (95, 120, 160))
    assert joined(tracks, {0: 0, 1: 1, 2: 0}) == [[0], [1, 2]]


def test_a_face_detected_twice_is_one_person_for_good():
    tracks = tracks_of((0, 50, 100), (40, 90, 106), (95, 120, 106))
    assert joined(tracks, {0: 0, 2: 3}) == [[0, 1, 2]]


def test_a_person_is_kept_across_a_jump_cut_but_not_across_a_cut():
    first, second = tracks_of((0, 50, 100), (0, 50, 300)), tracks_of((50, 90, 130), (50, 90, 330), shot=1)
    tracks = pd.concat([first, second.assign(track=second["track"] + 2)], ignore_index=True)
    looks = {0: 0, 1: 60, 2: 8, 3: 55}
    assert joined(tracks, looks, shots_of(0, 50, jump_cuts=[50])) == [[0, 2], [1, 3]]
    assert joined(tracks, looks, shots_of(0, 50)) == [[0], [1], [2], [3]]


def test_what_is_hardly_a_face_is_joined_only_to_what_lies_just_there():
    tracks = tracks_of((0, 50, 100), (55, 60, 103), (55, 60, 150), (90, 120, 100))
    assert joined(tracks, {0: 0, 3: 5}, living={1: False, 2: False}) == [[0, 1, 3], [2]]


def pictures_of_a_head(frames, moves=True, seed=0):
    """Return thumbnails (frames, 32, 32) of a drawn head that is carried about, its mouth opening and closing if it `moves`.

    The `seed` draws the head, too.
    """
    rng = np.random.default_rng(seed)
    skin, eye, apart, fringe = rng.integers(140, 220), rng.integers(46, 60), rng.integers(9, 16), rng.integers(10, 40)
    found = []
    for _ in range(frames):
        picture = np.full((128, 128), 90, np.uint8)
        cv2.ellipse(picture, (64, 64), (32, 44), 0, 0, 360, int(skin), -1)
        cv2.ellipse(picture, (64, 40), (int(fringe), 16), float(seed * 70), 0, 180, 20, -1)
        for x in (64 - apart, 64 + apart):
            cv2.circle(picture, (int(x), int(eye)), 5, 40, -1)
        cv2.ellipse(picture, (64, 84), (11, int(rng.integers(2, 9)) if moves else 5), 0, 0, 360, 60, -1)
        scale, (dx, dy) = rng.uniform(0.97, 1.03), rng.uniform(-3, 3, 2)
        picture = cv2.warpAffine(picture, np.array([[scale, 0, dx], [0, scale, dy]]), (128, 128), borderValue=90)
        small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA) + rng.normal(0, 1.5, (32, 32))
        found.append(np.clip(small, 0, 255).astype(np.uint8))
    return np.array(found)


def test_a_still_that_is_carried_about_does_not_move_of_its_own_but_a_talking_face_does():
    assert evidence.own_motion(pictures_of_a_head(30, moves=False)) < 0.005
    assert evidence.own_motion(pictures_of_a_head(30)) > 0.01
    assert np.isnan(evidence.own_motion(pictures_of_a_head(2)))


def test_a_photograph_in_an_advertisement_keeps_still_beside_four_who_talk(shared):
    truth = json.loads((shared / "data/real/truth/cnn_four.json").read_text())
    boxes = [b | {"person": "photograph"} for b in truth["not_faces"]] + truth["boxes"]
    boxes = pd.DataFrame(boxes).query("frame <= 200").set_index(["person", "frame"])[["x1", "y1", "x2", "y2"]]
    wanted = range(0, 200, 5)
    small = {person: [] for person in boxes.index.levels[0]}
    with av.open(str(shared / "data/real/cnn_four.mp4")) as container:
        for number, frame in enumerate(itertools.islice(container.decode(video=0), 200)):
            if number in wanted:
                picture = frame.to_ndarray(format="rgb24")
                for person, pictures in small.items():
                    known = boxes.loc[person]
                    box = np.array([np.interp(number, known.index, known[side]) for side in known])
                    pictures.append(landmarks.thumbnail(picture, box))
    motion = {person: evidence.own_motion(np.array(pictures)) for person, pictures in small.items()}
    assert motion.pop("photograph") < 0.008
    assert len(motion) == 4 and min(motion.values()) > 0.05


def found_in(tracks, presence=None, sharpness=None, looks=None, talking=None, shots=None, copies=None):
    """Return the persons of tracks whose faces are moving heads, with the given presence, sharpness and looks a track."""
    number = tracks["track"].to_numpy()
    rows = np.flatnonzero(tracks["frame"] % 5 == 0)
    thumbnail = np.zeros((len(rows), 32, 32), np.uint8)
    for t in set(number):
        thumbnail[number[rows] == t] = pictures_of_a_head((number[rows] == t).sum(), seed=int(t))
    for copy, of in (copies or {}).items():
        thumbnail[number[rows] == copy] = thumbnail[number[rows] == of][:, :, ::-1]
    marks = {
        "points": np.zeros((len(tracks), 68, 2)),
        "score": np.array([(presence or {}).get(t, 1.0) for t in number]),
        "yaw": np.zeros(len(tracks)),
        "blur": np.array([(sharpness or {}).get(t, 50.0) for t in number]),
        "thumbnail": thumbnail,
        "thumbnail_row": rows,
    }
    frames = int(tracks["frame"].max()) + 1
    asd = tracks[["track", "frame"]].assign(score=[2.0 if t in (talking or ()) else -2.0 for t in number])
    return people.find(
        tracks,
        shots if shots is not None else shots_of(0, end=frames),
        marks,
        looks_of(looks or {}),
        asd,
        pd.DataFrame({"frame": np.arange(frames), "voice": 0.9, "loudness_db": -20.0}),
        (1280, 720),
        "centerface",
        people.Settings(),
    )


def test_every_track_has_one_row_and_the_table_fits_its_schema(tmp_path):
    tracks = tracks_of((0, 100, 0), (2, 98, 200), (110, 150, 0))
    found = found_in(tracks, looks={0: 0, 1: 60, 2: 5}, talking=[0, 2])
    tables.write("persons", found, tmp_path / "p.parquet")
    back = tables.read("persons", tmp_path / "p.parquet")
    assert [list(group) for group in back["tracks"]] == [[0, 2], [1]]
    first = back.iloc[0]
    assert (first["start_frame"], first["end_frame"], first["num_frames"], first["role"]) == (
        0,
        150,
        140,
        "participant",
    )
    assert first["talking_s"] == pytest.approx(140 / 25)


def test_a_silent_listener_takes_part_and_a_small_blurred_face_at_the_edge_does_not():
    tracks = tracks_of((0, 200, 100), (0, 200, 300), (0, 200, 500))
    third = tracks["track"] == 2
    tracks.loc[third, ["x1", "y1", "x2", "y2"]] = [0.0, 50.0, 15.0, 65.0]
    found = found_in(tracks, sharpness={0: 80.0, 1: 60.0, 2: 3.0}, talking=[0])
    assert found["role"].tolist() == ["participant", "participant", "bystander"]


def test_who_is_silent_and_half_in_the_picture_looks_on_and_a_cut_forehead_does_not_matter():
    tracks = tracks_of((0, 200, 100), (0, 200, 300), (0, 200, 0))
    tracks.loc[tracks["track"] == 1, ["y1", "y2"]] = [0.0, 40.0]
    talks = found_in(tracks, talking=[2])
    assert talks["role"].tolist() == ["participant", "participant", "participant"]
    silent = found_in(tracks, talking=[0])
    assert silent["role"].tolist() == ["participant", "participant", "bystander"]


def test_a_silent_face_of_a_tenth_of_the_area_looks_on_and_one_that_talks_takes_part():
    tracks = tracks_of((0, 200, 100), (0, 200, 300), (0, 200, 500))
    tracks.loc[tracks["track"] == 2, ["x2", "y2"]] = [513.0, 63.0]
    assert found_in(tracks, talking=[0])["role"].tolist()[2] == "bystander"
    assert found_in(tracks, talking=[2])["role"].tolist()[2] == "participant"


def test_a_brief_doubtful_detection_that_the_mesh_does_not_know_is_no_face():
    tracks = tracks_of((0, 200, 100), (0, 200, 300), (50, 58, 500))
    tracks.loc[tracks["track"] == 2, "confidence"] = 0.55
    found = found_in(tracks, presence={2: 0.05}, talking=[0])
    assert dict(zip(found["person"], found["role"], strict=True)) == {
        0: "participant",
        1: "participant",
        2: "not_a_face",
    }


def test_a_profile_that_the_mesh_does_not_know_is_the_face_that_it_was_before_the_jump_cut():
    tracks = pd.concat([tracks_of((0, 200, 100)), tracks_of((200, 300, 105), shot=1, confidence=0.6).assign(track=1)])
    tracks = tracks.reset_index(drop=True)
    roles = {}
    for jump_cuts in ([200], []):
        shots = shots_of(0, 200, end=300, jump_cuts=jump_cuts)
        roles[bool(jump_cuts)] = found_in(tracks, presence={1: 0.0}, talking=[0], shots=shots)["role"].tolist()
    assert roles == {True: ["participant", "participant"], False: ["participant", "not_a_face"]}


def test_a_mirrored_picture_of_a_person_and_a_recording_of_one_are_second_showings():
    tracks = tracks_of((0, 200, 100), (0, 200, 300), (0, 200, 500), (0, 200, 700))
    tracks.loc[tracks["track"] == 2, ["x2", "y2"]] = [530.0, 80.0]
    # Track 2 is the mirrored picture of track 0, track 3 looks like track 1 without being the same picture.
    found = found_in(tracks, looks={0: 0, 1: 60, 2: 4, 3: 63}, talking=[0], copies={2: 0})
    assert found["repeated_of"].tolist() == [pd.NA, pd.NA, 0, 1]


def test_sisters_side_by_side_are_two_people():
    found = found_in(tracks_of((0, 200, 100), (0, 200, 300)), looks={0: 0, 1: 18})
    assert found["repeated_of"].isna().all()


def test_a_video_without_faces_has_no_persons():
    tracks, none = tables.empty("tracks"), tables.empty("asd")
    found = people.find(
        tracks, shots_of(0), {}, looks_of({}), none, tables.empty("voice"), (0, 0), "any", people.Settings()
    )
    assert found.empty and list(found) == schemas.schema("persons").names


def face_that_blinks(times: list[int], lips: float = 0.0, frames: int = 200) -> np.ndarray:
    """Return landmarks (frames, 68, 2) of a face of 100 px whose eyes are shut for four frames from each of some on."""
    points = np.zeros((frames, 68, 2))
    points[:, 8], points[:, 27] = (50, 100), (50, 20)
    points[:, [36, 39, 42, 45], 0], points[:, [36, 39, 42, 45], 1] = (20, 40, 60, 80), 30
    for upper, lower, x in ((37, 41, 27), (38, 40, 33), (43, 47, 67), (44, 46, 73)):
        points[:, upper], points[:, lower] = (x, 27), (x, 33)
        for start in times:
            points[start : start + 4, [upper, lower], 1] = 30
    points[:, 61:64], points[:, 65:68] = (50, 80), (50, 80)
    points[:, 65:68, 1] += lips * 80 * np.abs(np.sin(np.arange(frames) / 3))[:, None]
    return points + np.random.default_rng(3).normal(0, 0.1, points.shape)


def test_who_blinks_or_talks_is_no_still_however_quiet_the_head():
    expression = {
        "still": evidence.expression(face_that_blinks([]), 100),
        "blinks": evidence.expression(face_that_blinks([50, 130]), 100),
        "talks": evidence.expression(face_that_blinks([], lips=0.08), 100),
    }
    assert expression["still"] < 0.02 and min(expression["blinks"], expression["talks"]) > 0.06
    assert np.isnan(evidence.expression(face_that_blinks([50]), 30))
    assert np.isnan(evidence.expression(face_that_blinks([50])[:10], 100))
    measured = pd.DataFrame({"own_motion": 0.001, "expression": list(expression.values())})
    measured = measured.assign(confidence_high=0.92, presence=1.0, frames=200, detected_share=1.0)
    assert (people.face_probability(measured, "centerface") >= 0.5).tolist() == [False, True, True]


def test_a_listener_who_hardly_moves_for_five_seconds_is_a_person_and_a_still_is_none():
    measured = pd.DataFrame(
        {
            "confidence_high": 0.9,
            "presence": 1.0,
            "frames": [125, 375, 375],
            "detected_share": 1.0,
            # A quiet listener of a synthetic video; the photograph and the quietest panelist of cnn_four.
            "own_motion": [0.006, 0.0, 0.13],
            "expression": np.nan,
        }
    )
    assert (people.face_probability(measured, "centerface") >= 0.5).tolist() == [True, False, True]
    assert (people.face_probability(measured, "scrfd") >= 0.5).tolist() == [True, False, True]
