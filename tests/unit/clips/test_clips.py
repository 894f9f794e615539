"""Clips and gates: segments against a count of every frame, measured qualities against known truth."""

import itertools

import numpy as np
import pandas as pd
import pytest

from talking.clips import find, gates, qualities, understanding
from talking.core import intervals, tables
from talking.core.errors import InputError
from talking.faces.tracked import Faces

MEDIA_FRAMES = 400
SIZE = (1280, 720)


def track_rows(track: int, start: int, end: int, x: float = 100, size: float = 100, shot: int = 0) -> pd.DataFrame:
    """Return rows of the table `tracks` for a face that stands still."""
    frame = np.arange(start, end)
    box = {"x1": x, "y1": 50.0, "x2": x + size, "y2": 50.0 + size}
    return pd.DataFrame({"track": track, "shot": shot, "frame": frame, **box, "detected": True, "confidence": 0.9})


def shot_table(*spans: tuple[int, int], jump_cuts: bool = False) -> pd.DataFrame:
    """Return a table of shots that begin with hard cuts or jump cuts, as far as clips need it."""
    start, end = np.array(spans).T
    return pd.DataFrame(
        {
            "shot": range(len(spans)),
            "start_frame": start,
            "end_frame": end,
            "clear_start_frame": start,
            "clear_end_frame": end,
            "transition": ["start"] + ["jump_cut" if jump_cuts else "cut"] * (len(spans) - 1),
        }
    ).assign(camera_motion=0.01, picture_motion=0.02)


def person_table(tracks: pd.DataFrame, people=None, roles=None, repeated=None) -> pd.DataFrame:
    """Return the table `persons`: `people` has the tracks of each person (one a track if not given)."""
    people = people or [[t] for t in tracks["track"].unique().tolist()]
    rows = []
    for person, own in enumerate(people):
        for shot, seen in tracks[tracks["track"].isin(own)].groupby("shot"):
            rows.append(
                {
                    "person": person,
                    "shot": shot,
                    "tracks": sorted(seen["track"].unique().tolist()),
                    "role": (roles or {}).get(person, "participant"),
                    "repeated_of": (repeated or {}).get(person),
                }
            )
    return pd.DataFrame(rows, columns=["person", "shot", "tracks", "role", "repeated_of"])


def candidates_of(
    tracks, shots=((0, MEDIA_FRAMES),), jump_cuts=False, people=None, roles=None, repeated=None, voice=(), **settings
):
    """Return the table `candidates` of faces; `voice` has the frames in which a voice is heard, of which none are needed."""
    tracks = pd.concat(tracks, ignore_index=True) if tracks else tables.empty("tracks")
    persons = person_table(tracks, people, roles, repeated)
    frames = shots[-1][1]
    heard = pd.DataFrame({"frame": range(frames), "voice": intervals.to_mask(voice, frames).astype(float)})
    shots = shot_table(*shots, jump_cuts=jump_cuts)
    settings = find.Settings(**{"min_measured_voice_share": 0.0, **settings})
    return find.find("v", "s", shots, tracks, persons, heard, SIZE, settings)


def video(tracks, talk=None, voice=None, moves=True, settings=None, sure=0.9, **of_clips):
    """Return `candidates` and `qualities` of faces; `talk` has frames of speech per track, `voice` the frames of a voice."""
    found = candidates_of(tracks, **of_clips)
    tracks = pd.concat(tracks, ignore_index=True)
    frames = MEDIA_FRAMES
    speaking = tracks[["track", "frame"]].copy()
    masks = {t: intervals.to_mask(spans, frames) for t, spans in (talk or {}).items()}
    says = [bool(masks[t][f]) if t in masks else False for t, f in zip(tracks["track"], tracks["frame"], strict=True)]
    speaking["speaking"] = np.array(says, dtype=bool)
    speaking["score"] = np.where(speaking["speaking"], 2.0, -2.0)
    speaking["speaking_confidence"] = sure
    heard = intervals.to_mask(intervals.union([*itertools.chain(*(talk or {}).values()), *(voice or [])]), frames)
    opening = 10 + np.where(moves & speaking["speaking"], 4 * np.sin(2 * np.pi * 4 * tracks["frame"] / 25), 0)
    points = face_with_lips(len(tracks), opening)
    # Living faces blink.
    points[:, 37:42, 1] += 4 * np.sin(tracks["frame"].to_numpy())[:, None]
    landmarks = {"points": points, "yaw": np.full(len(tracks), 10.0), "blur": np.full(len(tracks), 50.0)}
    faces = Faces(tracks, speaking, landmarks)
    sound = qualities.Sound(heard, np.full(frames, -20.0), {"A": heard})
    return found, qualities.measure(found, faces, sound, settings)


