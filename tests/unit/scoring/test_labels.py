"""Scores of labels whose faults are known, and of tables that are not there."""

import json

import numpy as np
import pandas as pd
import pytest

from known_labels import CUT, FRAMES, TURNS, true_labels, truth
from talking.core import tables
from talking.scoring import labels
from talking.scoring.results import Labels
from talking.scoring.truth import Truth
from talking.speech.turns import Turn


def test_true_labels_score_full_marks():
    found = labels.score(truth(), true_labels())
    assert (found["faces"]["recall"], found["faces"]["precision"], found["faces"]["id_swaps"]) == (1, 1, 0)
    assert (found["identities"]["purity"], found["identities"]["completeness"]) == (1, 1)
    speaking = found["speaking"]
    assert (speaking["accuracy"], speaking["f1"], speaking["not_scored"]) == (1, 1, 0)
    assert speaking["score_smooth"] == {"accuracy_at_0": 1, "average_precision": 1, "roc_auc": 1, "f1_at_0": 1}
    assert speaking["speaking_share"] == pytest.approx((4 * 25 + 6 * 25) / (2 * FRAMES))
    assert [shot["accuracy"] for shot in found["shots"]] == [1, 1]
    assert (found["cuts"]["recall"], found["cuts"]["precision"]) == (1, 1)
    assert (found["clips"]["right"], found["clips"]["found"], found["clips"]["kept_wrong"]) == (2, 2, 0)
    assert found["diarization"]["no_collar"]["error"] == 0
    assert (found["words"]["speaker_accuracy"], found["words"]["made_up"]) == (1, 0)
    json.dumps(found, allow_nan=False)


def test_stated_confidence_is_compared_with_how_often_it_is_right():
    unsure = true_labels()
    wrong = unsure.speaking["frame"] % 4 == 0
    unsure.speaking.loc[wrong, "speaking"] = ~unsure.speaking.loc[wrong, "speaking"]
    found = labels.score(truth(), unsure)["speaking"]["calibration"]
    assert found["bins"] == [{"confidence": pytest.approx(0.9), "right": pytest.approx(0.75), "person_frames": 800}]
    assert found["expected_calibration_error"] == pytest.approx(0.15)


def test_shots_say_what_is_hard_in_them():
    found = labels.score(truth(hard=["mimic", ""]), true_labels())
    assert [shot["hard"] for shot in found["shots"]] == ["mimic", ""]


def test_missed_and_invented_faces_count_once_each():
    wrong = true_labels()
    missed = (wrong.tracks["track"] == 0) & (wrong.tracks["frame"] < 50)
    invented = wrong.tracks[wrong.tracks["track"] == 1].assign(track=9, x1=900, x2=990)
    wrong.tracks = pd.concat([wrong.tracks[~missed], invented])
    found = labels.score(truth(), wrong)
    assert found["faces"]["recall"] == pytest.approx(1 - 50 / 800)
    assert found["faces"]["precision"] == pytest.approx(750 / 950)
    assert found["speaking"]["not_scored"] == 50
    assert found["shots"][1]["recall"] == 1


def test_a_box_that_overlaps_too_little_is_no_match():
    for shift, recall in ((30, 1.0), (40, 0.0)):
        wrong = true_labels()
        wrong.tracks[["x1", "x2"]] += shift
        assert labels.score(truth(), wrong)["faces"]["recall"] == recall


def test_tracks_that_change_person_are_swaps_and_impure():
    wrong = true_labels()
    late = wrong.tracks["frame"].between(100, CUT - 1)
    wrong.tracks.loc[late, "track"] = wrong.tracks.loc[late, "track"].map({0: 1, 1: 0})
    found = labels.score(truth(), wrong)
    assert found["faces"]["id_swaps"] == 2
    assert found["faces"]["track_switches_in_shots"] == 2
    assert found["identities"]["purity"] == pytest.approx((800 - 200) / 800)


def test_a_person_taken_for_two_is_incomplete_but_pure():
    wrong = true_labels()
    wrong.identities["person"] = ["p1", "p2", "p3", "p2"]
    found = labels.score(truth(), wrong)["identities"]
    assert (found["purity"], found["completeness"]) == (1, pytest.approx(600 / 800))


def test_speaking_figures_of_known_faults():
    wrong = true_labels()
    mouthing = (wrong.speaking["track"] == 1) & (wrong.speaking["frame"] < 80)
    wrong.speaking.loc[mouthing, ["score", "score_smooth"]] = 3.0
    wrong.speaking.loc[mouthing, "speaking"] = True
    found = labels.score(truth(), wrong)["speaking"]
    assert found["accuracy"] == pytest.approx(1 - 80 / 800)
    assert (found["false_positives"], found["false_negatives"]) == (80, 0)
    assert found["f1"] == pytest.approx(2 * 250 / (2 * 250 + 80))
    assert found["score_smooth"]["average_precision"] == pytest.approx(250 / 330)
    assert found["score_smooth"]["roc_auc"] == pytest.approx(1 - 80 / 550)


def test_a_cut_counts_within_one_frame():
    for shift, hits in ((1, 1), (-1, 1), (2, 0)):
        moved = true_labels()
        moved.shots = pd.DataFrame({"start_frame": [0, CUT + shift], "end_frame": [CUT + shift, FRAMES]})
        assert labels.score(truth(), moved)["cuts"]["within_a_frame"] == hits


