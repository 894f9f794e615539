"""Runs of many short films: what a video costs when there are more of them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import records
from conftest import REPO
from media_tools import ffmpeg_exe
from run.workflow import write_sheet
from scale import metering
from talking.core import tables
from talking.runs.stages import STAGES

pytestmark = pytest.mark.slow

FEW, MANY = (20, 200) if os.environ.get("TALKING_LARGE") else (2, 6)
MOST_GROWTH = 1.2
# Videos that cannot be read, in two runs, of which the first pays what does not depend on their number.
UNREADABLE = (1, 6)
# Of what the starts of Python with the libraries for tables take, one for each job.
MOST_SHARE = 1.5
# As many are filmed; more videos are later parts of the same films.
FILMED = 20
SECONDS, PART_S, STEP_S = 3.4, 2.4, 0.08


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Return as many short videos of conversations as are wanted at most."""
    folder, found = tmp_path_factory.mktemp("films"), []
    film = [sys.executable, REPO / "scripts/film_conversation.py", "--people", "2", "--width", "320", "--height", "180"]
    for number in range(MANY):
        part, seed = divmod(number, FILMED)
        whole, video = folder / f"film{seed}.mp4", folder / f"v{number}.mp4"
        if not whole.exists():
            words = ["--seed", str(seed), "--shots", f"1,2:{SECONDS}:close", "--out", whole]
            subprocess.run([*film, *words], check=True, capture_output=True)
        cut = ["-ss", str(part * STEP_S), "-i", whole, "-t", str(PART_S), video]
        subprocess.run([ffmpeg_exe(), "-v", "error", *cut], check=True)
        found.append(video)
    return found


def cost_of_run(folder: Path, rows: dict[str, Path]) -> tuple[float, float]:
    """Run the data side on the rows of a sheet; return seconds of processor time and of the wall."""
    write_sheet(folder, rows)
    began = time.monotonic()
    words = ["--quiet", "all", "--directory", str(folder), "--config", f"videos={folder / 'videos.tsv'}"]
    _, seconds, _ = metering.snakemake(
        "all", *words, "covog={train: never}", "clips={min_measured_s: 2}", "gates={min_duration_s: 2}"
    )
    return seconds, time.monotonic() - began


def cost(folder: Path, videos: list[Path]) -> tuple[float, float]:
    """Run the data side on videos; return seconds of processor time and of the wall."""
    seconds, wall = cost_of_run(folder, {video.stem: video for video in videos})
    # Most films hold what may be a clip: the run had work to do at every stage.
    clips = [tables.read("clips", folder / f"results/clips/{video.stem}.parquet") for video in videos]
    assert sum(table["candidate"].any() for table in clips) > len(videos) / 2
    return seconds, wall


def test_a_video_costs_no_more_when_there_are_many(videos, tmp_path):
    costs = {}
    for count in (FEW, MANY):
        folder = tmp_path / str(count)
        folder.mkdir()
        costs[count] = [total / count for total in cost(folder, videos[:count])]
        seconds, wall = costs[count]
        print(f"{count} videos: {seconds:.1f} s of processor time a video, {wall:.1f} s of the wall")
        row = {"processor time a video, s": f"{seconds:.1f}", "wall a video, s": f"{wall:.1f}"}
        records.note("videos", **{"short films in one run": count}, **row)
    assert costs[MANY][0] <= MOST_GROWTH * costs[FEW][0]


def test_the_workflows_own_share_is_little_more_than_the_starts_of_its_programs(tmp_path):
    # A video that cannot be read goes through all stages with empty tables.
    (tmp_path / "text.mp4").write_text("no video\n")
    costs = []
    for count in UNREADABLE:
        folder = tmp_path / str(count)
        costs.append(cost_of_run(folder, {f"v{n}": tmp_path / "text.mp4" for n in range(count)}))
    share, wall = ((many - few) / (UNREADABLE[1] - UNREADABLE[0]) for few, many in zip(*costs, strict=True))
    start = min(metering.python("-P", "-c", "import talking.core.tables")[1] for _ in range(5))
    row = {"wall a video, s": f"{wall:.1f}", "processor time a video, s": f"{share:.1f}"}
    row["as many starts of Python, s"] = f"{len(STAGES) * start:.1f}"
    print(row)
    records.note("share", **{"videos that cannot be read, in one run": UNREADABLE[1]}, **row)
    assert share <= MOST_SHARE * len(STAGES) * start
