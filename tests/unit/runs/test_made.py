"""The checksums that a job writes of what it has made."""

import subprocess
import sys

import pandas as pd
import pytest

from conftest import REPO
from talking.core import schemas, tables
from talking.core.errors import InputError
from talking.runs import made


@pytest.fixture
def results(tmp_path):
    """Return results below a prefix that itself has a folder of logs."""
    results = tmp_path / "logs/run/results"
    (results / "faces").mkdir(parents=True)
    (results / "faces/v.parquet").write_bytes(b"faces")
    return results


def record(results, place, *outputs, words=()):
    log = results / f"logs/{place}.log"
    command = [sys.executable, REPO / "scripts/record_made.py", log, *(results / output for output in outputs), *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_sha256sum_can_check_what_a_job_has_written(results):
    assert record(results, "faces/v", "faces/v.parquet").returncode == 0
    check = ["sha256sum", "--check", "--strict", "checksums/faces/v.sha256"]
    assert subprocess.run(check, cwd=results, capture_output=True).returncode == 0
    (results / "faces/v.parquet").write_bytes(b"face")
    assert subprocess.run(check, cwd=results, capture_output=True).returncode == 1


def test_all_files_of_a_folder_count_but_hidden_ones(results):
    folder = results / "preview/v"
    for name in ("b.mp4", "a/x.mp4", ".snakemake_timestamp", ".b.123.mp4", ".aside/y.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    made.record(results / "logs/preview/v.log", [folder])
    assert list(made.read(results, "preview/v")) == ["preview/v/b.mp4", "preview/v/a/x.mp4"]


def test_the_folders_of_a_tables_clips_count_too(results):
    columns = {column.name: [] for column in schemas.SCHEMAS["annotations"]}
    row = dict.fromkeys(columns, 0) | {"video": "v", "clip": "s_v_0to50", "files": [], "file_bytes": [], "file_sha256": [], "sha256": ""}  # fmt: skip
    table = results / "annotations/v.parquet"
    tables.write("annotations", pd.DataFrame([row]), table)
    clip = results / "dataset/s_v_0to50/meta.json"
    clip.parent.mkdir(parents=True)
    clip.write_text("{}")
    assert record(results, "annotations/v", "annotations/v.parquet", words=("--clips", table)).returncode == 0
    assert list(made.read(results, "annotations/v")) == ["annotations/v.parquet", "dataset/s_v_0to50/meta.json"]


@pytest.mark.parametrize("place", ["faces/v", "dataset", "covog/covog/stage1", "weights/sapiens/x.pt2"])
def test_a_job_is_known_by_its_logs_place(results, place):
    made.record(results / f"logs/{place}.log", [results / "faces/v.parquet"])
    assert (results / f"checksums/{place}.sha256").exists()
    assert made.places(results) == [place]


def test_a_missing_output_or_a_log_elsewhere_is_named(results, tmp_path):
    done = record(results, "faces/v", "faces/w.parquet")
    assert done.returncode != 0 and "faces/w.parquet is missing" in done.stderr and "Traceback" not in done.stderr
    assert not (results / "checksums").exists()
    with pytest.raises(InputError, match="lies in no folder logs"):
        made.place_of(tmp_path / "v.log")
