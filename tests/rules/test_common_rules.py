"""Functions that rules share, taken out of their files."""

import os
import re
from pathlib import Path

import pytest

from conftest import REPO

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