def spans(found: pd.DataFrame) -> list[tuple[int, int]]:
    kept = found[found["candidate"]]
    return list(zip(kept["start_frame"].tolist(), kept["end_frame"].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_the_longest_of_the_same_people(seed):
    rng = np.random.default_rng(seed)
    [scene] = find.scenes(shot_table((0, 60), (60, 150), jump_cuts=True))
    taking_part, on_screen = {}, [set() for _ in range(150)]
    for person in range(8):
        start, end = sorted(rng.integers(0, 151, size=2).tolist())
        if start < end:
            taking_part[person] = [(start, end)]
            for frame in range(start, end):
                on_screen[frame].add(person)
    found = find.segments(scene, taking_part, absence=0)
    expected, start = [], 0
    for frame in range(1, 151):
        if frame == 150 or on_screen[frame] != on_screen[start]:
            expected.append((start, frame, on_screen[start]))
            start = frame
    assert [(s.start, s.end, s.people) for s in found] == expected


def test_mixed_pictures_of_a_dissolve_are_no_part_of_a_clip():
    shots = shot_table((0, 200)).assign(clear_start_frame=12, clear_end_frame=190)
    found = find.segments(next(find.scenes(shots)), {1: [(0, 200)]}, absence=25)
    assert [(s.start, s.end, s.dissolve) for s in found] == [(0, 12, True), (12, 190, False), (190, 200, True)]


def test_a_participant_who_is_missed_for_a_moment_again_and_again_has_not_left():
    # 30 s of two people, one of whom is not found for 0.6 s every 4 s: each time the tracker begins another track.
    parts = [track_rows(10 + k, 100 * k, min(100 * k + 85, 750), x=400) for k in range(8)]
    found = candidates_of([track_rows(1, 0, 750), *parts], shots=((0, 750),), people=[[1], list(range(10, 18))])
    assert spans(found) == [(0, 750)]
    clip = found.iloc[0]
    assert clip["tracks"] == [1, 10]
    assert clip["person_tracks"] == [[1], list(range(10, 18))]
    assert clip["absent_share"] == pytest.approx(7 * 15 / 750)
    assert clip["absent_s"] == pytest.approx([0, 7 * 15 / 25])


def test_who_is_away_for_longer_than_a_second_has_left():
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 180, x=400), track_rows(3, 206, 400, x=400)]
    found = candidates_of(faces, people=[[1], [2, 3]])
    assert spans(found) == [(0, 180), (206, 400)]
    assert spans(candidates_of(faces, people=[[1], [2, 3]], max_absence_s=1.1)) == [(0, 400)]


def test_a_false_or_brief_face_never_ends_a_clip():
    two = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    hand = track_rows(3, 100, 250, x=700)
    passing = [track_rows(4, 300, 315, x=900), track_rows(5, 316, 320, x=900)]
    found = candidates_of([*two, hand, *passing], roles={2: "not_a_face"})
    assert spans(found) == [(0, 400)]
    clip = found.iloc[0]
    assert clip["people"] == [0, 1]
    assert clip["num_bystanders"] == 2
    assert clip["bystander_share"] == pytest.approx(19 / 400)
    assert clip["bystander_ratio"] == pytest.approx(15 / 400)


def test_a_bystander_is_measured_and_does_not_take_part():
    two = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400, size=80)]
    behind = track_rows(3, 100, 300, x=700, size=40)
    found = candidates_of([*two, behind], roles={2: "bystander"})
    assert spans(found) == [(0, 400)]
    clip = found.iloc[0]
    assert (clip["num_people"], clip["num_bystanders"], clip["bystander_tracks"]) == (2, 1, [[3]])
    assert clip["bystander_share"] == pytest.approx(0.5)
    assert clip["bystander_ratio"] == pytest.approx(0.5 * (40 / 80) ** 2)


def test_a_third_participant_ends_the_clip_of_two():
    found = candidates_of([track_rows(1, 0, 400), track_rows(2, 2, 400, x=400), track_rows(3, 150, 400, x=700)])
    assert spans(found) == [(2, 150), (150, 400)]
    assert found["num_people"].tolist() == [1, 2, 3]
    assert found["candidate"].tolist() == [False, True, True]
    assert found["clip"].tolist()[1] == "s_v_000002to000150"


