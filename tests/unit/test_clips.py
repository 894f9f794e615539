"""Clips and gates: stretches against a count of every frame, measured qualities against known truth."""

import itertools

import numpy as np
import pandas as pd
import pytest

from talking import clips, gates, intervals, qualities, tables, turns
from talking.errors import InputError

MEDIA_FRAMES = 400


def track_rows(track: int, start: int, end: int, x: float = 100, size: float = 100, shot: int = 0) -> pd.DataFrame:
    """Return rows of the table `tracks` for a face that stands still."""
    frame = np.arange(start, end)
    box = {"x1": x, "y1": 50.0, "x2": x + size, "y2": 50.0 + size}
    return pd.DataFrame({"track": track, "shot": shot, "frame": frame, **box, "detected": True, "confidence": 0.9})


def shot_table(*spans: tuple[int, int]) -> pd.DataFrame:
    """Return a table of shots that begin with hard cuts, as far as clips need it."""
    start, end = np.array(spans).T
    return pd.DataFrame(
        {
            "shot": range(len(spans)),
            "start_frame": start,
            "end_frame": end,
            "clear_start_frame": start,
            "clear_end_frame": end,
        }
    ).assign(camera_motion=0.01, picture_motion=0.02)


def video(tmp_path, tracks, shots=((0, MEDIA_FRAMES),), talk=None, voice=None, moves=True, **settings):
    """Return `candidates` of a made-up video; `talk` gives frames of speech per track, `voice` the frames of a voice."""
    tracks = pd.concat(tracks, ignore_index=True) if tracks else tables.empty("tracks")
    frames = shots[-1][1]
    shots = shot_table(*shots)
    speaking = tracks[["track", "frame"]].copy()
    masks = {t: intervals.to_mask(spans, frames) for t, spans in (talk or {}).items()}
    says = [bool(masks[t][f]) if t in masks else False for t, f in zip(tracks["track"], tracks["frame"], strict=True)]
    speaking["speaking"] = np.array(says, dtype=bool)
    speaking["score"] = np.where(speaking["speaking"], 2.0, -2.0)
    speaking["speaking_confidence"] = 0.9
    heard = intervals.union([*itertools.chain(*(talk or {}).values()), *(voice or [])])
    loud = intervals.to_mask(heard, frames)
    opening = 10 + np.where(moves & speaking["speaking"], 4 * np.sin(2 * np.pi * 4 * tracks["frame"] / 25), 0)
    points = face_with_lips(len(tracks), opening)
    # Living faces blink.
    points[:, 37:42, 1] += 4 * np.sin(tracks["frame"].to_numpy())[:, None]
    landmarks = tmp_path / "landmarks.npz"
    np.savez(landmarks, points=points, yaw=np.full(len(tracks), 10.0), blur=np.full(len(tracks), 50.0))
    turns.write(tmp_path / "turns.rttm", "v", [turns.Turn(a / 25, b / 25, "A") for a, b in heard])
    voice_table = pd.DataFrame({"frame": range(frames), "voice": loud.astype(float), "loudness_db": -20.0})
    found = clips.find(
        "v", "s", shots, tracks, landmarks, speaking, voice_table, tmp_path / "turns.rttm", clips.Settings(**settings)
    )
    tables.write("candidates", found, tmp_path / "candidates.parquet")
    return tables.read("candidates", tmp_path / "candidates.parquet")


