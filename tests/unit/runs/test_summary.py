"""The closing words of a run."""

import json
from pathlib import Path

import pytest

from talking.runs import summary

SHEET = Path("videos.tsv")


@pytest.fixture
def results(tmp_path) -> Path:
    """Return results of a video that is fine and 25 that are not."""
    (tmp_path / "media").mkdir()
    for number in range(26):
        reason = f"{number}.mp4 is empty; fetch it again." if number else ""
        probe = {"status": "failed" if number else "ok", "reason": reason}
        (tmp_path / f"media/v{number}.json").write_text(json.dumps(probe))
    return tmp_path


def test_every_bad_video_is_named_and_the_first_twenty_with_their_sentence(results):
    words = summary.closing_words(results, [f"v{n}" for n in range(26)], SHEET).splitlines()
    assert words[0] == "Video v1: failed: 1.mp4 is empty; fetch it again."
    assert len(words) == 21 and words[-1].endswith("videos.parquet: v21, v22, v23, v24, v25.")


def test_videos_without_a_probe_are_not_accused(results):
    assert summary.closing_words(results, ["v0", "not_ingested"], SHEET) == ""


def test_the_report_and_the_gallery_are_named(results):
    for name in ("report.html", "gallery/index.html"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).touch()
    report, gallery = summary.closing_words(results, ["v0"], SHEET).splitlines()
    assert str(results / "report.html") in report and str(results / "gallery/index.html") in gallery


@pytest.mark.parametrize(("content", "said"), [(b"weights", ""), (b"", "too few clips to train on")])
def test_a_trained_model_is_named_and_one_that_could_not_be_trained_told(results, content, said):
    weights = results / "covog/covog/stage2/weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(content)
    (line,) = summary.closing_words(results, ["v0"], SHEET).splitlines()
    assert line.startswith(f"CovOG:    {weights}") and line.endswith(said)
