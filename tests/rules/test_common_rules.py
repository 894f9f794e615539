"""Functions that rules share, taken out of their files."""

import re

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


def test_what_the_rules_share_stays_short():
    lines = sum(len(file.read_text().splitlines()) for file in RULES.glob("*common*.smk"))
    assert lines <= 500
    assert len((REPO / "workflow/Snakefile").read_text().splitlines()) <= 60
