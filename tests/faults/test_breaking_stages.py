"""Videos that break stages: each costs itself only, in the same run, and is tried again by the next one."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import REPO
from run.stages import per_video_rules
from run.workflow import write_sheet
from talking.core import tables
from talking.runs import giving_up

pytestmark = pytest.mark.slow

FILM = "--seed 5 --people 2 --width 320 --height 180 --shots 1,2:6:close".split()
# What happens to a job that meets its video: by turns.
BREAKING = '''
import os, signal, sys
from pathlib import Path

WAYS = [
    lambda: 1 / 0,
    lambda: os.kill(os.getpid(), signal.SIGSEGV),
    lambda: sys.exit("error: the codec is missing"),
    lambda: os.kill(os.getpid(), signal.SIGKILL),
]


def perhaps(name):
    """Break if the command line is about a video that is to break here."""
    words = " ".join(sys.argv[1:])
    is_meant = "every_stage" in words or f"only_{name}" in words
    if is_meant and not Path("mended").exists():
        WAYS[len(name) % len(WAYS)]()
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project whose command lines break on some videos."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("scripts", "workflow", "config"):
        shutil.copytree(REPO / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "scripts/breaking.py").write_text(BREAKING)
    for rule, (_, commands, _) in per_video_rules().items():
        file = copy / f"scripts/{commands[0].replace('-', '_')}.py"
        file.write_text(file.read_text().replace("\n\n", f"\n\nimport breaking\nbreaking.perhaps({rule!r})\n", 1))
    return copy


@pytest.mark.fault(
    "an exception, a crash, a kill or a missing codec in every stage of one video and in one stage of another",
    "reported; the same run makes the data set and report of the others; the next run tries again, outputs equal",
)
def test_videos_that_break_stages_cost_no_other(project, tmp_path):
    film = tmp_path / "talk.mp4"
    subprocess.run([sys.executable, REPO / "scripts/film_conversation.py", "--out", film, *FILM], check=True)
    videos = ["good", "every_stage", "only_transcribe"]
    for video in videos:
        # Not the same pictures and sound, which would be duplicates: no, the first counts.
        os.link(film, tmp_path / f"{video}.mp4")
    write_sheet(tmp_path, {video: tmp_path / f"{video}.mp4" for video in videos})

    def run(*words):
        command = [sys.executable, "-m", "snakemake", *words, "--cores", "2", "--directory", tmp_path, "--config"]
        command += [f"videos={tmp_path / 'videos.tsv'}", "covog={train: never}"]
        done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    code, printed = run()
    assert code != 0 and "Error in rule check_failures" in printed, printed[-3000:]
    results = tmp_path / "results"
    broken = {f.rule for f in giving_up.all_of(results).values() if f.video == "every_stage"}
    assert broken == set(per_video_rules()) - {"download_video", "preview_clips", "restore_media"}
    assert 'Traceback (most recent call last):\n  File "<frozen' not in printed
    videos = tables.read("videos", results / "videos.parquet").set_index("video")
    assert videos["status"].to_dict() == {"good": "ok", "every_stage": "failed", "only_transcribe": "failed"}
    assert videos.at["every_stage", "reason"].startswith("ingest_media: ")
    assert videos.at["only_transcribe", "reason"].startswith("transcribe: ")
    assert videos.at["good", "num_clips"] == 1 and videos.drop("good")["num_clips"].sum() == 0
    clips = tables.read("dataset", results / "dataset/clips.parquet")
    assert clips["video"].tolist() == ["good"] and (clips["duplicate_of"] == "").all()
    folders = [f.name for f in (results / "dataset").glob("*to*")]
    assert folders == clips["clip"].tolist()
    assert "every_stage" in (results / "report/inputs.html").read_text() and (results / "report.html").exists()
    assert "Video every_stage: failed: ingest_media: " in printed
    assert "2 of 3 videos failed and are left out" in printed and "The next run tries them again" in printed
    kept = {file: file.read_bytes() for file in results.glob("*/good.*") if file.is_file()}

    code, printed = run("--dry-run", "--quiet", "host")
    assert code == 0 and broken <= set(re.findall(r"^rule (\w+):", printed, re.MULTILINE))

    (tmp_path / "mended").touch()
    code, printed = run()
    assert code == 0, printed[-3000:]
    made = set(re.findall(r"^    output: results/\w+/(\w+)\.", printed, re.MULTILINE))
    assert "good" not in made and {"every_stage", "only_transcribe"} <= made
    assert {file: file.read_bytes() for file in kept} == kept
    videos = tables.read("videos", results / "videos.parquet")
    assert (videos["status"] == "ok").all() and (videos["num_clips"] == 1).all()
    assert giving_up.all_of(results) == {}
    code, printed = run("--dry-run")
    assert code == 0 and re.search(r"^total +0$|Nothing to be done", printed, re.MULTILINE)
