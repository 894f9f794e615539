"""Work out how long a video takes on n nodes that run one job at a time each, from the jobs that the workflow plans for it.

    python tests/benchmarks/bench_nodes.py --folder RUN [--words videos=videos.tsv parts="{minutes: 0.5}"]
    python tests/benchmarks/bench_nodes.py --hours 2

With `--folder`, each job takes what its benchmark file in a finished run says; `--words` is that run's `--config`. With `--hours`, a Full HD video
is planned with the default settings, and a job takes what the tables of docs/benchmarks.md say.
"""

import argparse
import heapq
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

REPO = Path(__file__).resolve().parents[2]
NODES = (1, 2, 4, 8, 16)
PART_S = 600.0
# Whole-video rules whose cost depends on the size of the pictures: that of the table in Full HD counts.
OF_PICTURES = ("ingest_media", "detect_shots")


@dataclass(frozen=True)
class Job:
    """A job: its rule, whether it is of a part or joins parts, its seconds, and the jobs whose outputs it reads."""

    rule: str
    is_join: bool
    seconds: float
    after: tuple[str, ...]


def planned(folder: Path, words: Iterable[str], seconds_of: Callable[[str, str, bool], float]) -> dict[str, Job]:
    """Return the jobs that make the data set, by the name of their benchmark file; `seconds_of` takes that, the rule and whether it joins parts."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(folder), "--config", *words]
    plan = ["--dry-run", "--forceall", "--", "results/videos.parquet"]
    run = subprocess.run([*command, *plan], cwd=REPO, capture_output=True, text=True, check=True)
    found, made_by = {}, {}
    for job in re.split(r"^rule ", run.stdout + run.stderr, flags=re.MULTILINE)[1:]:
        read, made, name = (
            re.search(rf"^    {key}: (.*)$", job, re.MULTILINE)[1] for key in ("input", "output", "benchmark")
        )
        found[name] = job.split(":")[0], read.split(", ")
        made_by |= dict.fromkeys(made.split(", "), name)
    jobs = {}
    for name, (rule, read) in found.items():
        is_join = any(file.startswith("results/parts/") for file in read)
        after = tuple(dict.fromkeys(made_by[file] for file in read if file in made_by))
        jobs[name] = Job(rule, is_join, seconds_of(name, rule, is_join), after)
    return jobs


def wall_s(jobs: dict[str, Job], nodes: int) -> float:
    """Return the seconds until all jobs are done on so many nodes, each of which takes the job that has waited longest."""
    missing = {name: set(job.after) for name, job in jobs.items()}
    ready = [(0.0, number, name) for number, name in enumerate(jobs) if not missing[name]]
    order, running, now = {name: number for number, name in enumerate(jobs)}, [], 0.0
    while ready or running:
        while ready and len(running) < nodes:
            name = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + jobs[name].seconds, order[name], name))
        now, _, done = heapq.heappop(running)
        for name, others in missing.items():
            if done in others:
                others.remove(done)
                if not others:
                    heapq.heappush(ready, (now, order[name], name))
    return now


def longest_chain(jobs: dict[str, Job]) -> list[str]:
    """Return the jobs, in order, that wait for each other for the longest time: no number of nodes is quicker."""
    until: dict[str, tuple[float, str | None]] = {}

    def end(name: str) -> float:
        if name not in until:
            before = max(jobs[name].after, key=end, default=None)
            until[name] = jobs[name].seconds + (end(before) if before else 0.0), before
        return until[name][0]

    chain, last = [], max(jobs, key=end)
    while last:
        chain.insert(0, last)
        last = until[last][1]
    return chain


def of_run(folder: Path) -> Callable[[str, str, bool], float]:
    """Return a function that gives the seconds that a job took in a finished run."""
    return lambda name, rule, is_join: float(pd.read_csv(folder / name, sep="\t")["s"].iloc[0])


def of_page(page: str, hours: float) -> Callable[[str, str, bool], float]:
    """Return a function that gives the seconds of a job on a video of so many hours, by the tables of the page of benchmarks."""

    def column(section: str, number: int) -> dict[str, str]:
        rows = [
            line.split("|")[1:]
            for line in page.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
            if "|" in line
        ]
        return {rule.strip(): row[number].strip() for row in rows if len(row) > number for rule in row[0].split(",")}

    a_second, an_hour = column("Processor time", 2), column("How cost grows", 4)

    def seconds(name: str, rule: str, is_join: bool) -> float:
        if rule.endswith("_of_part"):
            return float(a_second[rule.removesuffix("_of_part")]) * PART_S
        if rule in OF_PICTURES:
            return float(a_second[rule]) * hours * 3600
        # "12.3 s, 456 MB", and for what is joined "parts, joined in 12.3 s, 456 MB".
        return float(re.search(r"([\d.]+) s", an_hour[rule])[1]) * hours

    return seconds


def main() -> None:
    """Read the arguments, plan the jobs and print what so many nodes need."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="working directory of a finished run")
    parser.add_argument("--words", nargs="*", default=["videos=videos.tsv"], help="its --config")
    parser.add_argument("--hours", type=float, default=2.0, help="length of a video whose costs the tables say")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, seconds_of = arguments.folder, of_run(arguments.folder or Path())
        if folder is None:
            folder = Path(made)
            seconds_of = of_page((REPO / "docs/benchmarks.md").read_text(encoding="utf-8"), arguments.hours)
            (folder / "v.mp4").touch()
            row = f"v\tv.mp4\tbench\tCC0-1.0\t{arguments.hours * 3600}"
            (folder / "videos.tsv").write_text(f"video\tpath\tsource\tlicence\tduration_s\n{row}\n")
        jobs = planned(folder, arguments.words, seconds_of)
    for nodes in NODES:
        print(f"{nodes} nodes: {wall_s(jobs, nodes):.0f} s")
    chain = longest_chain(jobs)
    print(f"longest chain: {sum(jobs[name].seconds for name in chain):.0f} s")
    for name in chain:
        print(f"  {jobs[name].seconds:7.1f} s  {jobs[name].rule}{' (joins)' * jobs[name].is_join}")


if __name__ == "__main__":
    main()
