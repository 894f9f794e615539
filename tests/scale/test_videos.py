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
from talking import tables

pytestmark = pytest.mark.slow

FEW, MANY = (20, 200) if os.environ.get("TALKING_LARGE") else (2, 6)
MOST_GROWTH = 1.2
# As many are filmed; more videos are later parts of the same films.
FILMED = 20
SECONDS, PART_S, STEP_S = 6.4, 5.4, 0.08


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


def cost(folder: Path, videos: list[Path]) -> tuple[float, float]:
    """Run the data side on videos; return seconds of processor time and of the wall."""
    write_sheet(folder, {video.stem: video for video in videos})
    began = time.monotonic()
    words = ["--quiet", "all", "--directory", str(folder), "--config", f"videos={folder / 'videos.tsv'}"]
    _, seconds, _ = metering.snakemake("all", *words, "covog={train: never}")
    wall = time.monotonic() - began
    # Most films hold a conversation: the run had work to do at every stage.
    assert len(tables.read("dataset", folder / "results/dataset/clips.parquet")) > len(videos) / 2
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
