"""Short answers that the labels find, miss, or whose speakers are not seen."""

import pandas as pd
import pytest

from talking.scoring import short_turns
from talking.speech.turns import Turn


def said(speaking: set[int], frames=range(100), person: str = "anna") -> pd.DataFrame:
    rows = [(frame, person, frame in speaking) for frame in frames]
    return pd.DataFrame(rows, columns=["frame", "person", "speaking"])


def test_a_short_turn_is_found_with_half_of_its_frames():
    # Frames 25 to 34 and 50 to 59.
    spoken = [Turn(1.0, 1.4, "anna"), Turn(2.0, 2.4, "anna")]
    found = short_turns.recall(spoken, said({*range(25, 30), *range(50, 54)}))
    assert found == {"turns": 2, "found": 1, "recall": pytest.approx(0.5)}


def test_turns_of_a_second_and_of_who_is_not_seen_do_not_count():
    spoken = [Turn(0.0, 1.0, "anna"), Turn(1.0, 1.4, "zoe"), Turn(2.0, 2.8, "anna")]
    assert short_turns.recall(spoken, said(set(), frames=range(41))) == {"turns": 0, "found": 0, "recall": None}
    # Ten of twenty frames show her.
    assert short_turns.recall(spoken, said(set(), frames=range(60)))["turns"] == 1
    assert short_turns.recall([], said(set()))["recall"] is None