def test_a_crowd_is_no_candidate():
    found = candidates_of([track_rows(t, 0, 400, x=150 * t) for t in range(7)])
    assert (found.loc[0, "num_people"], found.loc[0, "candidate"], found.loc[0, "people"]) == (7, False, [])


def test_no_clip_crosses_a_cut_but_a_jump_cut():
    both = [
        track_rows(2 * s + t, a, b, x=300 * t + 100, shot=s)
        for s, (a, b) in enumerate([(0, 200), (200, 400)])
        for t in (0, 1)
    ]
    people = [[0, 2], [1, 3]]
    assert spans(candidates_of(both, shots=((0, 200), (200, 400)), people=people)) == [(0, 200), (200, 400)]
    found = candidates_of(both, shots=((0, 200), (200, 400)), people=people, jump_cuts=True)
    assert spans(found) == [(0, 400)]
    assert found.loc[0, "num_jump_cuts"] == 1
    assert found.loc[0, "person_tracks"] == [[0, 2], [1, 3]]


def test_a_picture_that_stands_still_between_two_jump_cuts_makes_no_still_of_the_clip():
    shots = shot_table((0, 40), (40, 400), jump_cuts=True).assign(picture_motion=[0.0, 0.01])
    tracks = pd.concat([track_rows(t, 0, 400, x=300 * t) for t in range(2)], ignore_index=True)
    tracks["shot"] = (tracks["frame"] >= 40).astype(int)
    heard = pd.DataFrame({"frame": range(400), "voice": 0.0})
    any_voice = find.Settings(min_measured_voice_share=0.0)
    found = find.find("v", "s", shots, tracks, person_table(tracks), heard, SIZE, any_voice)
    assert spans(found) == [(0, 400)]
    assert found.loc[0, "picture_motion"] == pytest.approx(0.009)


def test_who_is_shown_twice_is_counted():
    found = candidates_of([track_rows(t, 0, 400, x=300 * t) for t in range(3)], repeated={2: 0})
    assert found.loc[0, "repeated_person"] == 1
    assert candidates_of([track_rows(t, 0, 400, x=300 * t) for t in range(3)]).loc[0, "repeated_person"] == 0


def test_long_clips_are_split_where_no_voice_is_heard():
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    found = candidates_of(faces, voice=[(0, 170), (190, 400)], max_clip_s=10)
    assert spans(found) in ([(0, 179), (179, 400)], [(0, 180), (180, 400)])


@pytest.mark.parametrize("length", [251, 260, 374, 500, 501, 1234])
@pytest.mark.parametrize("seed", range(5))
def test_pieces_keep_to_the_limits(length, seed):
    quiet = np.random.default_rng(seed).random(length) < 0.3
    cuts = find.split_points(quiet, shortest=125, longest=250)
    pieces = np.diff([0, *cuts, length])
    assert pieces.min() >= 125
    assert pieces.max() <= 250
    # Between 251 and 260 frames there is hardly a choice of where to cut.
    assert length < 300 or all(quiet[cut] for cut in cuts)


def test_a_clip_without_any_pause_is_cut_all_the_same():
    assert len(find.split_points(np.zeros(600, dtype=bool), 125, 250)) == 2
    assert find.split_points(np.ones(600, dtype=bool), 125, 250)


def test_limits_that_cannot_both_hold_are_refused():
    with pytest.raises(InputError, match="max_clip_s"):
        candidates_of([], min_measured_s=5, max_clip_s=8)


def select(measured, settings=None):
    """Apply the gates to candidates over whose faces nothing lies."""
    found, of_clips = measured
    seen = of_clips[["clip"]].assign(hand_over_face_share=0.0, caption_over_face_share=0.0, unseen_person_share=0.0)
    nothing_said = understanding.measure(of_clips.merge(found), tables.empty("transcript"), tables.empty("pieces"))
    return gates.select(found, of_clips, seen, nothing_said, settings)


def test_video_without_anything_gives_an_empty_table(tmp_path):
    empty = {name: tables.empty(name) for name in ("shots", "tracks", "voice")}
    found = find.find("v", "s", people=tables.empty("persons"), size=SIZE, **empty)
    assert len(found) == 0
    measured = qualities.of_video("none.mp4", found, tables.empty("tracks"), "none.npz", *[None] * 3)
    tables.write("clips", select((found, measured)), tmp_path / "clips.parquet")