def spans(found: pd.DataFrame) -> list[tuple[int, int]]:
    kept = found[found["candidate"]]
    return list(zip(kept["start_frame"].tolist(), kept["end_frame"].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_stretches_are_the_longest_of_the_same_people(seed):
    rng = np.random.default_rng(seed)
    shots = shot_table((0, 60), (60, 150))
    people, on_screen = [], [set() for _ in range(150)]
    for track in range(8):
        shot = int(rng.integers(2))
        start, end = sorted(rng.integers((0, 60)[shot], (60, 150)[shot] + 1, size=2).tolist())
        if start < end:
            people.append(clips.Presence(shot, track, start, end, 100.0))
            for frame in range(start, end):
                on_screen[frame].add(track)
    found = list(clips.stretches(people, shots, max_listed=8))
    expected, start = [], 0
    for frame in range(1, 151):
        if frame in (60, 150) or on_screen[frame] != on_screen[start]:
            expected.append((start, frame, sorted(on_screen[start])))
            start = frame
    assert [(s.start, s.end, s.tracks) for s in found] == expected


def test_mixed_pictures_of_a_dissolve_are_no_part_of_a_clip():
    shots = shot_table((0, 200)).assign(clear_start_frame=12, clear_end_frame=190)
    found = clips.stretches([clips.Presence(0, 1, 0, 200, 90.0)], shots, max_listed=4)
    assert [(s.start, s.end, s.dissolve) for s in found] == [(0, 12, True), (12, 190, False), (190, 200, True)]


def test_a_gap_in_a_track_ends_its_presence():
    found = clips.presences(pd.concat([track_rows(1, 0, 10), track_rows(1, 12, 20)]))
    assert [(p.start, p.end) for p in found] == [(0, 10), (12, 20)]


def test_a_third_face_ends_the_clip_of_two(tmp_path):
    found = video(
        tmp_path, [track_rows(1, 0, 400), track_rows(2, 2, 400, x=400), track_rows(3, 150, 400, x=700, size=30)]
    )
    assert spans(found) == [(2, 150), (150, 400)]
    assert found["num_people"].tolist() == [1, 2, 3]
    assert found["rejected_by"].tolist() == ["min_people,min_clip_s", "", ""]
    assert found["clip"].tolist()[1] == "s_v_000002to000150"


def test_no_clip_crosses_a_cut(tmp_path):
    both = [track_rows(t, a, b, x=300 * t, shot=s) for s, (a, b) in enumerate([(0, 200), (200, 400)]) for t in (1, 2)]
    assert spans(video(tmp_path, both, shots=((0, 200), (200, 400)))) == [(0, 200), (200, 400)]


def test_brief_and_tiny_faces_do_not_shatter_a_clip_but_are_told(tmp_path):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    blips = [track_rows(3, 100, 103, x=700), track_rows(4, 300, 304, x=700), track_rows(5, 0, 400, x=900, size=12)]
    found = video(tmp_path, faces + blips)
    assert spans(found) == [(0, 400)]
    assert found.loc[0, ["brief_faces", "tiny_faces"]].tolist() == [2, 1]
    assert found.loc[0, "ignored_face_share"] == pytest.approx(7 / 400)
    assert len(video(tmp_path, faces + blips, min_track_frames=1)) == 5


def test_a_brief_face_at_a_cut_counts(tmp_path):
    found = video(tmp_path, [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400), track_rows(3, 397, 400, x=700)])
    assert spans(found) == [(0, 397)]


def test_long_clips_are_split_where_nobody_speaks(tmp_path):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    found = video(tmp_path, faces, talk={1: [(0, 170), (190, 400)]}, min_clip_s=3, max_clip_s=10)
    assert spans(found) in ([(0, 179), (179, 400)], [(0, 180), (180, 400)])


@pytest.mark.parametrize("length", [251, 260, 374, 500, 501, 1234])
@pytest.mark.parametrize("seed", range(5))
def test_pieces_keep_to_the_limits(length, seed):
    quiet = np.random.default_rng(seed).random(length) < 0.3
    cuts = clips.split_points(quiet, shortest=125, longest=250)
    pieces = np.diff([0, *cuts, length])
    assert pieces.min() >= 125
    assert pieces.max() <= 250
    # Between 251 and 260 frames there is hardly a choice of where to cut.
    assert length < 300 or all(quiet[cut] for cut in cuts)


def test_a_clip_without_any_pause_is_cut_all_the_same():
    assert len(clips.split_points(np.zeros(600, dtype=bool), 125, 250)) == 2
    assert clips.split_points(np.ones(600, dtype=bool), 125, 250)


def test_limits_that_cannot_both_hold_are_refused(tmp_path):
    with pytest.raises(InputError, match="max_clip_s"):
        video(tmp_path, [], min_clip_s=5, max_clip_s=8)


def select(found, settings=None):
    """Apply the gates to candidates over whose faces nothing lies."""
    wanted = found.loc[found["candidate"].astype(bool), ["clip"]]
    seen = wanted.assign(hand_over_face_share=0.0, caption_over_face_share=0.0)
    return gates.select(found, seen, settings)


def test_video_without_anything_gives_an_empty_table(tmp_path):
    empty = {name: tables.empty(name) for name in ("shots", "tracks", "speaking", "voice")}
    np.savez(tmp_path / "l.npz", points=np.zeros((0, 68, 2)), yaw=np.zeros(0), blur=np.zeros(0))
    (tmp_path / "turns.rttm").touch()
    found = clips.find("v", "s", landmarks=tmp_path / "l.npz", rttm=tmp_path / "turns.rttm", **empty)
    assert len(found) == 0
    tables.write("clips", select(found), tmp_path / "clips.parquet")


def test_stretches_without_faces_are_told_too(tmp_path):
    found = video(tmp_path, [], shots=((0, 100), (100, 300)))
    assert found["num_people"].tolist() == [0, 0]
    assert not found["candidate"].any()


def test_measured_qualities_are_true(tmp_path):
    talk = {1: [(0, 100), (110, 150), (300, 350)], 2: [(140, 200)]}
    faces = [track_rows(1, 0, 400, x=500, size=80), track_rows(2, 0, 400, x=100, size=160)]
    clip = video(tmp_path, faces, talk=talk, voice=[(360, 400)]).iloc[0]
    assert clip["tracks"].tolist() == [2, 1]
    assert clip["speaking_s"].tolist() == pytest.approx([2.4, 7.6])
    assert clip["face_px"] == pytest.approx(80)
    assert clip["area_ratio"] == pytest.approx(0.25)
    assert clip["num_talkers"] == 2
    assert clip["num_turns"] == 3
    assert clip["talking_s"] == pytest.approx(240 / 25)
    assert clip["overlap_share"] == pytest.approx(10 / 400)
    assert clip["off_screen_share"] == pytest.approx(40 / 400)
    assert clip["num_voices"] == 1
    assert clip["mouth_sound_agreement"] > 0.95
    assert clip["yaw_deg"] == pytest.approx(10)
    assert clip["detected_share"] == 1
    assert clip["camera_motion"] == pytest.approx(0.01)


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


def test_speech_of_still_lips_is_not_borne_out(tmp_path):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)]
    assert video(tmp_path, faces, talk={1: [(0, 200)]}, moves=False).loc[0, "mouth_sound_agreement"] == 0
    assert video(tmp_path, faces, talk={1: [(0, 200)]}).loc[0, "mouth_sound_agreement"] > 0.9


