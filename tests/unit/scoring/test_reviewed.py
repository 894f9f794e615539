"""Reviewed labels as truth."""

import numpy as np
import pandas as pd
import pytest

from made_video import clips_of
from talking.review.apply import Faces
from talking.review.decisions import Decision, Face
from talking.scoring import reviewed

LEFT = Face(1.0, 0.2, 0.5)


def decided(field, value, start_s, end_s, face=None):
    return Decision("v", start_s, end_s, field, value, face, "Ann", "2026-11-28T10:00:00")


@pytest.fixture
def made():
    """Return 100 frames of a participant on the left whom the models take for silent, and of a bystander who is never scored."""
    frame = np.tile(np.arange(100), 2)
    track = np.repeat([1, 2], 100)
    x = np.where(track == 1, 40.0, 150.0)
    tracks = pd.DataFrame({"track": track, "frame": frame, "x1": x - 10, "x2": x + 10, "y1": 40.0, "y2": 60.0})
    people = pd.DataFrame({"person": [0, 1], "tracks": [[1], [2]], "role": ["participant", "bystander"]})
    own = pd.DataFrame(
        {
            "track": track,
            "frame": frame,
            "score": -1.0,
            "score_smooth": -1.0,
            "speaking": False,
            "speaking_confidence": 0.9,
        }
    )
    words = pd.DataFrame({"word": list("abcd"), "start_s": [0.0, 1.0, 2.0, 3.0], "end_s": [0.5, 1.5, 2.5, 3.5]})
    clips = clips_of((0, 100), (100, 200))
    clips["rejected_by"] = ["", "max_off_screen_share"]
    return own, words, clips, Faces(tracks, people, (200, 100))


def test_only_reviewed_time_and_participants_count(made):
    own, words, clips, faces = made
    found = [
        decided("labels", "right", 0, 2),
        decided("speaking", "yes", 1, 3, LEFT),
        decided("words", "", 1, 1.5),
        decided("words", "", 3, 4),
    ]
    figures = reviewed.score(own, words, clips, faces, found)
    assert figures["reviewed_s"] == 2
    assert figures["speaking"]["person_frames"] == 50 and figures["speaking"]["accuracy"] == 0.5
    assert figures["speaking"]["false_negatives"] == 25
    assert figures["words"] == {"words": 2, "wrong": 1, "wrong_share": 0.5}


def test_gates_are_compared_with_what_reviewers_keep_and_drop(made):
    own, words, clips, faces = made
    figures = reviewed.score(
        own, words, clips, faces, [decided("decision", "drop", 0, 4), decided("decision", "keep", 4, 8)]
    )
    assert figures["clips"] == {
        "kept_by_both": 0,
        "kept_by_gates_alone": 1,
        "kept_by_reviewers_alone": 1,
        "dropped_by_both": 0,
    }
    # The same where the run has applied the review.
    clips["rejected_by"], clips["kept"] = ["review", "max_off_screen_share"], [False, True]
    again = reviewed.score(
        own, words, clips, faces, [decided("decision", "drop", 0, 4), decided("decision", "keep", 4, 8)]
    )
    assert again["clips"] == figures["clips"]


def test_without_a_review_nothing_is_scored(made):
    own, words, clips, faces = made
    figures = reviewed.score(own, words, clips, faces, [])
    assert (
        figures["reviewed_s"] == 0
        and figures["speaking"]["accuracy"] is None
        and figures["words"]["wrong_share"] is None
    )
