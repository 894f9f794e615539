"""The workflow as a module of another one makes the data set that it makes alone, byte by byte."""

import subprocess
import sys
from pathlib import Path

import pytest

from run.including import USES, a_clone, a_repository
from run.workflow import write_sheet
from talking.core import tables

pytestmark = pytest.mark.slow

# Arrays and tables, pictures and sound.
KINDS = {".npz", ".parquet", ".mp4", ".wav"}


@pytest.mark.parametrize("place", [a_clone, a_repository])
def test_a_workflow_that_includes_it_has_the_same_data_set(run, films, tmp_path, place):
    write_sheet(tmp_path / "mine", {"talk": films / "talk.mp4"})
    (tmp_path / "Snakefile").write_text(USES.format(snakefile=place(tmp_path)))
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
    assert not (tmp_path / "results").exists() and (tmp_path / "clips.txt").read_text() == "2\n"
    again = subprocess.run([*command, "--dry-run"], cwd="/", capture_output=True, text=True)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
