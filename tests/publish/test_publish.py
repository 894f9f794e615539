"""What is published, read by the libraries that others read it with: datasets of Hugging Face, mlcroissant."""

import json

import pandas as pd
import pytest

from gallery_results import KEPT, make_results
from talking.core import tables
from talking.dataset import croissant, export_huggingface, protect
from talking.dataset.changes import Version
from talking.dataset.store import Clip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    dataset = make_results(tmp_path_factory.mktemp("made")) / "dataset"
    people = {"person": ["p000001", "p000002"], "split": "train", "num_videos": 1, "num_clips": 1}
    people = pd.DataFrame(people).assign(seconds_on_screen=2.0, seconds_speaking=[0.0, 1.6])
    tables.write("people", people, dataset / "people.parquet")
    inputs = tables.read("videos", dataset.parent / "videos.parquet")
    croissant.write(dataset, inputs, 1, "ask@example.org", Version(2, "ab" * 32))
    return dataset


@pytest.fixture
def loaded(dataset, tmp_path, monkeypatch):
    """Return a function that loads the export with the library's own words; pictures and sound are left as files."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    import datasets

    export_huggingface.export(dataset, tmp_path / "export")

    def load(**more):
        found = datasets.load_dataset(
            str(tmp_path / "export"), split="train", cache_dir=str(tmp_path / "cache"), **more
        )
        assert isinstance(found.features["mp4"], datasets.Video) and found.features["wav"].sampling_rate == 16000
        return found.cast_column("mp4", datasets.Video(decode=False)).cast_column("wav", datasets.Audio(decode=False))

    return load


@pytest.mark.parametrize("streaming", [False, True])
def test_the_export_is_read_with_its_features(loaded, dataset, streaming):
    (row,) = loaded(streaming=streaming)
    clip = Clip(dataset / KEPT)
    assert row["mp4"]["bytes"] == (clip.path / "video.mp4").read_bytes()
    assert row["labels"][1]["speak"] == [[10, 50]] and row["words"][0]["word"] == "hello"
    assert (len(row["keypoints"]), len(row["keypoints"][0]), len(row["keypoints"][0][0])) == (50, 2, 266)


def test_a_later_export_is_not_taken_for_the_one_that_was_read_before(loaded, dataset, tmp_path):
    (before,) = loaded()
    export_huggingface.export(dataset, tmp_path / "export", protection=protect.Settings(protect="all_faces"))
    (after,), (streamed,) = loaded(), loaded(streaming=True)
    assert before["mp4"]["bytes"] != after["mp4"]["bytes"] == streamed["mp4"]["bytes"]
    (again,) = loaded()
    assert again["mp4"]["bytes"] == after["mp4"]["bytes"]


def test_croissant_is_valid_and_reads_the_tables(dataset):
    import mlcroissant

    described = mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))
    assert not described.metadata.issues.errors
    assert described.metadata.version == f"2.0.0+{'ab' * 6}"
    (clip,) = described.records("clips")
    assert clip["clips/clip"] == KEPT.encode() and clip["clips/start_frame"] == 10
    assert {person["people/person"] for person in described.records("people")} == {b"p000001", b"p000002"}


def test_croissant_says_what_a_user_of_personal_data_must_know(dataset):
    described = json.loads((dataset / "croissant.json").read_text())
    assert "ask@example.org" in described["rai:personalSensitiveInformation"]
    for name in ("dataCollection", "dataLimitations", "dataBiases", "dataAnnotationProtocol", "dataUseCases"):
        assert described[f"rai:{name}"]
