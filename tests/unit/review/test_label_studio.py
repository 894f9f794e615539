"""Clips as tasks of Label Studio, and its annotations as decisions."""

import copy
import json
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from conftest import REPO
from gallery_results import KEPT, make_results
from talking.core.errors import InputError
from talking.dataset.store import Clip
from talking.review import decisions, label_studio


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("made")) / "dataset"


@pytest.fixture
def task(dataset):
    clip = Clip(dataset / KEPT)
    return label_studio.task(clip.meta, clip.speakers, ["a", "b"], "http://x.test/dataset/")


def annotated(task, tmp_path, result, **more):
    annotation = {
        "completed_by": {"email": "ann@x.test"},
        "created_at": "2026-11-28T10:00:00.5Z",
        "result": result,
    } | more
    (tmp_path / "export.json").write_text(json.dumps([task | {"annotations": [annotation]}]))
    return tmp_path / "export.json"


def test_a_task_has_the_video_and_what_the_models_say(task):
    assert task["data"]["video"] == f"http://x.test/dataset/{KEPT}/video.mp4"
    (result,) = task["predictions"][0]["result"]
    # Frames 10 to 50 of the clip, counted from 1, the last one in the range.
    assert result["value"] == {"ranges": [{"start": 11, "end": 50}], "timelinelabels": ["person 1"]}
    controls = {e.get("name"): e.tag for e in xml.etree.ElementTree.fromstring(label_studio.interface(2)).iter()}
    assert controls[result["from_name"]] == "TimelineLabels" and controls[result["to_name"]] == "Video"


def test_the_interface_has_a_label_for_everybody_of_a_task():
    labels = [e.get("value") for e in xml.etree.ElementTree.fromstring(label_studio.interface(9)).iter("Label")]
    assert labels == [f"person {i}" for i in range(9)]


def test_what_an_annotator_changes_becomes_decisions(task, tmp_path):
    result = copy.deepcopy(task["predictions"][0]["result"])
    result[0]["value"]["ranges"] = [{"start": 16, "end": 50}]
    first = {
        "from_name": "speaking",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["person 0"]},
    }
    choice = {"from_name": "decision", "type": "choices", "value": {"choices": ["keep"]}}
    note = {"from_name": "note", "type": "textarea", "value": {"text": ["well", "done"]}}
    found = label_studio.read(annotated(task, tmp_path, [*result, first, choice, note]))
    assert [(d.field, d.value, d.start_s, d.end_s) for d in found] == [
        ("decision", "keep", 0.4, 2.4),
        ("note", "well done", 0.4, 2.4),
        ("speaking", "yes", 0.4, 0.6),
        ("speaking", "no", 0.8, 1.0),
    ]
    # The clip's person 1 is 20 px wide at 30, 10 of 160 x 120.
    assert found[3].face == decisions.Face(0.4, 0.25, 0.1667) and {d.who for d in found} == {"ann@x.test"}
    decisions.write(found, tmp_path / "review.tsv")
    assert decisions.read(tmp_path / "review.tsv") == found


def test_an_annotation_without_a_timeline_or_one_that_was_skipped_changes_no_speech(task, tmp_path):
    choice = {"from_name": "labels", "type": "choices", "value": {"choices": ["right"]}}
    assert [d.field for d in label_studio.read(annotated(task, tmp_path, [choice]))] == ["labels"]
    assert label_studio.read(annotated(task, tmp_path, [choice], was_cancelled=True)) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "cannot be read as JSON"), ("{}", "no list of tasks"), ('[{"annotations": [{}]}]', "task 1")],
)
def test_a_bad_export_is_named_in_one_sentence(tmp_path, content, said):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(InputError, match=said):
        label_studio.read(tmp_path / "export.json")


def test_the_command_lines_go_round(dataset, tmp_path):
    def run(script, *words):
        command = [sys.executable, REPO / "scripts" / script, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("export_label_studio.py", "--dataset", dataset, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    drop = {"from_name": "decision", "type": "choices", "value": {"choices": ["drop"]}}
    words = ["--annotations", annotated(task, tmp_path, [drop]), "--review", tmp_path / "review.tsv"]
    assert "1 decisions added" in run("import_label_studio.py", *words).stdout
    assert "0 decisions added" in run("import_label_studio.py", *words).stdout
    assert [d.value for d in decisions.read(tmp_path / "review.tsv")] == ["drop"]
    before = (tmp_path / "review.tsv").read_bytes()
    drop["value"]["choices"] = ["maybe"]
    annotated(task, tmp_path, [drop])
    done = run("import_label_studio.py", *words)
    assert done.returncode == 1 and "must be keep or drop" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "review.tsv").read_bytes() == before
