"""Which clips are right by the truth."""

import pandas as pd

from known_labels import CUT, FRAMES, TURNS, truth
from talking.scoring import right_clips
from talking.speech import turns
from talking.speech.turns import Turn


def test_a_stretch_where_nobody_talks_or_that_is_short_is_no_right_clip():
    spoken = turns.spoken_frames([Turn(0, 4, "anna")], FRAMES)
    rule = right_clips.ClipRule()
    right = right_clips.right_clips(truth(), [(0, CUT), (CUT, FRAMES)], FRAMES, spoken, rule)
    assert [(c["start_frame"], c["end_frame"]) for c in right] == [(0, CUT)]
    assert right_clips.right_clips(truth(), [(0, 124)], FRAMES, spoken, rule) == []


def test_who_is_hidden_for_a_moment_is_still_there():
    spoken = turns.spoken_frames(TURNS, FRAMES)
    for missing, stretches in ((25, 1), (26, 0)):
        hidden = truth()
        away = (hidden.boxes["person"] == "anna") & hidden.boxes["frame"].between(80, 79 + missing)
        hidden.boxes = hidden.boxes[~away]
        right = right_clips.right_clips(hidden, [(0, CUT)], FRAMES, spoken, right_clips.ClipRule())
        assert [(c["start_frame"], c["end_frame"]) for c in right] == [(0, CUT)] * stretches


def test_who_looks_on_is_no_participant_of_a_right_clip():
    watched = truth()
    zoe = watched.boxes[watched.boxes["person"] == "anna"].assign(person="zoe", x1=700, x2=760, y1=100, y2=160)
    watched.boxes = pd.concat([watched.boxes, zoe])
    spoken = turns.spoken_frames(TURNS, FRAMES)
    for bystanders, counts in ((None, [3, 3]), ([(0, CUT, "zoe")], [2, 3])):
        rows = pd.DataFrame(bystanders or [], columns=["start_frame", "end_frame", "person"])
        watched.bystanders = rows if bystanders else None
        right = right_clips.right_clips(watched, [(0, CUT), (CUT, FRAMES)], FRAMES, spoken, right_clips.ClipRule())
        assert [len(clip["people"]) for clip in right] == counts


def test_people_of_very_different_sizes_make_no_right_clip():
    far = truth()
    anna = far.boxes["person"] == "anna"
    far.boxes.loc[anna, "x2"] = far.boxes["x1"] + (far.boxes["x2"] - far.boxes["x1"]) / 5
    spoken = turns.spoken_frames(TURNS, FRAMES)
    assert right_clips.right_clips(far, [(0, CUT), (CUT, FRAMES)], FRAMES, spoken, right_clips.ClipRule()) == []


def test_small_faces_make_no_right_clip():
    spoken = turns.spoken_frames(TURNS, FRAMES)
    for wanted, stretches in ((109, 2), (110, 0)):
        rule = right_clips.ClipRule(min_face_px=wanted)
        assert len(right_clips.right_clips(truth(), [(0, CUT), (CUT, FRAMES)], FRAMES, spoken, rule)) == stretches
