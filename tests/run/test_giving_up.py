"""What a job that gives up its video says and leaves behind."""

import json
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest

from conftest import REPO
from run.stages import per_video_rules
from talking.core import arrays, schemas, tables
from talking.runs import giving_up, made


def test_every_job_of_a_video_gives_up_and_is_run_again():
    rules = per_video_rules()
    assert len(rules) >= 20
    for name, (_, _, text) in rules.items():
        assert f"|| talking give-up $? {name} {{wildcards.video}} {{resources.tries}} {{log:q}} {{output:q}}" in text
        place = re.search(r'"results/logs/(\w+)/\{video\}\.log"', text)[1]
        assert f'failures=times_failed("{place}")' in text and "tries=this_attempt" in text, name
        assert " --then record-made {log:q} {output:q}" in text, name


@pytest.fixture
def log(tmp_path):
    """Return the log of a job on the video v."""
    log = tmp_path / "results/logs/shots/v.log"
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\nerror: it broke.\n")
    return log


@pytest.mark.parametrize("rule", per_video_rules())
def test_outputs_without_content_can_be_read(tmp_path, log, rule):
    outputs = [tmp_path / pattern.format(video="v.1"[:1]) for pattern in per_video_rules()[rule][0]]
    assert giving_up.give_up(log, "v", rule, 1, outputs)
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
    [failure] = giving_up.all_of(tmp_path / "results").values()
    assert failure.reason == f"{rule}: it broke."


def test_a_job_is_counted_each_time_and_has_passed_once_it_succeeds(tmp_path, log):
    results, output = tmp_path / "results", tmp_path / "results/shots/v.parquet"

    def state():
        return (
            giving_up.times(results).get("shots/v", 0),
            [f.video for f in giving_up.all_of(results).values()],
            made.places(results),
        )

    def succeed():
        output.write_bytes(b"shots")
        subprocess.run([sys.executable, REPO / "scripts/record_made.py", log, output], check=True)

    assert state() == (0, [], [])
    giving_up.give_up(log, "v", "detect_shots", 1, [output])
    assert state() == (1, ["v"], [])
    succeed()
    assert state() == (1, [], ["shots/v"])
    # Made again, with other settings: the checksums of what was there are no longer those of the file.
    giving_up.give_up(log, "v", "detect_shots", 1, [output])
    assert state() == (2, ["v"], [])
    assert giving_up.of_videos(results, {"v"}, since=time.time() + 1) == {}
    succeed()
    assert state() == (2, [], ["shots/v"])


@pytest.mark.parametrize(("attempt", "status"), [(1, 7), (2, 0)])
def test_only_the_last_attempt_gives_up(tmp_path, log, attempt, status):
    words = ["7", "detect_shots", "v", str(attempt), log, tmp_path / "results/shots/v.parquet"]
    done = subprocess.run(
        [sys.executable, REPO / "scripts/give_up.py", *words], env=os.environ | {"TALKING_RETRIES": "1"}
    )
    assert done.returncode == status and len(giving_up.all_of(tmp_path / "results")) == int(status == 0)


@pytest.mark.parametrize(
    ("status", "written", "message"),
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
def test_what_a_failure_says(tmp_path, log, status, written, message):
    log.write_text(written)
    output = tmp_path / "results/shots/v.parquet"
    given_up = giving_up.give_up(log, "v", "detect_shots", status, [output])
    assert given_up == (message is not None) == output.exists()
    assert [failure.message for failure in giving_up.all_of(tmp_path / "results").values()] == [message] * given_up


@pytest.mark.parametrize(
    "written", ["", "Traceback (most recent call last):\nsoundfile.LibsndfileError: System error.\n"]
)
def test_a_job_that_does_not_say_why_on_a_full_disk_is_no_fault_of_its_video(tmp_path, log, monkeypatch, written):
    log.write_text(written)
    job = (log, "v", "detect_shots", 1, [tmp_path / "results/shots/v.parquet"])
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert not giving_up.give_up(*job)
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    assert giving_up.give_up(*job)


def test_a_video_that_is_explained_is_given_up_on_a_full_disk_too(tmp_path, log, monkeypatch):
    log.write_text("error: v.mp4 has no pictures.\n")
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert giving_up.give_up(log, "v", "detect_shots", 1, [tmp_path / "results/shots/v.parquet"])


def test_the_first_failure_counts_and_only_of_what_a_job_is_made_of(tmp_path):
    failures = (
        ("a", "preview", "preview_clips"),
        ("b", "tracks", "track_faces"),
        ("b", "candidates", "find_candidates"),
    )
    for video, place, rule in (*failures, ("c", "annotations", "annotate_clips")):
        log = tmp_path / f"logs/{place}/{video}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("x\n")
        giving_up.give_up(log, video, rule, 1, [tmp_path / f"{place}/{video}.rttm"])
    found = giving_up.of_videos(tmp_path, set("abcd"))
    assert {video: failure.rule for video, failure in found.items()} == {
        "a": "preview_clips", "b": "track_faces", "c": "annotate_clips"
    }  # fmt: skip
    assert giving_up.left_out(tmp_path, set("abc"), "dataset") == {"b": "track_faces: x", "c": "annotate_clips: x"}
    # Its own failure is that of an earlier run.
    assert giving_up.left_out(tmp_path, {"c"}, "annotations") == {}
    assert giving_up.left_out(tmp_path, set("abc"), "identities") == {"b": "track_faces: x"}
