"""The page on accuracy."""

import json

import pandas as pd
import pytest

from known_labels import CUT, FRAMES, TURNS, true_labels, truth
from talking.core.errors import InputError
from talking.scoring import accuracy, labels
from talking.speech.turns import Turn


def test_the_page_tells_the_figures_that_were_printed(tmp_path):
    found = labels.score(truth(hard=["mimic", ""]), true_labels())
    part = {"accuracy": 0.875, "average_precision": 0.9375}
    (tmp_path / "lip_sync").mkdir()
    (tmp_path / "lip_sync/film.json").write_text(json.dumps(found | {"ingredients": {"model alone": part}}))
    page = accuracy.page(tmp_path)
    assert "| model alone | 0.875 | 0.938 |" in page
    assert f"| mimic | {2 * CUT} | 1.000 |" in page
    assert "| 0.9–1.0 | 0.900 | 1.000 | 800 |" in page
    sound = labels.diarization([Turn(0, 4, "a"), Turn(5, 7, "b")], [Turn(0, 3, "x"), Turn(5, 7, "y")], 200)
    (tmp_path / "turns.json").write_text(json.dumps({"model": "embedded", "people_seen": 2, "sounds": {"one": sound}}))
    figures = {"mean": 0.25, "median": 0.125, "keypoints": 9}
    seen = dict.fromkeys(
        ("people", "valid_poses", "sides_told", "sides_swapped", "body_keypoints_seen", "body_keypoints_found"), 3
    )
    (tmp_path / "poses.json").write_text(
        json.dumps({"model": "m", **seen, "body_error": figures, "face_error": figures})
    )
    whole = accuracy.page(tmp_path, [tmp_path / "turns.json"], [tmp_path / "poses.json"])
    assert whole.startswith(page.rstrip("\n"))
    # Of six seconds of speech one was missed.
    assert "| `embedded` | 2 | all | – | 0.150 | 0.159 | 0.167 | 1.000 | 0.000 | 0.000 | 6.000 |" in whole
    assert "| `m` | 3 | 3 | 3 of 3 | 0.250 | 0.125 | 0.250 | 0.125 | 3 of 3 |" in whole
    accuracy.draw_calibration(tmp_path, tmp_path / "curve.svg")
    assert "lip_sync" in (first := (tmp_path / "curve.svg").read_text())
    accuracy.draw_calibration(tmp_path, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text() == first
    assert "](curve.svg)" in accuracy.page(tmp_path, picture="curve.svg")
    with pytest.raises(InputError, match="score_labels"):
        accuracy.page(tmp_path / "lip_sync")


def test_the_page_shows_short_turns_word_errors_and_false_people(tmp_path):
    words = pd.DataFrame({"word": "hello", "start_s": [0.5, 9.0], "end_s": [0.9, 9.4], "speaker": ["anna", "ben"]})
    brief = truth(words=words)
    brief.turns = [*TURNS, Turn(15.2, 15.8, "anna")]
    found = true_labels()
    found.people = pd.DataFrame({"tracks": [[0, 2], [9]], "role": "participant", "num_frames": [FRAMES, 50]})
    (tmp_path / "lip_sync").mkdir()
    (tmp_path / "lip_sync/film.json").write_text(json.dumps(labels.score(brief, found)))
    page = accuracy.page(tmp_path)
    # Of four words that were written one is right, one stands for another and two are added; two were said.
    assert "| film | 1.000 | 1.000 | 1 of 2 | 0 |" in page
    assert "| 0 of 1 | 4 | 1.500 |" in page


def test_real_videos_come_first_on_the_page(tmp_path):
    seen = {
        "clips": {"found": 1, "right": 2, "kept_wrong": 0},
        "people": {"false_person_frames": 3, "missing_person_frames": 0, "person_frames": 200},
        "speaking": None,
        "words": {"phrases_heard": 1, "phrases": 4, "longest_loop": 1},
    }
    for folder, figures in (("films", labels.score(truth(), true_labels())), ("real", seen)):
        (tmp_path / folder / "lip_sync").mkdir(parents=True)
        (tmp_path / folder / "lip_sync/talk.json").write_text(json.dumps(figures))
    page = accuracy.page(tmp_path / "films", real=tmp_path / "real")
    assert "| talk | 1 of 2 | 0 | 3 | 0 | 200 | – | – | – | 1 of 4 | 1 |" in page
    # What was measured on labels that are not here follows the table.
    assert page.index("## Real videos, by model") < page.index("Active speakers")
    assert page.index("Real videos") < page.index("Active speakers")
