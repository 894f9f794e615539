"""The workflow on real videos whose truth was written down by looking: every right clip, no wrong one, no invented words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from run.workflow import snakemake, write_sheet
from talking.core import tables
from talking.scoring import by_eye
from talking.scoring.results import read_labels

# Clips of four seconds are right by that truth.
SHORTEST = "gates={min_duration_s: 4.0}"


@pytest.fixture(scope="module")
def truth_file(shared) -> Path:
    return shared / "data/real/truth.json"


@pytest.fixture(scope="module")
def results(shared, truth_file, tmp_path_factory) -> Path:
    """The results of one run on all videos of the truth, as a user would have them."""
    folder = tmp_path_factory.mktemp("real")
    videos = [video for video in json.loads(truth_file.read_text()) if video != "about"]
    files = {video: next((shared / "data/real").glob(f"{video}.*")) for video in (*videos, *FINER)}
    write_sheet(folder, {video: str(path) for video, path in files.items()})
    done = snakemake(folder, config=(SHORTEST,))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "results"


# Those with the finer truth: shots, boxes, people, speech.
FINER = ["cnn_four", "crown_dark", "debate_wide", "hair_two", "makeup", "phone_hi", "vlog_zh"]
VIDEOS = ["debate_split_screen", "interview", "two_in_turn", "one_talker_square", "one_talker_restaurant"]


@pytest.mark.slow
@pytest.mark.parametrize("video", VIDEOS)
def test_labels_of_real_videos_are_right(results, truth_file, video):
    found = by_eye.score(by_eye.read_seen(truth_file, video), read_labels(results, video))
    assert found["clips"]["found"] == found["clips"]["right"], found["clips"]
    assert found["clips"]["kept_wrong"] == 0, found["clips"]
    assert found["people"]["false_person_frames"] == 0, found["people"]
    assert found["words"]["longest_loop"] < 4, found["words"]


@pytest.mark.slow
def test_who_speaks_in_turn_is_right(results, truth_file):
    found = by_eye.score(by_eye.read_seen(truth_file, "two_in_turn"), read_labels(results, "two_in_turn"))["speaking"]
    assert found["accuracy"] >= 0.97
    assert found["confidence_error"] <= 0.08


@pytest.mark.slow
def test_the_reply_of_two_who_speak_in_turn_is_in_the_table(results, truth_file):
    replied, first = (spans[0] for spans in json.loads(truth_file.read_text())["two_in_turn"]["talks"])
    table = tables.read("turns", results / "dataset/turns.parquet")
    (found,) = table[table["video"] == "two_in_turn"].itertuples()
    # The right one begins.
    assert (found.turn_person_in_clip, found.reply_person_in_clip) == (1, 0) and found.turn_clip == found.reply_clip
    assert abs(found.turn_end_s - first[1]) < 0.3 and abs(found.reply_start_s - replied[0]) < 0.3
    assert abs(found.reply_end_s - replied[1]) < 0.3 and found.turn_person_seen == "on_screen"
    listening = tables.read("listening", results / "dataset/listening.parquet")
    heard = listening[listening["video"] == "two_in_turn"]
    assert heard["listener"].tolist() == [found.reply_person, found.turn_person]
    assert (heard["end_s"] - heard["start_s"]).sum() > 7.5


@pytest.fixture(scope="module")
def finer(results, shared, tmp_path_factory) -> dict[str, dict]:
    """What the scorer beside the finer truth says of each of its videos."""
    figures = tmp_path_factory.mktemp("scores") / "scores.json"
    scorer = [shared / "data/real/score_real.py", results, shared / "data/real/truth", "--json", figures]
    subprocess.run([sys.executable, *scorer], check=True)
    return {row["video"]: row for row in json.loads(figures.read_text())}


@pytest.mark.slow
@pytest.mark.parametrize("video", FINER)
def test_clips_cuts_and_faces_are_those_of_the_finer_truth(finer, video):
    row = finer[video]
    assert (row["cuts_found"], row["jump_cuts_found"], row["cuts_false"]) == (row["cuts"], row["jump_cuts"], 0)
    assert row["found"] >= 0.97 * row["boxes"]
    # A kept clip with a false face or other people is wrong.
    assert row["clips_wrong"] == 0, row["details"]
    assert row["clips_found"] == row["clips"], row["details"]
    assert not row["hallucinated"] and row["words_in_silence"] == 0


@pytest.mark.slow
def test_nothing_about_the_truth_is_left_out(truth_file):
    assert set(VIDEOS) == set(json.loads(truth_file.read_text())) - {"about"}
