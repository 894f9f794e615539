"""A long video in parts gives what it gives as a whole, and a killed part is the only one that is rerun."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from conftest import REPO
from run.workflow import snakemake, started, write_sheet
from talking.core import arrays, tables

pytestmark = pytest.mark.slow

FILM = "--seed 5 --people 2 --width 640 --height 360 --shots".split()
SHOTS = "1,2:4:medium 1:2:close 2,1:5:medium 2:2:close 1,2:4:wide 1,2:5:medium".split()
CUT, WHOLE = ("parts={minutes: 0.13}",), ("parts={minutes: 0}",)
MADE = ("results/clips/v.parquet",)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders with a sample sheet of one video of 22 seconds: three parts of it."""
    folder = tmp_path_factory.mktemp("parts")
    film = [sys.executable, REPO / "scripts/film_conversation.py", "--out", folder / "v.mp4", *FILM, *SHOTS]
    subprocess.run(film, check=True, capture_output=True)
    for name in ("cut", "whole"):
        write_sheet(folder / name, {"v": folder / "v.mp4"})
    return folder / "cut", folder / "whole"


def kill_third_part(folder):
    """Run until the third part of the faces has begun, kill everything, as a machine that is switched off, and return that part's name."""
    run = started(folder, *MADE, "--set-threads", "detect_faces_of_part=2", config=CUT)
    begun = (match[1] for line in run.stdout if (match := re.search(r"wildcards: video=v, part=(\w+)", line)))
    third = [part for _, part in zip(range(3), begun, strict=False)][2]
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return third


def test_parts_give_the_tables_of_the_whole_and_a_killed_part_alone_is_rerun(folders):
    cut, whole = folders
    third = kill_third_part(cut)
    unlocked = snakemake(cut, "--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    done = snakemake(cut, *MADE, config=CUT)
    assert done.returncode == 0, done.stdout + done.stderr
    rerun = re.findall(r"rule detect_faces_of_part:.*?part=(\w+)", done.stdout + done.stderr, re.DOTALL)
    assert rerun == [third]
    for stage in ("estimate_poses", "embed_faces"):
        assert len(re.findall(rf"rule {stage}_of_part:", done.stdout + done.stderr)) == 3
    done = snakemake(whole, *MADE, config=WHOLE)
    assert done.returncode == 0 and "_of_part" not in done.stdout + done.stderr
    for name in ("faces", "tracks", "asd", "inspections", "clips"):
        one, other = (tables.read(name, folder / f"results/{name}/v.parquet") for folder in folders)
        assert len(one) and one.equals(other), name
    for name in ("landmarks", "embeddings", "poses"):
        one, other = (dict(arrays.opened(folder / f"results/{name}/v.npz")) for folder in folders)
        assert one.keys() == other.keys() and len(one)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{name} {key}")
    assert not list((cut / "results/parts").rglob("*.parquet"))
