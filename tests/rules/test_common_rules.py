"""Functions that rules share, taken out of their files."""

import os
import re
from pathlib import Path

import pytest

from conftest import REPO
from talking.runs import costs

RULES = REPO / "workflow/rules"


@pytest.mark.parametrize(
    ("section", "uses"),
    [
        ({"model": "tiny_en", "aligner": "wav2vec2"}, False),
        ({"model": "whisper", "aligner": "wav2vec2"}, True),
        ({"model": "whisper_tiny_en", "separation": "hdemucs"}, True),
        ({"model": "whisper_tiny_en", "separation": "none"}, False),
        ({"model": "whisper_tiny_en", "overlap": "convtasnet"}, True),
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


@pytest.mark.parametrize(
    ("section", "rows"),
    [
        ({"model": "whisper_tiny_en", "separation": "none", "overlap": "none"}, ["sound"]),
        ({"model": "wav2vec2", "overlap": "none"}, ["sound/wav2vec2"]),
        ({"model": "whisper_tiny_en", "overlap": "convtasnet"}, ["sound/convtasnet"]),
        ({"model": "wav2vec2", "overlap": "convtasnet"}, ["sound/wav2vec2", "sound/convtasnet"]),
        (
            {"model": "wav2vec2", "separation": "hdemucs", "overlap": "convtasnet"},
            ["sound/hdemucs", "sound/wav2vec2", "sound/convtasnet"],
        ),
    ],
)
def test_the_time_and_memory_of_all_networks_of_a_job_are_requested(section, rows):
    source = (RULES / "resources_common.smk").read_text()
    needs = costs.read_needs(costs.table())
    space = {"config": {"sound": section}, "NEEDS": needs, "costs": costs}
    exec(re.search(r"^def need_of.*?^ +return [^\n]*", source, re.S | re.M)[0], space)
    need, of_rows = space["need_of"]("sound", "sound"), [needs[row] for row in rows]
    assert need.s_per_video_s == sum(row.s_per_video_s for row in of_rows)
    assert need.mem_mb == sum(row.mem_mb for row in of_rows)
    assert need.mem_mb_per_video_s == max(row.mem_mb_per_video_s for row in of_rows)
    assert need.disk_mb_per_video_s == max(row.disk_mb_per_video_s for row in of_rows)
    assert space["need_of"]("sound", None) is needs["sound"]


@pytest.mark.parametrize(
    ("results", "given", "input"),
    [
        ("results", "mine/w.pth", "mine/w.pth"),
        ("a part/results", "mine/w.pth", os.path.abspath("mine/w.pth")),
        ("a part/results", "results/weights/w.pth", "results/weights/w.pth"),
        ("a part/results", "/data/w.pth", "/data/w.pth"),
    ],
)
def test_a_modules_prefix_moves_no_weights_of_the_users(results, given, input):
    source = (RULES / "covog_common.smk").read_text()
    space = {"RESULTS": Path(results), "Path": Path, "os": os}
    exec(re.search(r"^def own_files.*?^ +return [^\n]*", source, re.S | re.M)[0], space)
    assert space["own_files"]([given]) == [input]


def test_what_the_rules_share_stays_short():
    lines = sum(len(file.read_text().splitlines()) for file in RULES.glob("*common*.smk"))
    assert lines <= 500
    assert len((REPO / "workflow/Snakefile").read_text().splitlines()) <= 60
