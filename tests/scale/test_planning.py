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


def dry_run(folder: Path, *words: str) -> tuple[str, float, float]:
    """Return what a dry run prints, its processor seconds and its memory in GB."""
    return metering.snakemake(
        "--dry-run", "--quiet", "rules", "--scheduler", "greedy", "--directory", str(folder), *words
    )


def plan(folder: Path, videos: int) -> tuple[str, float, float]:
    """Plan the workflow's run of so many new videos."""
    rows = "".join(f"v{n}\tv{n}.mp4\ts\tCC0\n" for n in range(videos))
    (folder / "videos.tsv").write_text("video\tpath\tsource\tlicence\n" + rows)
    return dry_run(folder, "--config", f"videos={folder / 'videos.tsv'}")


def plan_bare(folder: Path, videos: int) -> tuple[str, float, float]:
    """Plan as many jobs of a workflow with nothing in it."""
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
    # Processor time grows by half where others use the same core, so the two take turns.
    ours, bare = zip(*((plan(tmp_path, 1000), plan_bare(tmp_path, 1000)) for _ in range(2)), strict=True)
    assert re.search(r"^estimate_poses +1000$", ours[0][0], re.MULTILINE)
    assert re.search(rf"^s{len(STAGES) - 1} +1000$", bare[0][0], re.MULTILINE)
    seconds = [min(planned[1] for planned in plans) for plans in (ours, bare)]
    note(1000, seconds[0], ours[0][2], f"{seconds[1]:.1f}")
    assert seconds[0] < MOST_OVER_BARE * seconds[1] and ours[0][2] < 1


@pytest.mark.slow
def test_many_thousand_videos_cost_as_many_times_a_thousand_and_ten_thousand_fit_into_4_gigabytes(tmp_path):
    # The machine may have other work for a part of it.
    before = plan(tmp_path, 1000)[1]
    printed, seconds, gigabytes = plan(tmp_path, MANY)
    one = max(before, plan(tmp_path, 1000)[1])
    note(MANY, seconds, gigabytes, "")
    assert re.search(rf"^estimate_poses +{MANY}$", printed, re.MULTILINE)
    assert seconds < MOST_GROWTH * one * MANY / 1000
    assert gigabytes < GIGABYTES_OF_FEW + (MOST_GIGABYTES - GIGABYTES_OF_FEW) * MANY / 10_000
