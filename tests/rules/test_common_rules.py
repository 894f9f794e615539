"""The functions that rules share, taken out of their files: what jobs request, and what a run finds of earlier ones."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from snakemake.persistence import PersistenceBase

from conftest import REPO
from talking.runs import costs, giving_up, marks, sheet

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
        asked_once=lambda function: function, uses_gpu_model=lambda section: section != "words",
        config={"gpu": 0, "poses": {"model": "sapiens"}, "speaking": {"model": "light_asd"}}, **given,
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


def test_a_slow_model_is_given_the_time_that_it_takes_and_the_memory_that_was_measured(asked):
    hour = SimpleNamespace(video="hour")
    # On one core Light-ASD takes a second and a half for each second of a face.
    assert asked.minutes("asd", "speaking")(hour, attempt=1) >= 2 * 90 > asked.minutes("asd")(hour, attempt=1)
    assert 1000 < asked.memory_mb("asd", "speaking")(hour, attempt=1) < 6000


@pytest.mark.parametrize(
    ("section", "uses"),
    [
        ({"model": "tiny_en", "aligner": "wav2vec2"}, False),
        ({"model": "whisper", "aligner": "wav2vec2"}, True),
        ({"model": "whisper_tiny_en", "separation": "hdemucs"}, True),
        ({"model": "whisper_tiny_en", "separation": "none"}, False),
        ({"model": "lip_sync", "weights": ""}, False),
    ],
)
def test_a_gpu_is_requested_only_for_what_runs_on_one(section, uses):
    source = (RULES / "common.smk").read_text()
    pieces = [
        re.search(p, source, re.S | re.M)[0]
        for p in (r"^GPU_MODELS = .*?^\)", r"^def uses_gpu_model.*?^ +return [^\n]*")
    ]
    space = {"config": {"words": section}}
    exec("\n".join(pieces), space)
    assert space["uses_gpu_model"]("words") == uses


def test_before_a_film_is_ingested_its_size_says_how_long_it_may_be(asked):
    assert asked.video_seconds("new") == 600 and asked.video_seconds("far") == 3600
    # A film of three hours and two gigabytes that is encoded anew at half its speed.
    Path("new.mp4").write_bytes(b"")
    os.truncate("new.mp4", 2_000_000_000)
    assert asked.minutes("media")(SimpleNamespace(video="new"), attempt=1) > 3 * 60


@pytest.mark.parametrize("is_dry", [True, False])
def test_jobs_that_were_given_up_are_planned_again_by_dry_runs_too(tmp_path, monkeypatch, is_dry):
    monkeypatch.chdir(tmp_path)
    # Put back afterwards: a dry run changes it.
    monkeypatch.setattr(PersistenceBase, "incomplete", PersistenceBase.incomplete)
    for video in ("v", "removed"):
        log, output = tmp_path / "log", Path(f"results/shots/{video}.parquet")
        log.write_text("error: it broke.")
        giving_up.give_up(Path("results"), video, "detect_shots", 1, log, [output])
    space = functions(
        "recovery_common.smk", os=os, sys=sys, marks=marks, giving_up=giving_up, NO_RUN={"--unlock"},
        VIDEOS=pd.DataFrame(index=["v"]), logger=SimpleNamespace(warning=lambda words: None),
        workflow=SimpleNamespace(output_settings=SimpleNamespace(dryrun=is_dry)),
    )  # fmt: skip
    space.try_failed_again()
    marked = marks.marked(Path(".snakemake/incomplete"))
    assert marked == (set() if is_dry else {"results/shots/v.parquet"})
    left = {failure.video for failure in giving_up.all_of(Path("results"))}
    assert left == ({"v", "removed"} if is_dry else {"removed"})
    job = SimpleNamespace(output=["results/shots/v.parquet", "results/shots/other.parquet"])
    monkeypatch.setitem(space.incomplete.__globals__, "MARKED", lambda *_: asyncio.sleep(0, []))
    assert asyncio.run(space.incomplete(None, job)) == (["results/shots/v.parquet"] if is_dry else [])
