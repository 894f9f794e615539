"""How far a run is, told from its files."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import REPO
from talking.runs import costs, giving_up, status, throughput
from talking.runs.stages import STAGES, files_of
from talking.runs.throughput import Pace


@pytest.fixture
def results(tmp_path):
    """Return results in which each of five videos is in another state."""
    results = tmp_path / "results"

    def make(video, stages, **probe):
        for stage in stages:
            file = results / files_of(stage, video)[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"status": "ok", "reason": "", "duration_s": 1800.0, **probe}))

    make("finished", STAGES)
    make("text", STAGES, status="failed", reason="text.mp4 is no video.", duration_s=0.0)
    make("broken", ["media", "shots"])
    (results / "logs/faces").mkdir(parents=True)
    log = results / "logs/faces/broken.log"
    log.write_text("some words\nerror: no memory\n")
    giving_up.give_up(log, "broken", "detect_faces", 1, [results / "faces/broken.parquet"])
    make("now", ["media", "shots"])
    (results / "logs/faces/now.log").write_text("faces: 10 %\r20 %\n")
    return results


def test_every_state_is_told_with_its_reason(results):
    found = {v.video: v for v in status.videos(results, ["finished", "text", "broken", "now", "later"])}
    states = {"finished": "done", "text": "unusable", "broken": "failed", "now": "begun", "later": "left"}
    assert {video: v.state for video, v in found.items()} == states
    assert found["text"].reason == "text.mp4 is no video."
    assert found["broken"].reason == "detect_faces: no memory" and found["broken"].failed == ["faces"]
    assert found["now"].reason.startswith("faces: 20 % (") and found["now"].begun == ["faces"]
    assert found["now"].done == {"media", "shots"}


def test_stages_tell_videos_hours_and_work(results):
    found = status.videos(results, ["finished", "broken", "later"])
    table = [line.split("\t") for line in status.by_stage(found, Pace(dict.fromkeys(STAGES, 2), 4)).splitlines()]
    rows = {row[0]: row[1:] for row in table}
    # Of 3 videos of half an hour 2 have shots; the third's length is not known yet; a second of video takes two.
    assert rows["shots"] == ["2", "1.0", "0", "0", "1", "0.5", "1.0", "0.2"]
    assert rows["faces"] == ["1", "0.5", "0", "1", "2", "1.0", "2.0", "0.5"]
    # Four jobs run at a time.
    work = 2 * 1.0 + (len(STAGES) - 2) * 2.0
    assert [float(hours) for hours in rows["all"][-2:]] == [work, work / 4]


def test_the_pace_is_that_of_the_jobs_that_ended_lately(results):
    now = 1_000_000
    # Two jobs side by side for ten minutes, up to now; one of another stage hours ago.
    for stage, video, ended, took in [
        *[("shots", "finished", now, 600), ("shots", "broken", now, 600)],
        ("faces", "finished", now - 9000, 900),
    ]:
        file = results / f"benchmarks/{stage}/{video}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\n{took}\t100\n")
        os.utime(file, (ended, ended))
    needs = dict.fromkeys(STAGES, costs.Need(1, 1, 2, 0))
    going = throughput.of_run(results, {"finished": 1800.0, "broken": 1800.0}, needs, now)
    assert going.at_a_time == pytest.approx(2)
    assert going.s_per_video_s["shots"] == pytest.approx(600 / 1800) and going.s_per_video_s["faces"] == 0.5
    assert going.s_per_video_s["poses"] == 2
    # Of a job of two hours, one lies in the last hour; what ended in the future, by a clock that jumped, tells nothing.
    for video, ended in {"a": now, "b": now + 50}.items():
        (results / f"benchmarks/shots/{video}.tsv").write_text("s\tmax_rss\n7200\t100\n")
        os.utime(results / f"benchmarks/shots/{video}.tsv", (ended, ended))
    assert throughput.of_run(results, {}, needs, now).at_a_time == pytest.approx(1 + 2 * 600 / 3600)
    later = throughput.of_run(results, {}, needs, now + 7200)
    assert later.hours_left(3.0) is None and later.hours_left(0.0) == 0


def test_the_command_line_prints_both_tables(results, tmp_path):
    rows = "".join(f"{video}\tx.mp4\ts\tCC0\n" for video in ("finished", "broken"))
    (tmp_path / "videos.tsv").write_text("video\tpath\tsource\tlicence\n" + rows)
    command = [sys.executable, REPO / "scripts/status.py", "--results", results, "--sheet", tmp_path / "videos.tsv"]
    printed = subprocess.run([*command, "--state", "failed"], check=True, capture_output=True, text=True).stdout
    assert printed.count(f"broken\tfailed\t1800\t2/{len(STAGES)}") == 1 and "finished" not in printed
    assert "annotations\t1\t0.5" in printed


def test_the_stages_are_the_rules_of_single_videos():
    rules = "".join(file.read_text() for file in (REPO / "workflow/rules").glob("*.smk"))
    stages = set(re.findall(r'"results/benchmarks/(\w+)/\{video\}\.tsv"', rules)) - {"downloads", "preview", "restored"}
    # Some models of a stage have a row of their own, STAGE/MODEL.
    needs = {name.partition("/")[0] for name in costs.read_needs(costs.table())}
    assert stages == set(STAGES) == needs
