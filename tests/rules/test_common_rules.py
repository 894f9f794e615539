"""The functions that rules share, taken out of their files: what jobs ask for, and how often a scheduler looks."""

import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from conftest import REPO
from talking import costs, sheet

RULES = REPO / "workflow/rules"


def functions(name, **given):
    """Return what a file of shared functions defines, with what the files before it have defined."""
    space = {"Path": Path, "workflow": SimpleNamespace(basedir=str(REPO / "workflow")), **given}
    exec(compile((RULES / name).read_text(), name, "exec"), space)
    return SimpleNamespace(**space)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The functions that say what jobs ask for, in a folder with a film of an hour and one that is not ingested yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/media").mkdir(parents=True)
    (tmp_path / "results/media/hour.json").write_text('{"duration_s": 3600}')
    (tmp_path / "new.mp4").write_bytes(bytes(125_000 * 600))
    given = {
        "workflow": SimpleNamespace(basedir=str(REPO / "workflow"), output_settings=SimpleNamespace(dryrun=False)),
        "VIDEOS": pd.DataFrame({"path": {"hour": "hour.mp4", "new": "new.mp4", "far": "https://x.org/v"}}),
    }
    return functions(
        "resources_common.smk", os=os, json=json, sheet=sheet, SHEET=tmp_path / "videos.tsv",
        asked_once=lambda function: function, uses_gpu_model=lambda section: section == "poses", **given,
    )  # fmt: skip


def test_memory_and_time_grow_with_the_video_and_the_attempt(asked):
    need = costs.read_needs(REPO / "resources/jobs.tsv")["poses"]
    hour, new = SimpleNamespace(video="hour"), SimpleNamespace(video="new")
    memory, minutes = asked.memory_mb("poses"), asked.minutes("poses")
    first = memory(hour, attempt=1)
    assert first >= 1.4 * (need.mem_mb + 3600 * need.mem_mb_per_video_s) > memory(new, attempt=1)
    assert [memory(hour, attempt=n) for n in (2, 3)] == pytest.approx([1.5 * first, 2 * first], abs=100)
    assert asked.memory_mb("poses", "poses")(hour, attempt=1) - first == pytest.approx(6000, abs=100)
    assert minutes(hour, attempt=1) >= 10 + 4 * 60 * need.s_per_video_s > minutes(new, attempt=1)
    assert minutes(hour, attempt=2) == 2 * minutes(hour, attempt=1)


def test_before_a_film_is_ingested_its_size_says_how_long_it_may_be(asked):
    assert asked.video_seconds("new") == 600 and asked.video_seconds("far") == 3600
    # A film of three hours and two gigabytes that is encoded anew at half its speed.
    Path("new.mp4").write_bytes(b"")
    os.truncate("new.mp4", 2_000_000_000)
    assert asked.minutes("ingest")(SimpleNamespace(video="new"), attempt=1) > 3 * 60


def test_a_scheduler_that_asks_often_is_made_to_look_again_once():
    settings = SimpleNamespace(dryrun=False)
    scheduling = functions("planning_common.smk", workflow=SimpleNamespace(output_settings=settings))
    looks = []
    scheduler = SimpleNamespace(_open_jobs=SimpleNamespace(release=lambda: looks.append(threading.get_ident())))
    for _ in range(5):
        scheduling.look_again(scheduler, 0.05)
    time.sleep(0.5)
    assert len(looks) == 1
    scheduling.look_again(scheduler, 0.05)
    time.sleep(0.5)
    assert len(looks) == 2
