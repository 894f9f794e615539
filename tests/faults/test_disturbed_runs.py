"""Runs during which a script is edited, a film goes away or another run begins."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import REPO
from run.workflow import planned, snakemake, started, write_sheet
from talking.core import tables

pytestmark = pytest.mark.slow


def test_a_script_that_is_edited_while_the_run_goes_on_disturbs_nothing_that_is_done(films, tmp_path):
    for folder in ("workflow", "scripts", "config"):
        shutil.copytree(REPO / folder, tmp_path / "project" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    words = ("results/tracks/mute.parquet", "--snakefile", str(tmp_path / "project/workflow/Snakefile"))
    write_sheet(tmp_path, {"mute": films / "mute.mp4"})
    script = tmp_path / "project/scripts/talking/faces/tracks.py"
    whole = script.read_text()
    with started(tmp_path, *words) as first:
        # Faces take much longer than it takes to notice that the video is ingested.
        while not (tmp_path / "results/media/mute.json").exists():
            assert first.poll() is None
            time.sleep(0.05)
        script.write_text(f"raise RuntimeError('in the middle of an edit')\n{whole}")
        printed = first.communicate(timeout=600)[0]
    assert first.returncode != 0
    assert "Videos failed: mute: track_faces: RuntimeError: in the middle of an edit" in printed
    script.write_text(whole)
    with started(tmp_path, *words) as again:
        printed = again.communicate(timeout=600)[0]
    assert again.returncode == 0, printed
    assert set(re.findall(r"^(?:local)?rule (\w+):", printed, re.MULTILINE)) == {"track_faces"}
    assert len(tables.read("tracks", tmp_path / "results/tracks/mute.parquet"))


def test_a_film_that_is_gone_after_it_was_read_stops_the_run_and_costs_nothing(films, tmp_path):
    # A run of its own: others look at the films of the shared one meanwhile.
    film = Path(shutil.copy(films / "mute.mp4", tmp_path))
    write_sheet(tmp_path, {"mute": film})
    made = [f"results/{stage}/mute.parquet" for stage in ("shots", "voice")]
    done = snakemake(tmp_path, *made)
    assert done.returncode == 0, done.stdout + done.stderr
    away = film.rename(tmp_path / "away.mp4")
    stopped = snakemake(tmp_path, *made)
    assert stopped.returncode != 0 and "of video mute is not there any more" in stopped.stdout + stopped.stderr
    assert "Traceback" not in stopped.stdout + stopped.stderr
    without = ("--rerun-triggers", "mtime", "params", "software-env", "code")
    assert planned(tmp_path, *made, *without) == {}
    away.rename(film)
    assert planned(tmp_path, *made) == {}


def test_a_second_run_in_the_same_folder_is_refused(films, tmp_path):
    write_sheet(tmp_path, {"mute": films / "mute.mp4"})
    # Landmarks take several times as long as a second run needs to look for the lock.
    target = "results/landmarks/mute.npz"
    command = [sys.executable, "-m", "snakemake", target, "--cores", "1", "--directory", tmp_path]
    with subprocess.Popen(
        [*command, "--config", f"videos={tmp_path / 'videos.tsv'}"], cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:  # fmt: skip
        try:
            while not list((tmp_path / ".snakemake/locks").glob("*")):
                assert first.poll() is None
                time.sleep(0.05)
            second = snakemake(tmp_path, target)
        finally:
            assert first.wait(600) == 0
    assert second.returncode != 0 and "cannot be locked" in second.stdout + second.stderr
