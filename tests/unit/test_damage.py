"""Which files count as damaged since they were made."""

import os
import random

import pandas as pd
import pytest

from talking import damage


@pytest.fixture
def results(tmp_path):
    """Return results in which two videos' shots are made, half a minute ago."""
    for video in ("a", "b"):
        for folder in ("shots", "benchmarks/shots"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"n": range(100)}).to_parquet(tmp_path / f"shots/{video}.parquet")
        (tmp_path / f"benchmarks/shots/{video}.tsv").write_text("s\n1\n")
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (file.stat().st_mtime - 30,) * 2)
    return tmp_path


def cut(file):
    """Cut a file in half, now."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_what_was_changed_and_cannot_be_read_is_damaged(results):
    assert damage.damaged(results, ["a", "b"]) == []
    cut(results / "shots/a.parquet")
    assert damage.damaged(results, ["a", "b"]) == ["shots/a.parquet"]
    # A row that is gone from the sheet needs nothing.
    assert damage.damaged(results, ["b"]) == []


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_the_look_at_it(results, seed):
    choose = random.Random(seed)
    for name in ("media/a.mp4", "media/a.wav", "media/a.json", "landmarks/a.npz", "tracks/a.parquet"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_bytes(choose.choice([b"null", b"", choose.randbytes(400), b"RIFF" + bytes(60)]))
    data = bytearray((results / "shots/a.parquet").read_bytes())
    data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    (results / "shots/a.parquet").write_bytes(data)
    for stage in ("ingest", "tracks"):
        (results / "benchmarks" / stage).mkdir()
        (results / f"benchmarks/{stage}/a.tsv").write_text("s\n1\n")
        os.utime(results / f"benchmarks/{stage}/a.tsv", (1, 1))
    assert {"media/a.mp4", "landmarks/a.npz", "tracks/a.parquet"} <= set(damage.damaged(results, ["a"]))


def test_what_can_be_read_was_edited(results):
    pd.DataFrame({"n": [1]}).to_parquet(results / "shots/a.parquet")
    (results / "shots/b.parquet").unlink()
    assert damage.damaged(results, ["a", "b"]) == []


def test_results_that_were_copied_are_not_read(results, monkeypatch):
    cut(results / "shots/a.parquet")
    cut(results / "shots/b.parquet")
    monkeypatch.setattr(damage, "_MOST", 1)
    assert damage.damaged(results, ["a", "b"]) == []


def test_a_text_without_its_end_is_damaged(results):
    for folder in ("speech", "benchmarks/diarize"):
        (results / folder).mkdir(parents=True)
    (results / "benchmarks/diarize/a.tsv").write_text("s\n1\n")
    (results / "speech/a.rttm").write_text("SPEAKER a 1 0.0 1.0 <NA> <NA> s1 <NA> <NA>\n")
    os.utime(results / "benchmarks/diarize/a.tsv", (1, 1))
    assert damage.damaged(results, ["a"]) == []
    # It is not read again, until it is changed again.
    assert (results / "benchmarks/diarize/a.tsv").stat().st_mtime > 1
    os.utime(results / "benchmarks/diarize/a.tsv", (1, 1))
    for damaged in ("SPEAKER a 1 0.0 1.", "", "\0" * 300 + "\n"):
        (results / "speech/a.rttm").write_text(damaged)
        assert damage.damaged(results, ["a"]) == ["speech/a.rttm"]
