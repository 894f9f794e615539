"""All command lines as one: `talking COMMAND`, from a clone and installed."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from conftest import REPO
from talking.core import schemas, tables


def talking(*words, python=()):
    """Run the words as a rule does, with further options of `python`; return what came of it."""
    command = [sys.executable, *python, "-P", "-m", "talking", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(REPO / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_second_reads_what_the_first_wrote_with_flags_of_its_own(tmp_path):
    for name in ("faces", "shots"):
        tables.write(name, pd.DataFrame({c.name: [] for c in schemas.SCHEMAS[name]}), tmp_path / f"{name}.parquet")
    (tmp_path / "v.mp4").touch()
    media, tracks, marks = tmp_path / "v.mp4", tmp_path / "tracks.parquet", tmp_path / "landmarks.npz"
    read = ("--faces", tmp_path / "faces.parquet", "--shots", tmp_path / "shots.parquet")
    first = ("track-faces", "--media", media, *read, "--tracks", tracks, "--max-missed-frames=9")
    second = ("mark-landmarks", "--media", media, "--tracks", tracks, "--landmarks", marks, "--min-score=0.4")
    done = talking(*first, "--then", *second)
    assert done.returncode == 0, done.stderr
    assert tables.read("tracks", tracks).empty and marks.stat().st_size > 0


def test_what_fails_ends_it_with_its_own_sentence(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"none")
    bad, out = tmp_path / "bad.parquet", tmp_path / "out.parquet"
    read = ("--transcript", bad, "--turns", bad, "--speaking", bad)
    done = talking("attribute-words", *read, "--words", out, "--then", "no-such-step")
    assert done.returncode == 1 and "bad.parquet cannot be read" in done.stderr
    assert "Traceback" not in done.stderr and "no-such-step" not in done.stderr


def test_what_is_no_command_is_named():
    for name in ("os", "../talking/core/cli", "detect_faces"):
        done = talking(name)
        assert done.returncode == 1 and f"{name} is no command" in done.stderr and "Traceback" not in done.stderr


def test_a_python_without_the_packages_says_what_to_do():
    done = talking("select-clips", "--help", python=["-S"])  # without site-packages
    assert done.returncode == 1 and re.search(r"lacks the package \w+; run `source", done.stderr)
    assert "Traceback" not in done.stderr


def test_help_lists_every_command_line_with_its_sentence():
    printed = talking("--help").stdout
    files = list((REPO / "scripts").glob("*.py"))
    assert len(files) > 40
    for file in files:
        assert re.search(rf"^  {file.stem.replace('_', '-')} +[A-Z].*\.$", printed, re.MULTILINE), file


def test_help_shows_the_defaults_that_say_something():
    printed = " ".join(talking("embed-sound", "--help").stdout.split())
    assert printed.startswith("usage: talking embed-sound [-h]")
    assert "(default: whisper_tiny_en)" in printed and "(default: mixed)" in printed
    assert "(default: )" not in printed and "(default: None)" not in printed


@pytest.mark.slow
def test_installed_it_is_the_same(tmp_path):
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    source = tmp_path / "project"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source / name)
    shutil.copytree(REPO / "scripts", source / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([*install, "--target", tmp_path / "site", source], check=True, capture_output=True)
    command, environment = tmp_path / "site/bin/talking", os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    for words in (["--help"], ["detect-shots", "--help"], ["describe-accuracy", "--help"]):
        installed = subprocess.run([command, *words], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert installed.returncode == 0 and installed.stdout == talking(*words).stdout
    files = [file for package in ("talking", "covog") for file in (REPO / "scripts" / package).rglob("*.*")]
    packaged = {file.relative_to(REPO / "scripts") for file in files if file.is_file() and file.suffix != ".pyc"}
    assert {file for file in packaged if not (tmp_path / "site" / file).is_file()} == set()