def test_every_gate_names_a_column_and_rejects_by_its_own_name(tmp_path):
    faces = [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400, size=60)]
    found = video(tmp_path, faces, talk={1: [(0, 200)]})
    assert select(found).loc[0, ["kept", "rejected_by"]].tolist() == [False, "min_area_ratio"]
    strict = gates.Settings(min_face_px=61, min_num_talkers=2, min_area_ratio=0.3)
    chosen = select(found, strict)
    assert chosen["rejected_by"].tolist() == ["min_face_px,min_num_talkers"]
    assert select(found, gates.Settings(min_area_ratio=0.3))["kept"].tolist() == [True]
    tables.write("clips", chosen, tmp_path / "clips.parquet")


def test_photographs_are_no_partners(tmp_path):
    found = video(tmp_path, [track_rows(1, 0, 400), track_rows(2, 0, 400, x=400)], talk={1: [(0, 200)]})
    assert select(found)["kept"].tolist() == [True]
    found["face_motion"] = 0.001
    assert select(found)["rejected_by"].tolist() == ["min_face_motion"]


def test_silent_people_are_no_conversation(tmp_path):
    found = video(tmp_path, [track_rows(t, 0, 400, x=200 * t) for t in (1, 2, 3)])
    assert select(found)["rejected_by"].tolist() == ["min_num_talkers,min_talking_s"]