def test_video_of_one_person_has_segments_and_no_clip(tmp_path):
    found, measured = video([track_rows(1, 0, 400)], talk={1: [(0, 200)]})
    for name, table in {"candidates": found, "qualities": measured, "clips": select((found, measured))}.items():
        tables.write(name, table, tmp_path / f"{name}.parquet")
    found, measured = (tables.read(name, tmp_path / f"{name}.parquet") for name in ("candidates", "qualities"))
    tables.write("clips", select((found, measured)), tmp_path / "clips.parquet")
    assert tables.read("clips", tmp_path / "clips.parquet")["rejected_by"].tolist() == ["min_num_people"]


@pytest.mark.parametrize(
    ("small", "away", "voice", "gate"),
    [
        (8, 0, [(0, 400)], "min_face_height_share,min_area_ratio"),
        (40, 0, [(0, 400)], "min_area_ratio"),
        (120, 250, [(0, 400)], "max_absent_share"),
        (120, 0, [(0, 8)], gates.NOT_MEASURED),
        (120, 0, [(0, 200)], None),
    ],
)
def test_what_can_never_be_kept_is_not_measured_and_the_gates_say_why(small, away, voice, gate):
    seen = [track_rows(2, start, end, x=600, size=small) for start, end in ((0, 75), (75 + away, 400))]
    faces = [track_rows(1, 0, 400, size=160), *seen]
    found = candidates_of(faces, voice=voice, min_measured_voice_share=0.03, max_absence_s=20)
    assert found["candidate"].tolist() == [gate is None]
    assert found["voice_share"].tolist() == [pytest.approx(min(voice[0][1] / 400, 1))]
    measured = [tables.empty(name) for name in ("qualities", "inspections")]
    words = understanding.measure(found.head(0), tables.empty("transcript"), tables.empty("pieces"))
    if gate:
        assert gates.select(found, *measured, words)["rejected_by"].tolist() == [gate]


def test_segments_without_faces_are_listed_too():
    found = candidates_of([], shots=((0, 100), (100, 300)))
    assert found["num_people"].tolist() == [0, 0]
    assert not found["candidate"].any()


def test_tables_are_as_declared(tmp_path):
    found, measured = video([track_rows(1, 0, 400), track_rows(2, 0, 200, x=400)], talk={1: [(0, 200)]})
    for name, table in {"candidates": found, "qualities": measured, "clips": select((found, measured))}.items():
        tables.write(name, table, tmp_path / "table.parquet")
        pd.testing.assert_series_equal(
            tables.read(name, tmp_path / "table.parquet")["clip"],
            table["clip"].reset_index(drop=True),
            check_dtype=False,
        )


def test_measured_qualities_are_true():
    talk = {1: [(0, 100), (110, 150), (300, 350)], 2: [(140, 200)]}
    faces = [track_rows(1, 0, 400, x=500, size=80), track_rows(2, 0, 400, x=100, size=160)]
    found, measured = video(faces, talk=talk, voice=[(360, 400)])
    assert found.loc[0, "tracks"] == [2, 1]
    clip = measured.iloc[0]
    assert clip["speaking_s"] == pytest.approx([2.4, 7.6])
    assert clip["face_px"] == pytest.approx(80)
    assert found.loc[0, "face_height_share"] == pytest.approx(80 / 720)
    assert found.loc[0, "area_ratio"] == pytest.approx(0.25)
    assert clip["num_talkers"] == 2
    assert clip["num_turns"] == 3
    assert clip["num_exchanges"] == 1
    assert clip["talk_balance"] == pytest.approx(0.24)
    assert clip["talking_s"] == pytest.approx(240 / 25)
    assert clip["overlap_share"] == pytest.approx(10 / 400)
    assert clip["off_screen_share"] == pytest.approx(40 / 400)
    assert clip["num_voices"] == 1
    assert clip["mouth_sound_agreement"] > 0.95
    assert clip["yaw_deg"] == pytest.approx(10)
    assert clip["detected_share"] == 1


@pytest.mark.parametrize(("sure", "share"), [(0.9, 0.5), (0.75, 0.0)])
def test_a_voice_is_off_screen_if_it_is_sure_that_nobody_on_screen_speaks(sure, share):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    _, measured = video(faces, talk={1: [(0, 100)]}, voice=[(200, 400)], sure=sure)
    assert measured.loc[0, "off_screen_share"] == pytest.approx(share)


