"""Which files count as damaged since they were made."""

import hashlib
import json
import os
import random
import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from talking.runs import damage
from talking.runs.stages import CLIP_FILES

CLIP = "film_a_000000to000050"


@pytest.fixture
def results(tmp_path):
    """Return results in which two videos' shots are made, half a minute ago."""
    for video in ("a", "b"):
        for folder in ("shots", "benchmarks/shots"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"n": range(100)}).to_parquet(tmp_path / f"shots/{video}.parquet")
        (tmp_path / f"benchmarks/shots/{video}.tsv").write_text("s\n1\n")
    age(tmp_path)
    return tmp_path


def age(results):
    """Make all files half a minute older."""
    for file in results.rglob("*.*"):
        if file.is_file():
            os.utime(file, (file.stat().st_mtime - 30,) * 2)


def made(results, *files, benchmark, content=b"whole"):
    """Write files and then the benchmark of their job, half a minute ago."""
    for file in (*(results / name for name in files), results / f"benchmarks/{benchmark}.tsv"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (file.stat().st_mtime - 30,) * 2)


def damaged(results, videos=("a", "b"), path="film.mp4"):
    """Return what is damaged of some videos, each with what is to be made anew."""
    return damage.damaged(results, pd.DataFrame({"video": list(videos), "path": path}))


