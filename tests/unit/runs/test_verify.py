"""Which files of the store are damaged, and what is removed with them."""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import pandas as pd
import pyarrow as pa
import pytest

from conftest import REPO
from talking.core import schemas, tables
from talking.dataset import store
from talking.runs import giving_up, made, verify

CLIP = "dataset/s_a_0to50"
JOBS = {
    "downloads/a": ["downloads/a.bin", "downloads/a.json"],
    "media/a": ["media/a.mp4", "media/a.wav", "media/a.json"],
    "shots/a": ["shots/a.parquet"],
    "tracks/a": ["tracks/a.parquet", "landmarks/a.npz"],
    "poses/a": ["poses/a.npz"],
    "annotations/a": ["speech/a.words.parquet", "annotations/a.parquet", f"{CLIP}/video.mp4", f"{CLIP}/poses.npz"],
    "poses/b": ["poses/b.npz"],
    "annotations/b": ["annotations/b.parquet"],
    "identities": ["identities.parquet"],
    "dataset": ["dataset/clips.parquet", "dataset/splits/train.json", "videos.parquet"],
    "failures": ["no_failures.ok"],
    "preview/a": ["preview/a/clip.mp4"],
    "weights/x.onnx": ["weights/x.onnx"],
    "covog/latents": ["covog/latents/c.safetensors", "covog/latents/d.safetensors"],
    "covog/covog/stage1": ["covog/covog/stage1/weights.safetensors", "covog/covog/stage1/losses.parquet"],
    "covog/covog/stage2": ["covog/covog/stage2/weights.safetensors"],
    "covog/evaluate": ["covog/metrics.parquet", "covog/videos/covog/c.mp4"],
}


@pytest.fixture
def results(tmp_path):
    """Return results of two videos and a trained model, as their jobs have left them."""
    results = tmp_path / "results"
    for place, files in JOBS.items():
        for name in files:
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            (results / name).write_text(f"content of {name}")
        made.record(results / f"logs/{place}.log", [results / name for name in files])
    (results / "covog/latents.done").touch()
    (results / "dataset/splits.tsv").write_text("what earlier runs remembered")
    return results


def damaged(results):
    """Return the damaged files and what is wrong with them."""
    return {fault.file: fault.what for fault in verify.check(results, threads=2)}