def test_a_participant_who_is_away_is_measured_where_seen():
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 180, x=400), track_rows(3, 200, 400, x=400)]
    talk = {1: [(0, 100)], 2: [(100, 180)], 3: [(200, 250)]}
    found, measured = video(faces, talk=talk, voice=[(180, 200)], people=[[1], [2, 3]])
    assert spans(found) == [(0, 400)]
    clip = measured.iloc[0]
    assert clip["speaking_s"] == pytest.approx([4, 130 / 25])
    assert clip["off_screen_share"] == 0
    assert (clip["landmark_share"], clip["detected_share"]) == (1, 1)
    assert clip["face_px"] == pytest.approx(100)
    assert select((found, measured))["kept"].tolist() == [True]
    assert select((found, measured), gates.Settings(max_absent_share=0.04))["rejected_by"].tolist() == [
        "max_absent_share"
    ]


def face_with_lips(frames: int, gap: np.ndarray | float) -> np.ndarray:
    """Return landmarks (frames, 68, 2) of a face 100 px high whose lips are `gap` px apart."""
    points = np.zeros((frames, 68, 2))
    points[:, 8, 1] = 100
    points[:, [65, 66, 67], 1] = np.broadcast_to(gap, frames)[:, None]
    return points


def test_moving_lips_move_and_still_or_lost_ones_do_not():
    second = np.arange(100) / 25
    assert qualities.lip_motion(face_with_lips(100, 10))[50] == pytest.approx(0, abs=1e-9)
    assert qualities.lip_motion(face_with_lips(100, 10 + 4 * np.sin(2 * np.pi * 4 * second)))[50] > 0.015
    assert qualities.lip_motion(face_with_lips(100, 10 + 4 * np.sin(2 * np.pi * 0.2 * second)))[50] < 0.003
    assert np.isnan(qualities.lip_motion(np.full((3, 68, 2), np.nan))).all()
    assert qualities.lip_motion(face_with_lips(1, 10)).shape == (1,)


def test_speech_of_still_lips_is_not_borne_out():
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    assert video(faces, talk={1: [(0, 200)]}, moves=False)[1].loc[0, "mouth_sound_agreement"] == 0
    assert video(faces, talk={1: [(0, 200)]})[1].loc[0, "mouth_sound_agreement"] > 0.9


def test_every_gate_names_a_column_and_rejects_by_its_own_name(tmp_path):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400, size=40)]
    found = video(faces, talk={1: [(0, 200)]})
    assert select(found).loc[0, ["kept", "rejected_by"]].tolist() == [False, "min_area_ratio"]
    strict = gates.Settings(min_face_height_share=0.1, min_num_talkers=2, min_area_ratio=0.1)
    chosen = select(found, strict)
    assert chosen["rejected_by"].tolist() == ["min_face_height_share,min_num_talkers"]
    assert select(found, gates.Settings(min_area_ratio=0.1))["kept"].tolist() == [True]
    tables.write("clips", chosen, tmp_path / "clips.parquet")


def test_length_and_number_of_people_are_gates_like_the_others():
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 100, x=400), track_rows(3, 200, 400, x=700)]
    found = video(faces, talk={1: [(0, 400)]})
    assert spans(found[0]) == [(0, 100), (200, 400)]
    chosen = select(found)
    assert chosen["rejected_by"].tolist() == ["min_duration_s", "min_num_people,min_duration_s", ""]
    assert select(found, gates.Settings(min_duration_s=4))["kept"].tolist() == [True, False, True]
    assert "max_num_people" in select(found, gates.Settings(min_num_people=1, max_num_people=1)).loc[0, "rejected_by"]
    # What is not measured is never kept, whatever the gates let pass.
    chosen = select(found, gates.Settings(min_num_people=1, min_duration_s=1))
    assert chosen["rejected_by"].tolist() == ["", gates.NOT_MEASURED, ""]


def test_photographs_are_no_partners():
    found, measured = video([track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)], talk={1: [(0, 200)]})
    assert select((found, measured))["kept"].tolist() == [True]
    measured["face_motion"] = 0.001
    assert select((found, measured))["rejected_by"].tolist() == ["min_face_motion"]


def test_silent_people_are_no_conversation():
    found = video([track_rows(t, 0, 400, x=200 * t) for t in (1, 2, 3)])
    assert select(found)["rejected_by"].tolist() == ["min_num_talkers,min_speaking_share"]
