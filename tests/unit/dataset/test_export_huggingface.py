"""The export for Hugging Face as Arrow reads it; tests/publish reads it with their library."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from gallery_results import KEPT, make_results
from talking.core import schemas, tables
from talking.dataset import export_huggingface
from talking.dataset.store import Clip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("made")) / "dataset"


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "huggingface"
    export_huggingface.export(dataset, out, export_huggingface.Settings(sound=True))
    return out


def test_a_row_holds_the_files_the_labels_and_everything_measured(dataset, exported):
    table = pq.read_table(exported / "data/train-00000-of-00001.parquet")
    (row,) = table.to_pylist()
    clip = Clip(dataset / KEPT)
    assert row["mp4"] == {"bytes": (clip.path / "video.mp4").read_bytes(), "path": f"{KEPT}.mp4"}
    assert row["wav"]["bytes"] == (clip.path / "audio.wav").read_bytes()
    assert [label["name"] for label in row["labels"]] == ["p000001", "p000002"]
    assert row["labels"][1]["speak"] == [[10, 50]] and row["labels"][1]["face_boxes"][0] == [30, 10, 50, 30]
    assert [(word["word"], word["person"]) for word in row["words"]] == [("hello", 1), ("you", None)]
    points = np.array(row["keypoints"]).reshape(clip.keypoints.shape)
    assert np.array_equal(points, clip.keypoints) and np.array_equal(row["keypoint_scores"], clip.pose_scores)
    assert np.array_equal(row["pose_valid"], clip.pose_valid)
    assert np.allclose(np.array(row["sound"]).reshape(clip.sound.shape), clip.sound)
    known = tables.read("dataset", dataset / "clips.parquet").drop(columns=["bytes", "sha256", "review"])
    assert set(known) < set(row) and row["start_frame"] == 10 and row["persons"] == ["p000001", "p000002"]


def test_turns_and_listening_are_tables_of_their_own(dataset, exported, tmp_path):
    # The listener of the kept clip; p000002 goes on after it.
    (row,) = pq.read_table(exported / "listening/train.parquet").to_pylist()
    assert (row["listener"], row["speaker"], row["clip"], row["start_in_clip"], row["end_in_clip"]) == ("p000001", "p000002", KEPT, 10, 50)  # fmt: skip
    assert len(tables.read("listening", dataset / "listening.parquet")) == 2 and not any((exported / "turns").iterdir())
    again = shutil.copytree(dataset, tmp_path / "dataset")
    turn = {c.name: "" if c.type == "string" else 1 for c in schemas.SCHEMAS["turns"]}
    rows = pd.DataFrame(
        [turn | {"split": split, "gap_s": gap} for split, gap in (("train", 0.5), ("val", -0.1), ("", 2))]
    )
    tables.write("turns", rows, again / "turns.parquet")
    export_huggingface.export(again, tmp_path / "out")
    assert {f.stem: tables.read("turns", f)["gap_s"].tolist() for f in (tmp_path / "out/turns").iterdir()} == {
        "train": [0.5],
        "val": [pytest.approx(-0.1)],
    }
    (first, second), own = (
        yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])["configs"][:2]
        for folder in (tmp_path / "out", exported)
    )
    splits = [{"split": split, "path": f"turns/{split}.parquet"} for split in ("train", "val")]
    assert second == {"config_name": "turns", "description": first["description"], "data_files": splits}
    assert first["description"].startswith("content ") and first["description"] != own[0]["description"]


def test_the_features_are_those_of_the_columns(exported):
    schema = pq.read_schema(exported / "data/train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["mp4"] == {"_type": "Video"} and features["wav"] == {"_type": "Audio", "sampling_rate": 16000}
    assert features["keypoints"] == [[[{"_type": "Value", "dtype": "float32"}]]]
    assert features["words"][0]["start_s"]["dtype"] == "float32" and features["start_frame"]["dtype"] == "int32"
    assert features["pose_valid"] == [[{"_type": "Value", "dtype": "bool"}]]


def test_the_card_begins_with_what_the_hub_reads(exported):
    _, front, card = (exported / "README.md").read_text().split("---\n")
    front = yaml.safe_load(front)
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert front["license"] == "other" and front["license_name"] == "cc0" and front["language"] == ["en"]
    assert card == "# Data card\n"


def test_shards_end_where_they_are_full_and_settings_leave_out_arrays(dataset, tmp_path):
    twice = shutil.copytree(dataset, tmp_path / "dataset")
    rows = tables.read("dataset", twice / "clips.parquet")
    names = [KEPT, *(f"s_v_{a:06d}to{a + 50:06d}" for a in (1000, 2000))]
    for name in names[1:]:
        shutil.copytree(twice / KEPT, twice / name)
    again = rows.loc[[0, 0, 0]].assign(clip=names)
    tables.write("dataset", again, twice / "clips.parquet")
    (twice / "splits/train.json").write_text(json.dumps([{"clip": name} for name in names]))
    export_huggingface.export(twice, tmp_path / "one", export_huggingface.Settings(poses=False))
    files = sorted(file.name for file in (tmp_path / "one/data").iterdir())
    assert files == ["train-00000-of-00001.parquet"]
    table = pq.read_table(tmp_path / "one/data" / files[0])
    assert (
        table["clip"].to_pylist() == names
        and "keypoints" not in table.column_names
        and "sound" not in table.column_names
    )
    # Each clip with its poses is larger than 0.1 MB.
    small = export_huggingface.Settings(max_shard_mb=0.1)
    export_huggingface.export(twice, tmp_path / "many", small)
    files = sorted((tmp_path / "many/data").iterdir())
    assert [file.name for file in files] == [f"train-0000{i}-of-00003.parquet" for i in range(3)]
    assert [pq.read_table(file)["clip"].to_pylist() for file in files] == [[name] for name in names]