def run(results, *words):
    """Run the command line; return its status and the lines that it printed."""
    command = [sys.executable, REPO / "scripts/verify_store.py", "--results", results, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def left(results):
    """Return the files that are there, without the checksums."""
    return {str(f.relative_to(results)) for f in results.rglob("*") if f.is_file() and "checksums" not in f.parts}


def test_what_is_as_it_was_made_is_whole(results):
    assert damaged(results) == {} and verify.of_the_future(results) == []
    assert run(results)[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_any_other_byte_is_damage(results, seed):
    choose = random.Random(seed)
    file = choose.choice([file for files in JOBS.values() for file in files])
    data = bytearray((results / file).read_bytes())
    if choose.random() < 0.5:
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    else:
        del data[choose.randrange(len(data)) :]
    (results / file).write_bytes(data)
    assert list(damaged(results)) == [file]


def test_a_file_that_snakemake_knows_may_be_away_and_one_of_a_folder_may_not(results):
    for file in ("landmarks/a.npz", "downloads/a.bin", "media/a.mp4", "identities.parquet", "annotations/b.parquet"):
        (results / file).unlink()
    assert damaged(results) == {}
    files = (f"{CLIP}/poses.npz", "preview/a/clip.mp4", "covog/latents/c.safetensors", "covog/videos/covog/c.mp4")
    for file in files:
        (results / file).unlink()
    assert damaged(results) == dict.fromkeys(files, "is gone")
    # Without what Snakemake knows of their jobs they are nothing to miss.
    for known in ("annotations/a.parquet", "covog/latents.done"):
        (results / known).unlink()
    for folder in ("preview/a", "covog/videos"):
        shutil.rmtree(results / folder)
    assert damaged(results) == {}


def test_the_damaged_are_removed_with_what_was_made_of_them(results):
    (results / "poses/a.npz").write_text("other")
    status, printed = run(results)
    assert status == 1 and f"{results}/poses/a.npz is not what its job has made." in printed
    assert "poses/a" in printed.splitlines()[-1] and left(results) >= set(JOBS["poses/a"])
    status, printed = run(results, "--remove")
    assert status == 0
    gone = ("poses/a", "annotations/a", "dataset", "failures", "preview/a")
    before = {file for files in JOBS.values() for file in files} | {"covog/latents.done", "dataset/splits.tsv"}
    assert left(results) == before - {file for place in gone for file in JOBS[place]}
    assert not (results / CLIP).exists() and not (results / "preview/a").exists()
    assert set(made.places(results)) == JOBS.keys() - set(gone)
    status, printed = run(results)
    assert status == 0 and printed.startswith("0 damaged files, ") and printed.count("\n") == 1


def test_a_removal_that_was_ended_is_gone_on_with(results):
    (results / "poses/a.npz").write_text("other")
    places = verify.removal(results, ["poses/a"])
    assert places[0] in ("preview/a", "failures") and places[-1] == "poses/a"
    for place in places[:-1]:
        verify.remove(results, place, [])
        assert "poses/a.npz" in damaged(results)


def test_a_table_over_all_takes_no_video_and_no_model_with_it(results):
    (results / "dataset/clips.parquet").write_text("other")
    assert set(verify.removal(results, ["dataset"])) == {"dataset", "failures", "preview/a"}


def test_sources_weights_and_latents_are_removed_alone(results):
    for file in ("downloads/a.bin", "weights/x.onnx", "covog/latents/c.safetensors"):
        (results / file).write_text("other")
    before = left(results)
    status, printed = run(results, "--remove")
    assert status == 0
    assert (
        "downloads/a.bin is not the file any more of which media/a.mp4 was made: put that back or delete it" in printed
    )
    assert before - left(results) == {
        *("downloads/a.bin", "weights/x.onnx", "covog/latents/c.safetensors", "covog/latents.done")
    }


def test_damaged_checksums_cost_what_their_job_has_made(results):
    (results / "checksums/poses/a.sha256").write_bytes(b"\xff\x00")
    assert "cannot be read" in damaged(results)["checksums/poses/a.sha256"]
    assert run(results, "--remove")[0] == 0
    assert "poses/a.npz" not in left(results) and "poses/b.npz" in left(results)


def test_a_model_is_removed_as_its_own_file_is_damaged_and_its_data_set_is_there(results, tmp_path):
    (results / "covog/covog/stage1/weights.safetensors").write_text("other")
    provenance = results / "covog/covog/stage2/provenance.json"
    (results / "dataset/splits/train.json").write_text("[]")

    def trained_on(digest):
        provenance.write_text(json.dumps({"data_set_sha256": digest}))

    row = {column.name: "" if column.type == pa.string() else 0 for column in schemas.SCHEMAS["videos"]}
    tables.write("videos", pd.DataFrame([row | {"video": "a"}]), results / "videos.parquet")
    trained_on("0" * 64)
    made.record(results / "logs/dataset.log", [results / file for file in JOBS["dataset"]])
    status, printed = run(results, "--remove")
    assert status == 1 and "covog/covog/stage1 is not removed: the data set is not the one" in printed
    trained_on(store.data_set_hash(results / "dataset"))
    for videos, is_kept in (("ab", True), ("a", False)):
        sheet = tmp_path / "videos.tsv"
        sheet.write_text("video\tpath\tsource\tlicence\n" + "".join(f"{v}\tx.mp4\ts\tCC0\n" for v in videos))
        status, printed = run(results, "--remove", "--sheet", sheet)
        assert status == int(is_kept) and ("is not removed" in printed) == is_kept, printed
    gone = {file for place in ("covog/covog/stage1", "covog/covog/stage2", "covog/evaluate") for file in JOBS[place]}
    assert not gone & left(results) and "covog/latents.done" in left(results)
    assert set(JOBS["dataset"]) <= left(results)


def test_what_cannot_be_ingested_again_is_kept(results, tmp_path):
    (results / "media/a.mp4").write_text("other")
    sheet = tmp_path / "videos.tsv"
    sheet.write_text("video\tpath\tsource\tlicence\na\tmine.mp4\ts\tCC0\n")
    before = left(results)
    status, printed = run(results, "--remove", "--sheet", sheet)
    assert status == 1 and "mine.mp4 is not there any more" in printed and left(results) == before
    (tmp_path / "mine.mp4").touch()
    assert run(results, "--remove", "--sheet", sheet)[0] == 0
    assert not {"media/a.mp4", "shots/a.parquet", "identities.parquet"} & left(results)


def test_what_was_given_up_is_no_damage_and_is_removed_with_what_was_made_of_it(results):
    for place, rule, output in (
        ("poses/a", "estimate_poses", "poses/a.npz"),
        ("preview/b", "preview_clips", "preview/b"),
    ):
        log = results / f"logs/{place}.log"
        log.parent.mkdir(parents=True)
        log.write_text("error: it broke.\n")
        giving_up.give_up(log, place[-1], rule, 1, [results / output])
    status, printed = run(results)
    assert status == 0 and f"{results}/poses/a.npz was given up: estimate_poses: it broke." in printed
    assert run(results, "--remove")[0] == 0
    assert not {"poses/a.npz", "annotations/a.parquet", "no_failures.ok"} & left(results)
    assert "poses/b.npz" in left(results) and not (results / "preview/b").exists()
    # They stay failures until their jobs have succeeded.
    assert giving_up.all_of(results).keys() == {"poses/a", "preview/b"}


def test_times_of_the_future_become_the_present(results):
    for file in ("poses/a.npz", "no_failures.ok"):
        os.utime(results / file, (time.time() + 3600,) * 2)
    assert verify.of_the_future(results) == ["no_failures.ok", "poses/a.npz"]
    status, printed = run(results)
    assert status == 1 and "poses/a.npz has a time in the future." in printed
    assert run(results, "--remove")[0] == 0 and verify.of_the_future(results) == []
    assert (results / "poses/a.npz").stat().st_mtime == (results / "no_failures.ok").stat().st_mtime