def test_clips_across_a_cut_or_with_too_few_people_are_wrong():
    wrong = true_labels()
    wrong.clips = pd.DataFrame({"start_frame": [150, 0], "end_frame": [300, 190], "num_people": [2, 3], "kept": True})
    found = labels.score(truth(), wrong)["clips"]
    assert found["kept_wrong"] == 2
    assert found["missed"] == [[CUT, FRAMES]]


def test_a_right_clip_may_be_split():
    split = true_labels()
    edges = np.array([0, 90, CUT, FRAMES])
    split.clips = pd.DataFrame({"start_frame": edges[:-1], "end_frame": edges[1:], "num_people": 2, "kept": True})
    found = labels.score(truth(), split)["clips"]
    assert (found["found"], found["kept_wrong"]) == (2, 0)


def test_diarization_error_and_its_collars():
    wrong = true_labels()
    # Every edge is 0.2 s late: free within a collar of 0.25 s on each side, not within 0.25 s in all.
    wrong.turns = [Turn(t.start_s + 0.2, t.end_s + 0.2, t.speaker) for t in TURNS]
    found = labels.score(truth(), wrong)["diarization"]
    assert found["collar_0.25_each_side"]["error"] == 0
    assert found["collar_0.25_in_all"]["error"] > 0
    assert found["no_collar"]["missed_s"] == pytest.approx(0.6)
    assert found["no_collar"]["false_alarm_s"] == pytest.approx(0.6)
    wrong.turns = [t._replace(speaker="x") for t in TURNS]
    confused = labels.score(truth(), wrong)["diarization"]
    assert confused["no_collar"]["error"] == pytest.approx(6 / 12)
    assert confused["no_collar"]["confusion_s"] == pytest.approx(6)


def test_words_of_the_wrong_person_or_of_nobody_are_counted():
    wrong = true_labels()
    wrong.words["track"] = pd.array([1, None, 0, 3], dtype="Int32")
    made_up = pd.DataFrame(
        {"word": ["ghost"], "start_s": [15.5], "end_s": [15.8], "track": pd.array([0], dtype="Int32")}
    )
    wrong.words = pd.concat([wrong.words, made_up])
    found = labels.score(truth(), wrong)["words"]
    assert found["speaker_accuracy"] == pytest.approx(1 / 4)
    assert (found["made_up"], found["wrong_person_on_screen"], found["wrongly_off_screen"]) == (1, 2, 1)


def test_word_errors_are_substituted_inserted_and_missed_words():
    spoken = pd.DataFrame({"word": ["Hello,", "ten", "it's", "right"], "start_s": [0.5, 1, 6, 10], "speaker": "anna"})
    spoken = spoken.assign(end_s=spoken["start_s"] + 0.4)
    found = true_labels()
    assert labels.score(truth(words=spoken), found)["words"]["word_error"] == pytest.approx(2 / 4)
    found.words = found.words.assign(word=["hello", "10", "its", "right"])
    assert labels.score(truth(words=spoken), found)["words"]["word_error"] == 0
    found.words = pd.concat([found.words.assign(word=["hello", "their", "extra", "Right!"])])
    assert labels.score(truth(words=spoken), found)["words"]["word_error"] == pytest.approx(2 / 4)
    found.words = found.words.iloc[:0]
    assert labels.score(truth(words=spoken), found)["words"]["word_error"] == 1
    assert labels.score(truth(), found)["words"]["word_error"] is None


def test_a_participant_who_is_no_true_face_is_false():
    rows = [(0, [0, 2], "participant"), (1, [1, 3], "participant"), (2, [9], "participant"), (3, [8], "not_a_face")]
    found = true_labels()
    found.people = pd.DataFrame(rows, columns=["person", "tracks", "role"]).assign(num_frames=[FRAMES, FRAMES, 50, 50])
    assert labels.score(truth(), found)["people"] == {"participants": 3, "false": 1}


def test_short_answers_that_are_missed_are_counted():
    brief = truth()
    brief.turns = [Turn(0, 4, "anna"), Turn(4.2, 4.8, "ben"), Turn(9.0, 9.6, "ben")]
    found = labels.score(brief, true_labels())["short_turns"]
    assert (found["turns"], found["found"], found["recall"]) == (2, 1, 0.5)


def test_overlapping_true_words_are_told_apart_by_their_text():
    spoken = pd.DataFrame(
        {"word": ["Hello,", "well"], "start_s": [0.5, 0.5], "end_s": [0.9, 0.9], "speaker": ["anna", "ben"]}
    )
    found = true_labels()
    found.words = found.words.iloc[:1].assign(track=pd.array([1], dtype="Int32"))
    assert labels.score(truth(words=spoken), found)["words"]["speaker_accuracy"] == 0
    spoken["word"] = "other"
    assert labels.score(truth(words=spoken), found)["words"]["speaker_accuracy"] == 1


def test_tables_that_are_not_there_give_null():
    found = labels.score(truth(), Labels(true_labels().tracks))
    assert found["faces"]["recall"] == 1
    absent = ("identities", "speaking", "cuts", "clips", "diarization", "words")
    assert [found[name] for name in absent] == [None] * len(absent)


def test_nothing_found_and_nothing_true_flow_through():
    nothing = Labels(
        *(tables.empty(n) for n in ("tracks", "shots", "speaking", "clips", "identities")), [], tables.empty("words")
    )
    found = labels.score(truth(), nothing)
    assert (found["faces"]["recall"], found["faces"]["precision"]) == (0, None)
    assert found["diarization"]["no_collar"]["error"] == 1
    empty = Truth(truth().boxes.iloc[:0], [])
    json.dumps(labels.score(empty, true_labels()), allow_nan=False)
    json.dumps(labels.score(empty, nothing), allow_nan=False)
