"""CovOG's part of the report."""

import base64
import re

import numpy as np
import pandas as pd

from covog import metrics, metrics_table, report
from talking.core import tables


def test_metrics_have_a_row_a_model_beside_the_papers_and_say_what_was_skipped(tmp_path):
    ssim = {("ssim", "everything"): 0.5}
    clips = [("held_out_clips", ssim | {("psnr_mouth_db", "speaking"): v}) for v in (20.25, 21.25, 22.25)]
    clips[0] = ("held_out_clips", {("psnr_mouth_db", "speaking"): 20.25})
    rows = metrics_table.table("covog", clips, {}, metrics.Networks(missing={"fvd": "no weights"}))
    rows.loc[rows["note"] == "", "note"] = "no <test> split"
    report.write_metrics(pd.concat([rows, metrics_table.paper_rows()]), [], tmp_path / "metrics.html")
    page = (tmp_path / "metrics.html").read_text()
    whole = page[page.index("<h2>all</h2>") : page.index("<h2>held_out_clips</h2>")]
    cells = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr>(<td>.*?)</tr>", whole)]
    assert cells == [
        ["covog", "21.25 [18.77, 23.73]", "0.5 [–]", "–", "–"],
        ["paper", "–", "0.64", "307.35", "19.69"],
    ]
    assert "<li>fvd: skipped: no weights</li>" in page
    assert "no &lt;test&gt; split" in page


def test_the_first_and_the_last_validation_pictures_are_shown(tmp_path):
    folder = tmp_path / "covog/stage2/validation"
    folder.mkdir(parents=True)
    for step in (0, 500, 1500):
        (folder / f"step_{step:06d}.jpg").write_bytes(f"picture {step}".encode())
    trainings = [tmp_path / f"covog/stage{stage}/losses.parquet" for stage in (1, 2)]
    report.write_metrics(metrics_table.paper_rows(), trainings, tmp_path / "metrics.html")
    page = (tmp_path / "metrics.html").read_text()
    assert re.findall(r"step (\d+): truth above", page) == ["0", "1500"]
    assert [base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", page)] == [
        b"picture 0",
        b"picture 1500",
    ]
    assert "Validation pictures of covog, stage2" in page
    assert "covog, stage1" not in page


def test_curves_show_every_training(tmp_path):
    errors = {"error_by_noise": [0.1, np.nan, 0.2, 0.9]}
    losses = [{"step": s, "kind": "train", "loss": 1 / s} | errors for s in range(1, 9)]
    losses.append({"step": 8, "kind": "validation", "loss": 0.5} | errors)
    files = []
    for stage in ("stage1", "stage2"):
        files.append(tmp_path / "covog" / stage / "losses.parquet")
        files[-1].parent.mkdir(parents=True)
        tables.write("covog_losses", tables.of_rows("covog_losses", losses), files[-1])
    report.draw_curves(files, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_bytes()
    assert b"covog, stage1" in drawn and b"covog, stage2" in drawn
    report.draw_curves(files, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == drawn
