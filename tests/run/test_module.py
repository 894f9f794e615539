"""The workflow as a module of another one: from a clone and from a local git repository, below a prefix and with a config of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stand_in_conda
from conftest import REPO
from run.workflow import write_sheet
from talking.core import tables

pytestmark = pytest.mark.slow

# Arrays and tables, pictures and sound.
KINDS = {".npz", ".parquet", ".mp4", ".wav"}
# Another workflow: its own rule reads the data set, and the module's rules have other names.
_USES = """
module talking:
    snakefile: {snakefile}
    config: {{"videos": "mine/videos.tsv", "covog": {{"train": "never"}}}}
    prefix: "a part"

use rule * from talking as talking_*

rule count_clips:
    default_target: True
    input: "a part/results/dataset/clips.parquet", "a part/results/no_failures.ok"
    output: "clips.txt"
    shell: "wc -l {{input:q}} > {{output}}"
"""


def a_clone(folder: Path) -> str:
    return repr(str(REPO / "workflow/Snakefile"))


def a_repository(folder: Path) -> str:
    """Make a git repository of the workflow as it is now; what Snakemake reads of it is its history."""
    repository = folder / "repository"
    for name in ("config", "scripts", "workflow"):
        shutil.copytree(REPO / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", repository, "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    shutil.rmtree(repository / "workflow")
    return f'gitfile({str(repository)!r}, path="workflow/Snakefile", ref="main")'


@pytest.mark.parametrize("place", [a_clone, a_repository])
def test_a_workflow_that_includes_it_has_the_same_data_set(run, films, tmp_path, place):
    write_sheet(tmp_path / "mine", {"talk": films / "talk.mp4"})
    (tmp_path / "Snakefile").write_text(_USES.format(snakefile=place(tmp_path)))
    # A folder that is neither the workflow's nor the other one's.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", tmp_path, "-s", tmp_path / "Snakefile"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    results, alone = tmp_path / "a part/results", run[0] / "results"
    # The other videos of the run have no clip; their tracks are in the tables over all videos.
    files = {file.relative_to(alone) for file in alone.rglob("*") if file.suffix in KINDS}
    made = {file for file in files if "talk" in str(file)}
    made |= {
        Path("dataset") / name for name in ("clips.parquet", "people.parquet", "turns.parquet", "listening.parquet")
    }
    assert len(made) > 20 and tables.read("dataset", results / "dataset/clips.parquet").shape[0] == 2
    assert {file for file in made if (results / file).read_bytes() != (alone / file).read_bytes()} == set()
    assert not (tmp_path / "results").exists() and (tmp_path / "clips.txt").exists()
    again = subprocess.run([*command, "--dry-run"], cwd="/", capture_output=True, text=True)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


def test_its_jobs_run_in_the_envs_that_conda_makes_of_its_history(tmp_path):
    conda = stand_in_conda.make(tmp_path / "conda")
    write_sheet(tmp_path / "mine", {"gone": "gone.mp4"})
    (tmp_path / "Snakefile").write_text(_USES.format(snakefile=a_repository(tmp_path)))
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