def cut(file):
    """Cut a file in half, now."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_what_was_changed_and_cannot_be_read_is_damaged(results):
    assert damaged(results) == {}
    cut(results / "shots/a.parquet")
    assert damaged(results) == {"shots/a.parquet": "shots/a.parquet"}
    # A row that is gone from the sheet needs nothing.
    assert damaged(results, ["b"]) == {}


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_the_look_at_it(results, seed):
    choose = random.Random(seed)
    for name in ("media/a.mp4", "media/a.wav", "media/a.json", "landmarks/a.npz", "tracks/a.parquet"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_bytes(choose.choice([b"null", b"", choose.randbytes(400), b"RIFF" + bytes(60)]))
    data = bytearray((results / "shots/a.parquet").read_bytes())
    data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    (results / "shots/a.parquet").write_bytes(data)
    for stage in ("media", "tracks"):
        (results / "benchmarks" / stage).mkdir()
        (results / f"benchmarks/{stage}/a.tsv").write_text("s\n1\n")
        os.utime(results / f"benchmarks/{stage}/a.tsv", (1, 1))
    assert {"media/a.mp4", "landmarks/a.npz", "tracks/a.parquet"} <= set(damaged(results, ["a"]))


def test_what_can_be_read_was_edited(results):
    pd.DataFrame({"n": [1]}).to_parquet(results / "shots/a.parquet")
    (results / "shots/b.parquet").unlink()
    assert damaged(results) == {}


def test_results_that_were_copied_are_not_read(results, monkeypatch):
    cut(results / "shots/a.parquet")
    cut(results / "shots/b.parquet")
    monkeypatch.setattr(damage, "_MOST", 1)
    assert damaged(results) == {}


def test_a_text_without_its_end_is_damaged(results):
    for folder in ("speech", "benchmarks/diarize"):
        (results / folder).mkdir(parents=True)
    (results / "benchmarks/diarize/a.tsv").write_text("s\n1\n")
    (results / "speech/a.rttm").write_text("SPEAKER a 1 0.0 1.0 <NA> <NA> s1 <NA> <NA>\n")
    os.utime(results / "benchmarks/diarize/a.tsv", (1, 1))
    assert damaged(results, ["a"]) == {}
    # It is not read again, until it is changed again.
    assert (results / "benchmarks/diarize/a.tsv").stat().st_mtime > 1
    os.utime(results / "benchmarks/diarize/a.tsv", (1, 1))
    for text in ("SPEAKER a 1 0.0 1.", "", "\0" * 300 + "\n"):
        (results / "speech/a.rttm").write_text(text)
        assert damaged(results, ["a"]) == {"speech/a.rttm": "speech/a.rttm"}


@pytest.fixture
def clip(results):
    """Return the folder of a kept clip, made half a minute ago; its arrays are none, which nobody reads as long as they are as old."""
    folder = results / "dataset" / CLIP
    made(
        results, *(f"dataset/{CLIP}/{name}" for name in CLIP_FILES), "annotations/a.parquet", benchmark="annotations/a"
    )
    facts = {name: {"sha256": hashlib.sha256(b"whole").hexdigest()} for name in ("video.mp4", "audio.wav")}
    (folder / "meta.json").write_text(json.dumps({"num_frames": 50, "files": facts}))
    (folder / "speakers.json").write_text("{}")
    pd.DataFrame({"video": ["a"], "clip": [CLIP]}).to_parquet(results / "annotations/a.parquet")
    (results / "benchmarks/annotations/a.tsv").write_text("s\n1\n")
    age(results)
    return folder


def test_a_clips_folder_is_made_anew_if_a_file_of_it_is_damaged_or_gone(results, clip):
    assert damaged(results) == {}
    # Changed, but whole: an edit, and pictures that were written again.
    (clip / "speakers.json").write_text('{"people": []}')
    os.utime(clip / "video.mp4")
    assert damaged(results) == {}
    (clip / "speakers.json").write_text('{"people": [')
    (clip / "video.mp4").write_bytes(b"wholf")
    (clip / "sound.npz").unlink()
    anew = {f"dataset/{CLIP}/{name}" for name in ("speakers.json", "video.mp4", "sound.npz")}
    assert damaged(results) == dict.fromkeys(anew, "annotations/a.parquet")
    shutil.rmtree(clip)
    assert damaged(results) == {f"dataset/{CLIP}": "annotations/a.parquet"}


@pytest.mark.parametrize("collected", [{"video": ["a"], "clip": [CLIP]}, {"video": ["b"], "clip": ["other"]}, None])
def test_a_clip_that_is_gone_is_missed_whether_or_not_its_video_was_collected(results, clip, collected):
    if collected:
        # In the second case the row was taken out of the sheet and put back: its folders went meanwhile.
        pd.DataFrame(collected).to_parquet(results / "dataset/clips.parquet")
        made(results, benchmark="dataset")
    shutil.rmtree(clip)
    assert damaged(results, ["a"]) == {f"dataset/{CLIP}": "annotations/a.parquet"}
    # A clip that the video's table does not know any more is not missed.
    pd.DataFrame({"video": [], "clip": []}).to_parquet(results / "annotations/a.parquet")
    os.utime(results / "benchmarks/annotations/a.tsv")
    assert damaged(results, ["a"]) == {}


def test_clips_that_were_copied_are_read_once(results, clip, monkeypatch):
    for file in clip.iterdir():
        os.utime(file)
    (clip / "speakers.json").write_text("{")
    monkeypatch.setattr(damage, "_MOST", 1)
    assert damaged(results) == {}
    monkeypatch.undo()
    assert damaged(results) == {}
    (clip / "speakers.json").write_text("{")
    assert list(damaged(results)) == [f"dataset/{CLIP}/speakers.json"]


def test_a_table_whose_texts_are_none_is_damaged(results, clip):
    table = results / "annotations/a.parquet"
    pd.DataFrame({"video": ["a"], "clip": [CLIP]}).to_parquet(table, compression="none", use_dictionary=False)
    table.write_bytes(table.read_bytes().replace(CLIP.encode(), b"\xff" * len(CLIP)))
    assert damaged(results) == {"annotations/a.parquet": "annotations/a.parquet"}


def probe(results, video, content):
    """Write the probe of a video that was ingested from some bytes."""
    told = {"sha256": hashlib.sha256(content).hexdigest()}
    made(results, f"media/{video}.json", benchmark=f"media/{video}", content=json.dumps(told).encode())


@pytest.mark.parametrize(
    ("path", "source", "benchmark"),
    [("film:f", "films/f.mp4", "films/f"), ("https://x.test/a.mp4", "downloads/a.bin", "downloads/a")],
)
def test_what_was_filmed_or_downloaded_is_known_by_its_sum(results, path, source, benchmark):
    made(results, source, benchmark=benchmark)
    cut(results / source)
    # Nothing was made of it yet.
    assert damaged(results, path=path) == {}
    os.utime(results / f"benchmarks/{benchmark}.tsv", (1, 1))
    probe(results, "a", b"whole")
    assert damaged(results, path=path) == {source: source}
    # One's own film of that name is not the workflow's.
    assert damaged(results, path="f.mp4") == {}
    (results / source).write_bytes(b"whole")
    assert damaged(results, path=path) == {}


def test_a_film_of_two_videos_is_whole_if_either_was_made_of_it(results):
    made(results, "films/f.mp4", benchmark="films/f")
    probe(results, "a", b"before")
    probe(results, "b", b"whole")
    os.utime(results / "films/f.mp4")
    assert damaged(results, path="film:f") == {}


def test_what_covog_has_made_is_looked_at_as_it_is_used(results):
    weights, latents = "covog/covog/stage1/weights.safetensors", "covog/latents/x.safetensors"
    losses = results / "covog/covog/stage1/losses.parquet"

    def found(models=("covog",), with_latents=True):
        for name in ("covog/covog/stage1", "covog/latents"):
            os.utime(results / f"benchmarks/{name}.tsv", (1, 1))
        return damage.damaged_covog(results, models, with_latents)

    made(results, weights, str(losses.relative_to(results)), benchmark="covog/covog/stage1")
    made(results, "covog/latents.done", latents, "covog/latents/.x.1.safetensors", benchmark="covog/latents")
    pd.DataFrame({"loss": [1.0]}).to_parquet(losses)
    for name in (weights, latents):
        save_file({"a": torch.zeros(9), "b": torch.ones(2)}, results / name, {"of": "b"})
    assert found() == {}
    for name in (weights, latents):
        (results / name).write_bytes((results / name).read_bytes()[:-1])
    assert found() == {weights: weights, latents: "covog/latents.done"}
    assert found(models=["baseline"]) == {latents: "covog/latents.done"}
    assert found(with_latents=False) == {weights: weights}
    # Weights without bytes stand for a training that had too few clips, and thus no losses.
    (results / weights).write_bytes(b"")
    assert weights in found()
    pd.DataFrame({"loss": []}).to_parquet(losses)
    assert weights not in found()
