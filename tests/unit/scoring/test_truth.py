"""Truth and labels in files, as the command line takes them."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from conftest import REPO
from known_labels import TURNS, true_labels, truth
from talking.core import tables
from talking.core.errors import InputError
from talking.scoring import labels
from talking.scoring.results import Labels, read_labels
from talking.scoring.truth import read_truth
from talking.speech import turns


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


def test_the_prototype_film_scores_against_itself(shared):
    true = read_truth(*(shared / f"data/filmed/{n}" for n in ("sample.rttm", "sample_boxes.csv", "sample_words.json")))
    tracks = true.boxes.assign(track=true.boxes["person"].astype("category").cat.codes)
    words = true.words.assign(track=pd.array([None] * len(true.words), dtype="Int32"))
    found = labels.score(true, Labels(tracks, turns=true.turns, words=words))
    assert (found["faces"]["recall"], found["faces"]["id_swaps"]) == (1, 0)
    assert found["diarization"]["collar_0.25_each_side"]["error"] == 0
    # Only the two sentences of the voice from off screen are rightly nobody's.
    assert found["words"]["speaker_accuracy"] == pytest.approx(2 / 6)
