"""Scores of labels whose faults are known, and of tables that are not there."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from conftest import REPO
from talking.core import tables
from talking.core.errors import InputError
from talking.scoring import accuracy, labels, right_clips
from talking.scoring.results import Labels, read_labels
from talking.scoring.truth import Truth, read_truth
from talking.speech import turns
from talking.speech.turns import Turn

FRAMES = 400
CUT = 200
BOXES = {"anna": (100, 100, 200, 220), "ben": (400, 110, 500, 230)}
# Anna speaks in the first shot, Ben in the second; Zoe is never on screen.
TURNS = [Turn(0.0, 4.0, "anna"), Turn(5.0, 7.0, "zoe"), Turn(9.0, 15.0, "ben")]
TRACKS = {("anna", 0): 0, ("ben", 0): 1, ("anna", 1): 2, ("ben", 1): 3}


def truth(**more) -> Truth:
    rows = [(f, person, *box) for f in range(FRAMES) for person, box in BOXES.items()]
    frame = pd.DataFrame(rows, columns=["frame", "person", "x1", "y1", "x2", "y2"])
    return Truth(frame, TURNS, shots=[(0, CUT), (CUT, FRAMES)], **more)


def true_labels() -> Labels:
    """Labels without a fault."""
    spoken = turns.spoken_frames(TURNS, FRAMES)
    rows = [
        (TRACKS[person, int(f >= CUT)], int(f >= CUT), f, *box, True, 1.0, 2.0 if spoken[person][f] else -2.0, person)
        for f in range(FRAMES)
        for person, box in BOXES.items()
    ]
    columns = ["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence", "score", "who"]
    full = pd.DataFrame(rows, columns=columns)
    speaking = full[["track", "frame", "score"]].assign(
        score_smooth=full["score"], speaking=full["score"] > 0, speaking_confidence=0.9
    )
    clips = pd.DataFrame({"start_frame": [0, CUT], "end_frame": [CUT, FRAMES], "num_people": 2, "kept": True})
    words = pd.DataFrame(
        {
            "word": ["hello", "there", "off", "right"],
            "start_s": [0.5, 1.0, 6.0, 10.0],
            "end_s": [0.9, 1.4, 6.4, 10.5],
            "track": pd.array([0, 0, None, 3], dtype="Int32"),
        }
    )
    identities = pd.DataFrame({"video": "v", "track": [0, 1, 2, 3], "person": ["p1", "p2", "p1", "p2"]})
    shots = pd.DataFrame({"start_frame": [0, CUT], "end_frame": [CUT, FRAMES]})
    tracks = full.drop(columns=["score", "who"])
    return Labels(tracks, shots, speaking, clips, identities, list(TURNS), words)


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


@pytest.fixture
def on_disk(tmp_path):
    """A results folder and a truth in files, as the command line takes them."""
    found, true = true_labels(), truth()
    results = tmp_path / "results"
    tables.write("tracks", found.tracks, results / "tracks/v.parquet")
    tables.write("speaking", found.speaking, results / "speaking/v.parquet")
    turns.write(results / "speech/v.rttm", "v", TURNS)
    turns.write(tmp_path / "truth.rttm", "v", TURNS)
    true.boxes.assign(visible=1).to_csv(tmp_path / "boxes.csv", index=False)
    (tmp_path / "shots.csv").write_text("start_frame,end_frame,kind\n0,200,a\n200,400,b\n")
    said = [{"word": "Hello", "start": 0.5, "end": 0.9, "speaker": "anna"}]
    (tmp_path / "words.json").write_text(json.dumps({"words": said}))
    return tmp_path


def test_the_command_line_prints_the_figures(on_disk):
    command = [sys.executable, REPO / "scripts/score_labels.py", "--results", on_disk / "results", "--video", "v"]
    command += ["--rttm", on_disk / "truth.rttm", "--boxes", on_disk / "boxes.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["speaking"]["accuracy"] == 1
    assert found["diarization"]["no_collar"]["error"] == 0
    assert found["words"] is None


def test_truth_files_are_read_with_their_extra_columns(on_disk):
    (on_disk / "people.csv").write_text(
        "start_frame,end_frame,person,role,x1\n0,9,ben,participant,0\n0,9,zoe,bystander,0\n"
    )
    files = (on_disk / n for n in ("truth.rttm", "boxes.csv", "words.json", "shots.csv"))
    true = read_truth(*files, "v", on_disk / "people.csv")
    assert true.bystanders["person"].tolist() == ["zoe"]
    assert true.shots == [(0, 200), (200, 400)]
    assert true.words["start_s"].tolist() == [0.5]
    assert list(true.boxes.columns) == ["frame", "person", "x1", "y1", "x2", "y2"]


def test_faulty_input_is_named(on_disk):
    with pytest.raises(InputError, match=r"tracks/other\.parquet"):
        read_labels(on_disk / "results", "other")
    (on_disk / "boxes.csv").write_text("frame,person,x1\n1,a,2\n")
    with pytest.raises(InputError, match=r"boxes\.csv has no column y1, x2, y2"):
        read_truth(on_disk / "truth.rttm", on_disk / "boxes.csv")
    (on_disk / "truth.rttm").write_text("SPEAKER v 1 a b\n")
    with pytest.raises(InputError, match=r"truth\.rttm, line 1"):
        turns.read(on_disk / "truth.rttm")


def test_turns_of_other_files_in_one_rttm_are_left_out(tmp_path):
    lines = ["SPEAKER v 1 0.0 1.0 <NA> <NA> a <NA> <NA>", "SPEAKER w 1 0.0 2.0 <NA> <NA> b <NA> <NA>"]
    (tmp_path / "t.rttm").write_text("\n".join(lines))
    assert turns.read(tmp_path / "t.rttm", "w") == [Turn(0, 2, "b")]
    assert len(turns.read(tmp_path / "t.rttm", "renamed")) == 2


def test_a_frame_speaks_when_its_centre_lies_in_a_turn():
    # Centres at 0.02, 0.06, 0.10 s, ...
    mask = turns.spoken_frames([Turn(0.03, 0.10, "a")], 5)["a"]
    assert mask.tolist() == [False, True, False, False, False]


def test_the_prototype_film_scores_against_itself(shared):
    true = read_truth(*(shared / f"data/filmed/{n}" for n in ("sample.rttm", "sample_boxes.csv", "sample_words.json")))
    tracks = true.boxes.assign(track=true.boxes["person"].astype("category").cat.codes)
    words = true.words.assign(track=pd.array([None] * len(true.words), dtype="Int32"))
    found = labels.score(true, Labels(tracks, turns=true.turns, words=words))
    assert (found["faces"]["recall"], found["faces"]["id_swaps"]) == (1, 0)
    assert found["diarization"]["collar_0.25_each_side"]["error"] == 0
    # Only the two sentences of the voice from off screen are rightly nobody's.
    assert found["words"]["speaker_accuracy"] == pytest.approx(2 / 6)


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
