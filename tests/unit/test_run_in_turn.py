"""Command lines that run one after the other in one process."""

import os
import subprocess
import sys

import pandas as pd

from conftest import REPO
from talking import tables


def run_in_turn(*words):
    """Run the words as a rule does; return what came of it."""
    command = [sys.executable, "-P", "-m", "run_in_turn", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(REPO / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_second_reads_what_the_first_wrote_with_flags_of_its_own(tmp_path):
    for name in ("faces", "shots"):
        tables.write(name, pd.DataFrame({c.name: [] for c in tables.SCHEMAS[name]}), tmp_path / f"{name}.parquet")
    (tmp_path / "v.mp4").touch()
    media, tracks, marks = tmp_path / "v.mp4", tmp_path / "tracks.parquet", tmp_path / "landmarks.npz"
    read = ("--faces", tmp_path / "faces.parquet", "--shots", tmp_path / "shots.parquet")
    first = ("track_faces", "--media", media, *read, "--tracks", tracks, "--max-missed-frames=9")
    second = ("mark_landmarks", "--media", media, "--tracks", tracks, "--landmarks", marks, "--min-score=0.4")
    done = run_in_turn(*first, "--then", *second)
    assert done.returncode == 0, done.stderr
    assert tables.read("tracks", tracks).empty and marks.stat().st_size > 0


def test_what_fails_ends_it_with_its_own_sentence(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"none")
    bad, out = tmp_path / "bad.parquet", tmp_path / "out.parquet"
    read = ("--transcript", bad, "--turns", bad, "--speaking", bad)
    done = run_in_turn("attribute_words", *read, "--words", out, "--then", "no_such_step")
    assert done.returncode == 1 and "bad.parquet cannot be read" in done.stderr
    assert "Traceback" not in done.stderr and "no_such_step" not in done.stderr


def test_what_is_no_command_line_is_named():
    for name in ("os", "../talking/cli", "talking"):
        done = run_in_turn(name)
        assert done.returncode == 1 and f"{name} is no command line" in done.stderr and "Traceback" not in done.stderr
