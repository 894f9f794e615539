"""Planning a run of many videos: seconds and memory of a dry run."""

import os
import re
from pathlib import Path

import pytest

import records
from scale import metering
from talking.runs.stages import STAGES

# Of the same number of jobs of an empty workflow: those have no resources, no params and a command of two words.
MOST_OVER_BARE = 1.8
# About as long as the two take, so that they end together.
SLICES_S = 0.6, 0.4
MANY = 10_000 if os.environ.get("TALKING_LARGE") else 5_000
# Of the time of a thousand videos, for each thousand of many; and the memory of ten thousand, of which a plan of few takes some.
MOST_GROWTH, MOST_GIGABYTES, GIGABYTES_OF_FEW = 1.2, 4, 0.2

# As many jobs a video as ours, each with an input, an output and a log, and nothing that is computed.
_BARE = """
VIDEOS = [f"v{{n}}" for n in range({videos})]
rule all:
    input: expand("s{stages}/{{v}}", v=VIDEOS)
rule s0:
    output: "s0/{{v}}"
    log: "logs/s0/{{v}}"
    shell: "touch {{output}} > {{log}}"
"""
_BARE_STAGE = """
rule s{stage}:
    input: "s{before}/{{v}}"
    output: "s{stage}/{{v}}"
    log: "logs/s{stage}/{{v}}"
    shell: "touch {{output}} > {{log}}"
"""


def dry_run(folder: Path, *words: str) -> tuple[str, ...]:
    """Return the words of a dry run."""
    return ("--dry-run", "--quiet", "rules", "--scheduler", "greedy", "--directory", str(folder), *words)


def ours(folder: Path, videos: int) -> tuple[str, ...]:
    """Return the words of a plan of the workflow's run of so many new videos."""
    rows = "".join(f"v{n}\tv{n}.mp4\ts\tCC0\n" for n in range(videos))
    (folder / "videos.tsv").write_text("video\tpath\tsource\tlicence\n" + rows)
    return dry_run(folder, "--config", f"videos={folder / 'videos.tsv'}")


def bare(folder: Path, videos: int) -> tuple[str, ...]:
    """Return the words of a plan of as many jobs of a workflow with nothing in it."""
    last = len(STAGES) - 1
    stages = "".join(_BARE_STAGE.format(stage=n, before=n - 1) for n in range(1, last + 1))
    (folder / "Snakefile").write_text(_BARE.format(videos=videos, stages=last) + stages)
    return dry_run(folder, "--snakefile", str(folder / "Snakefile"), "--workflow-profile", "none")


def note(videos: int, seconds: float, gigabytes: float, bare: str) -> None:
    """Print what a plan took, and note it for docs/reliability.md."""
    row = {
        "new videos": videos,
        "jobs each": len(STAGES),
        "processor time, s": f"{seconds:.1f}",
        "memory, GB": f"{gigabytes:.2f}",
    }
    row["as many jobs of an empty workflow, s"] = bare
    print(row)
    records.note("planning", **row)


@pytest.mark.slow
def test_a_thousand_videos_are_planned_at_little_more_than_snakemakes_own_cost(tmp_path):
    plans = ours(tmp_path, 1000), bare(tmp_path, 1000)
    turns = [metering.snakemake_by_turns(*plans, slices_s=SLICES_S) for _ in range(2)]
    (printed, seconds, gigabytes), (printed_bare, seconds_bare, _) = min(
        turns, key=lambda turn: turn[0][1] + turn[1][1]
    )
    assert re.search(r"^estimate_poses +1000$", printed, re.MULTILINE)
    assert re.search(rf"^s{len(STAGES) - 1} +1000$", printed_bare, re.MULTILINE)
    note(1000, seconds, gigabytes, f"{seconds_bare:.1f}")
    assert seconds < MOST_OVER_BARE * seconds_bare and gigabytes < 1


@pytest.mark.slow
def test_many_thousand_videos_cost_as_many_times_a_thousand_and_ten_thousand_fit_into_4_gigabytes(tmp_path):
    # The machine may have other work for a part of it.
    before = metering.snakemake(*ours(tmp_path, 1000))[1]
    printed, seconds, gigabytes = metering.snakemake(*ours(tmp_path, MANY))
    one = max(before, metering.snakemake(*ours(tmp_path, 1000))[1])
    note(MANY, seconds, gigabytes, "")
    assert re.search(rf"^estimate_poses +{MANY}$", printed, re.MULTILINE)
    assert seconds < MOST_GROWTH * one * MANY / 1000
    assert gigabytes < GIGABYTES_OF_FEW + (MOST_GIGABYTES - GIGABYTES_OF_FEW) * MANY / 10_000
