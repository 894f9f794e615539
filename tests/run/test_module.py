"""The workflow as a module of another one: its environments and how it is planned; `make test-module` runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stand_in_conda
from conftest import REPO
from run.including import USES, a_repository
from run.workflow import write_sheet

pytestmark = pytest.mark.slow


def test_its_jobs_run_in_the_envs_that_conda_makes_of_its_history(tmp_path):
    conda = stand_in_conda.make(tmp_path / "conda")
    write_sheet(tmp_path / "mine", {"gone": "gone.mp4"})
    (tmp_path / "Snakefile").write_text(USES.format(snakefile=a_repository(tmp_path)))
    command = [sys.executable, "-m", "snakemake", "a part/results/media/gone.json", "--cores", "1", "--sdm", "conda"]
    environment = os.environ | {"PATH": f"{conda}:{os.environ['PATH']}"}
    options = ["--directory", tmp_path, "-s", tmp_path / "Snakefile"]
    done = subprocess.run([*command, *options], cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ingest-media" in (tmp_path / "conda/jobs").read_text()
    without_requirements = Path((tmp_path / "conda/without_requirements").read_text().strip())
    assert (
        without_requirements == tmp_path / "repository/scripts/talking/without_requirements"
        and (without_requirements / "wheels.lock").is_file()
    )


def test_it_is_planned_as_the_workflow_catalog_deploys_it(tmp_path):
    # As `snakedeploy deploy-workflow` leaves a folder: a copy of config/ and a Snakefile that uses all rules as they are.
    shutil.copytree(REPO / "config", tmp_path / "config")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(
        'configfile: "config/config.yaml"\n\n'
        f"module talking:\n    snakefile:\n        {a_repository(tmp_path)}\n    config:\n        config\n\n"
        "use rule * from talking\n"
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--dry-run", "--printshellcmds"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "rule film_conversation:",
        "rule train_stage2:",
        "--model covog=results/covog/covog/stage2/weights.safetensors",
    ):
        assert words in done.stdout + done.stderr
