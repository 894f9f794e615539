"""The steps of docs/extending.md, in a copy of the project and on a run that ended before."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import REPO
from talking.core import boxes, tables

BOX = ["x1", "y1", "x2", "y2"]


def block(page: str, language: str, after: str) -> str:
    """Return the first code block of a language behind some words of a page."""
    return re.search(rf"```{language}\n(.*?)```", page[page.index(after) :], re.DOTALL)[1]


def patch(folder: Path, diff: str) -> None:
    """Apply a diff whose parts name no lines, as the page shows it."""
    header, *parts = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    file = folder / re.search(r"^\+\+\+ b/(.*)$", header, re.MULTILINE)[1]
    text = file.read_text()
    for part in parts:
        lines = part.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def call(project: Path, script: str, *arguments: object) -> str:
    """Run a script of the project and return what it prints."""
    done = subprocess.run([sys.executable, project / script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_detector_is_added_by_the_steps_of_the_page(run, films, tmp_path):
    page = (REPO / "docs/extending.md").read_text(encoding="utf-8")
    project, results = tmp_path / "project", run[0] / "results"
    for folder in ("scripts", "config", "workflow/schemas", "tests/benchmarks"):
        shutil.copytree(REPO / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))

    name = "scripts/talking/faces/blazeface.py"
    (project / name).write_text(block(page, "python", f"`{name}`"))
    patch(project, block(page, "diff", "`scripts/talking/faces/detect.py`"))
    call(project, "scripts/document_config.py")
    assert "blazeface" in (project / "workflow/schemas/config.schema.yaml").read_text()
    assert "`blazeface`" in (project / "config/README.md").read_text()

    inputs = {"--media": results / "media/talk.mp4", "--shots": results / "shots/talk.parquet"}
    chosen = {"--faces": tmp_path / "faces.parquet", "--model": "blazeface"}
    call(project, "scripts/detect_faces.py", *(word for pair in (inputs | chosen).items() for word in pair))
    found, known = tables.read("faces", chosen["--faces"]), tables.read("faces", results / "faces/talk.parquet")
    frame = pd.Series(list(set(found["frame"]) & set(known["frame"]))).median()
    here, there = (table.loc[table["frame"] == int(frame), BOX] for table in (found, known))
    assert boxes.iou_matrix(here, there).max() > 0.5

    measured = call(
        project,
        "tests/benchmarks/bench_faces.py",
        "--results",
        results,
        "--truth",
        films / "talk.frames.csv",
        "--models",
        "blazeface",
    )
    recall = re.search(r"`blazeface` \| \*\*all\*\* \| ([0-9.]+)", measured)[1]
    assert float(recall) > 0.8
