"""Videos that break stages: each costs itself only, in the same run, and is tried again by the next one."""

import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from conftest import REPO
from run.workflow import write_sheet
from talking.core import arrays, schemas, tables
from talking.runs import giving_up

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


def per_video_rules():
    """Return {rule: (its outputs, its command lines)} of the rules that make something of one video."""
    found = {}
    for file in sorted((REPO / "workflow/rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", file.read_text(), flags=re.MULTILINE)[1:]:
            outputs = re.search(r"output:\n(.*?)\n    log:", text, re.DOTALL)
            if outputs and "{video}" in outputs[1] and "results/covog" not in outputs[1]:
                commands = re.findall(r"(?:talking|--then) ([a-z-]+) ", text.split("shell:")[1])
                found[re.match(r"rule (\w+)", text)[1]] = re.findall(r'"(results/[^"]+)"', outputs[1]), commands, text
    return found


def test_every_job_of_a_video_gives_up():
    rules = per_video_rules()
    assert len(rules) >= 20
    for name, (_, _, text) in rules.items():
        assert f"|| give_up {name} {{wildcards.video}} {{resources.tries}} {{log:q}} {{output:q}}" in text, name
        assert "tries=this_attempt" in text, name


@pytest.mark.parametrize("rule", per_video_rules())
def test_outputs_without_content_can_be_read(tmp_path, rule):
    outputs = [tmp_path / pattern.format(video="v.1"[:1]) for pattern in per_video_rules()[rule][0]]
    log = tmp_path / "v.log"
    log.write_text("Traceback\nerror: it broke.\n")
    assert giving_up.give_up(tmp_path / "results", "v", rule, 1, log, outputs)
    for output in outputs:
        if output.suffix == ".parquet":
            names = [name for name, columns in schemas.SCHEMAS.items() if pd.read_parquet(output).columns.tolist() == [c.name for c in columns]]  # fmt: skip
            assert names and all(tables.read(name, output).empty for name in names)
        elif output.suffix == ".npz":
            with arrays.opened(output) as found:
                assert not list(found)
        elif output.suffix == ".json":
            assert "it broke." in json.loads(output.read_text())["reason"]
        elif output.suffix:
            assert output.read_bytes() == b""
        else:
            assert output.is_dir()
    [failure] = giving_up.all_of(tmp_path / "results")
    assert failure.reason == f"{rule}: it broke."
    giving_up.forget(tmp_path / "results", failure)
    assert giving_up.all_of(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("status", "log", "message"),
    [
        (1, "Traceback (most recent call last):\nZeroDivisionError: division by zero\n", "ZeroDivisionError: division by zero"),
        (137, "", "it was ended by SIGKILL, most often for want of memory."),
        (139, "half a line", "it was ended by SIGSEGV."),
        (2, "", "it ended with status 2 without a word"),
        (130, "KeyboardInterrupt", None),
        (143, "", None),
        (1, "OSError: [Errno 28] No space left on device", None),
    ],
)  # fmt: skip
def test_what_a_failure_says(tmp_path, status, log, message):
    (tmp_path / "v.log").write_text(log)
    output = tmp_path / "results/shots/v.parquet"
    given_up = giving_up.give_up(tmp_path / "results", "v", "detect_shots", status, tmp_path / "v.log", [output])
    assert given_up == (message is not None) == output.exists()
    assert [failure.message for failure in giving_up.all_of(tmp_path / "results")] == [message] * given_up


def test_a_job_without_a_word_on_a_full_disk_is_no_fault_of_its_video(tmp_path, monkeypatch):
    log = tmp_path / "v.log"
    log.touch()
    job = (tmp_path, "v", "detect_shots", 1, log, [tmp_path / "shots/v.parquet"])
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert not giving_up.give_up(*job)
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    assert giving_up.give_up(*job)


def test_the_first_failure_counts_and_previews_leave_nothing_out(tmp_path):
    (tmp_path / "log").write_text("x\n")
    for video, rule in (("a", "preview_clips"), ("b", "track_faces"), ("b", "find_candidates")):
        giving_up.give_up(tmp_path, video, rule, 1, tmp_path / "log", [tmp_path / f"{rule}/{video}.rttm"])
    found = giving_up.of_videos(tmp_path, ["a", "b", "c"])
    assert {video: failure.rule for video, failure in found.items()} == {"a": "preview_clips", "b": "track_faces"}
    assert giving_up.left_out(tmp_path, ["a", "b", "c"]) == {"b": "track_faces: x"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project whose command lines break on some videos."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("scripts", "workflow", "config", "resources"):
        shutil.copytree(REPO / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "scripts/breaking.py").write_text(BREAKING)
    for rule, (_, commands, _) in per_video_rules().items():
        file = copy / f"scripts/{commands[0].replace('-', '_')}.py"
        file.write_text(file.read_text().replace("\n\n", f"\n\nimport breaking\nbreaking.perhaps({rule!r})\n", 1))
    return copy


@pytest.mark.slow
@pytest.mark.fault(
    "an exception, a crash, a kill or a missing codec in every stage of one video and in a single one of another",
    "told; the data set and report over the others are made in the same run; the next run tries again, outputs equal",
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
    broken = {f.rule for f in giving_up.all_of(results) if f.video == "every_stage"}
    assert broken == set(per_video_rules()) - {"download_video", "preview_clips"}
    assert 'Traceback (most recent call last):\n  File "<frozen' not in printed
    told = tables.read("videos", results / "videos.parquet").set_index("video")
    assert told["status"].to_dict() == {"good": "ok", "every_stage": "failed", "only_transcribe": "failed"}
    assert told.at["every_stage", "reason"].startswith("ingest_media: ")
    assert told.at["only_transcribe", "reason"].startswith("transcribe: ")
    assert told.at["good", "num_clips"] == 1 and told.drop("good")["num_clips"].sum() == 0
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
    told = tables.read("videos", results / "videos.parquet")
    assert (told["status"] == "ok").all() and (told["num_clips"] == 1).all()
    assert giving_up.all_of(results) == []
    code, printed = run("--dry-run")
    assert code == 0 and re.search(r"^total +0$|Nothing to be done", printed, re.MULTILINE)
