"""Qualities of clips on made-up faces and sounds whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from talking.clips import qualities
from talking.faces.tracked import Faces
from talking.speaking import evidence

FRAMES = 200


def syllables(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """Return an uneven rhythm of syllables (frames,), 0-1."""
    random = np.random.default_rng(seed)
    return np.clip(evidence.band_pass(random.normal(size=frames), np.ones(frames), 1.5, 8.0), 0, None)


def faces(opening: np.ndarray) -> np.ndarray:
    """Return landmarks (frames, 68, 2) of a face 100 px high whose lips are open by `opening` (frames,) face heights."""
    points = np.random.default_rng(1).uniform(0, 100, size=(68, 2))
    points[[8, 27]] = [[50, 100], [50, 0]]
    points[[61, 62, 63]] = points[[67, 66, 65]] = [50, 70]
    points = np.repeat(points[None], len(opening), axis=0)
    points[:, [65, 66, 67], 1] += 100 * opening[:, None]
    return points


@pytest.mark.parametrize("lead", [-12, -5, -1, 0, 1, 4, 12])
def test_the_sound_leads_by_as_many_frames_as_it_was_moved(lead):
    heard = syllables()
    lips = faces(0.1 * np.roll(heard, lead))
    found, confidence = qualities.sync_offset(lips, np.ones(FRAMES, dtype=bool), heard)
    assert found == lead
    assert confidence > 0.5


def test_another_sound_gives_no_confidence_and_silence_no_offset():
    spoken, lips = np.ones(FRAMES, dtype=bool), faces(0.1 * syllables())
    others = [qualities.sync_offset(lips, spoken, syllables(seed))[1] for seed in range(1, 11)]
    assert np.median(others) < 0.4
    assert qualities.sync_offset(lips, ~spoken, syllables()) == (0, 0)
    assert qualities.sync_offset(np.full((FRAMES, 68, 2), np.nan), spoken, syllables()) == (0, 0)


@pytest.mark.parametrize("frames", [1, 3, 20])
def test_short_clips_have_an_offset_or_none(frames):
    qualities.sync_offset(faces(0.1 * syllables(frames=frames)), np.ones(frames, dtype=bool), syllables(frames=frames))


def test_a_photograph_does_not_move_however_it_is_carried():
    still = faces(np.zeros(FRAMES)) - 50
    angle, size = np.linspace(-0.3, 0.3, FRAMES), np.linspace(1, 2, FRAMES)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    carried = size[:, None, None] * still @ turn + np.linspace(0, 400, FRAMES)[:, None, None]
    assert qualities.face_motion(carried) < 1e-9
    assert qualities.face_motion(faces(0.1 * syllables())) > 0.002
    assert np.isnan(qualities.face_motion(np.full((3, 68, 2), np.nan)))


def test_the_smaller_of_two_overlapping_faces_is_covered():
    box = np.zeros((4, 2, 4))
    box[:, 0] = [0, 0, 100, 100]
    box[:, 1] = [[200, 0, 260, 60], [90, 0, 150, 60], [70, 0, 130, 60], [20, 20, 80, 80]]
    assert qualities.covered_share(box).tolist() == [0, 0.5]
    assert qualities.covered_share(box[:, :1]).tolist() == [0]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_face_that_is_never_marked_says_nothing_of_the_other(lost):
    track, frame = np.repeat([0, 1], FRAMES), np.tile(np.arange(FRAMES), 2)
    box = {"x1": 300.0 * track, "y1": 0.0, "x2": 300.0 * track + 100, "y2": 100.0}
    tracks = pd.DataFrame({"track": track, "frame": frame, **box, "detected": True, "confidence": 0.9})
    says = pd.DataFrame({"track": track, "frame": frame, "score": 1.0, "speaking": True, "speaking_confidence": 0.9})
    points = np.tile(faces(0.1 * syllables()), (2, 1, 1))
    marks = {"points": points, "yaw": np.full(2 * FRAMES, 10.0), "blur": np.full(2 * FRAMES, 30.0)}
    for values in marks.values():
        values[track == lost] = np.nan
    sound = qualities.Sound(np.ones(FRAMES, bool), np.full(FRAMES, -20.0), {})
    clip = {"clip": "c", "candidate": True, "start_frame": 0, "end_frame": FRAMES, "person_tracks": [[0], [1]]}
    [found] = qualities.measure(pd.DataFrame([clip]), Faces(tracks, says, marks), sound).to_dict("records")
    assert found["face_motion"] == qualities.face_motion(points[track != lost])
    assert (found["sharpness"], found["yaw_deg"]) == (30, 10)


def test_an_offset_counts_only_of_who_speaks_alone_for_long_enough():
    heard = syllables()
    points = np.stack([faces(0.1 * np.roll(heard, 6))] * 2, axis=1)
    speaking = np.zeros((FRAMES, 2), dtype=bool)
    speaking[:, 0] = True
    found = qualities._sync(points, speaking, heard, qualities.Settings())
    assert found["sync_error_frames"] == 6
    speaking[90:, 1] = True
    found = qualities._sync(points, speaking, heard, qualities.Settings())
    assert np.isnan(found["sync_error_frames"])


def test_turns_answers_and_balance_of_a_talk():
    speaking = np.zeros((200, 2), dtype=bool)
    speaking[0:50, 0] = speaking[60:90, 1] = speaking[85:120, 0] = speaking[124:130, 0] = speaking[190:200, 1] = True
    taken = qualities.turns_of(speaking, pause=5)
    assert taken == [(0, 50, 0), (60, 90, 1), (85, 130, 0), (190, 200, 1)]
    assert qualities.answers(taken, answer=50) == [(taken[0], taken[1]), (taken[1], taken[2])]
    assert qualities.talk_balance(np.array([6.0, 2.0])) == pytest.approx(0.25)
    assert qualities.talk_balance(np.array([6.0, 0.0])) == 0
    assert qualities.talk_balance(np.zeros(2)) == 0
