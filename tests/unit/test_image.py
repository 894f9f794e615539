"""The image of --sdm apptainer: it is built of what the project has, as the Makefile builds the environment, and jobs run in it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

import stand_in_apptainer
from conftest import REPO
from talking.runs import documentation

DOCKERFILE = (REPO / "workflow/envs/Dockerfile").read_text()
VERSION = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]


def copies():
    """Yield (sources, target) of each COPY."""
    for words in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = words.split()
        yield sources, target


def commands_with(word):
    """Return the commands of RUN that have a word."""
    return [line for line in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE) if word in line]


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    """The image's working folder, with what is copied there."""
    folder = tmp_path_factory.mktemp("image")
    for sources, target in copies():
        for source in sources:
            place = folder / target / Path(source).name if target.endswith("/") else folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (REPO / source).is_dir():
                shutil.copytree(REPO / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(REPO / source, place)
    return folder


def test_what_is_copied_is_sent_to_the_builder():
    sent = {line.removeprefix("!") for line in (REPO / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    for sources, _ in copies():
        for source in map(Path, sources):
            assert {str(folder) for folder in (source, *source.parents)} & sent, source


def test_its_environment_is_made_by_the_makefile_of_what_is_copied(context, tmp_path):
    [make] = commands_with("make PYTHON")
    words = make.replace("/opt/venv", str(tmp_path / "venv")).split()
    # The tests may be run by make themselves.
    quiet, told = ["--dry-run", "--no-print-directory"], {n: v for n, v in os.environ.items() if n != "MAKEFLAGS"}
    plan = partial(subprocess.run, env=told, capture_output=True, text=True, check=True)
    planned = plan([*words, *quiet], cwd=context).stdout
    ours = plan(["make", *quiet, "--always-make", f"PYTHON={words[1].split('=')[1]}", ".venv/.ready"], cwd=REPO).stdout
    assert planned == ours.replace(".venv/", f"{tmp_path}/venv/").replace("-m venv .venv", f"-m venv {tmp_path}/venv")
    read = set(re.findall(r"workflow/envs/\S+", planned))
    assert len(read) >= 3 and all((context / file).is_file() for file in read)


def test_it_has_the_version_of_the_project():
    for text in (DOCKERFILE, (REPO / "docs/environments.md").read_text()):
        assert set(re.findall(r"talking:([\d.]+)", text)) == {VERSION}
    assert documentation.config_schema()["properties"]["container"]["default"] == f"docker-daemon://talking:{VERSION}"


@pytest.mark.slow
def test_jobs_run_in_it_with_the_commands_that_it_has(context, tmp_path):
    [install] = commands_with("pip install")
    words = install.replace("/opt/venv/bin/python", sys.executable).split()
    site = tmp_path / "site"
    subprocess.run([*words, "--quiet", "--target", site], cwd=context, check=True, capture_output=True)
    apptainer = stand_in_apptainer.make(tmp_path / "apptainer", site / "bin")
    (tmp_path / "talking.sif").touch()
    (tmp_path / "videos.tsv").write_text("video\tpath\tsource\tlicence\ngone\tgone.mp4\ttest\tCC0-1.0\n")
    snakemake = [sys.executable, "-m", "snakemake", "results/media/gone.json", "--cores", "1", "--sdm", "apptainer"]
    options = ["--snakefile", REPO / "workflow/Snakefile", "--directory", tmp_path, "--workflow-profile", "none"]
    done = subprocess.run(
        [*snakemake, *options, "--config", f"videos={tmp_path}/videos.tsv", f"container={tmp_path}/talking.sif"],
        env=os.environ | {"PATH": f"{apptainer}:{os.environ['PATH']}", "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" {tmp_path}/talking.sif " in (apptainer / "jobs").read_text()
    assert "gone.mp4" in (tmp_path / "results/media/gone.json").read_text()
