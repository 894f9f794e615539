"""Kill processes of a run at random moments, go on until it ends, and compare its outputs with an undisturbed run's.

    python tests/faults/harness.py --kills 100 --seed 1 --work FOLDER

prints what was killed and what differs; with TALKING_RECORD=1 it notes that for docs/reliability.md (tests/records.py).
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests"))

import jobs  # noqa: E402
import records  # noqa: E402

# Two clips: one to train on, one that is held out.
FILM = "--seed 5 --people 2 --width 320 --height 180 --shots 1,2:6:close 2,1:5.6:medium".split()
_STAGE = {"steps": 6, "batch_size": 1, "validation_samples": 1, "save_every": 2, "validate_every": 6}
COVOG = {
    "settings": {
        "data": {"width": 64, "height": 40, "frames": 3},
        "stage1": _STAGE,
        "stage2": _STAGE,
        "generation": {"steps": 1, "window": 4, "overlap": 1},
        "evaluation": {"clips": 1, "frames": 5},
    }
}
NO_COVOG = {"train": "never"}
# What is compared byte by byte shall not depend on how threads share a sum.
_ONE_THREAD = [
    "--set-threads",
    *(f"{rule}=1" for rule in ("cache_latents", "train_stage1", "train_stage2", "evaluate_covog")),
]
# What describes the run itself: when it was, how long it took, where it continued.
_OF_THE_RUN = ("logs", "benchmarks", "checksums", "failures", "report", "report.html", "config.yaml")
_OF_TRAINING = {"tensorboard", "checkpoints"}
# What is taken away where a run has ended before the last kill.
_OUTPUTS = "shots voice tracks speech candidates poses inspections sound clips annotations covog".split()
_MOST_RUNS = 200


@dataclass
class Outcome:
    """What was done to a run, and what came of it."""

    killed: Counter = field(default_factory=Counter)
    runs: int = 0
    repeated: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    printed: str = ""


def make_film(folder: Path) -> Path:
    """Film a short conversation in a folder; return its file."""
    path = folder / "talk.mp4"
    subprocess.run([sys.executable, REPO / "scripts/film_conversation.py", "--out", path, *FILM], check=True)
    return path


def workflow(folder: Path, *words: str, covog: dict = NO_COVOG) -> list[str]:
    """Return the command that runs the workflow on a folder's sample sheet; without further words, the data side only."""
    command = [sys.executable, "-m", "snakemake", "all", *words, "--cores", "2", "--directory", str(folder)]
    return [*command, *_ONE_THREAD, "--config", f"videos={folder / 'videos.tsv'}", f"covog={json.dumps(covog)}"]


def undisturbed(folder: Path, film: Path, covog: dict = NO_COVOG) -> Path:
    """Run the workflow on a film in a new folder and return it."""
    write_sheet(folder, film)
    subprocess.run(
        workflow(folder, covog=covog), cwd=REPO, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return folder


def write_sheet(folder: Path, film: Path) -> None:
    """Write a sheet of one film."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "videos.tsv").write_text(f"video\tpath\tsource\tlicence\ntalk\t{film}\ttest\tCC0\n")


def torment(folder: Path, film: Path, wanted: Path, kills: int, seed: int, module: str = "") -> Outcome:
    """Run the whole workflow, kill so many of its processes, run it to its end, and compare it with the folder `wanted`.

    Between two kills the run continues for up to some seconds; with `module` only processes of that command line are killed.
    Where a run ends before the last kill some of its outputs, or with `module` training's, are taken away, and it begins again.
    """
    write_sheet(folder, film)
    choose, outcome, done = random.Random(seed), Outcome(), set()
    while outcome.runs < _MOST_RUNS:
        outcome.runs += 1
        with _Run(folder) as run:
            while sum(outcome.killed.values()) < kills and run.goes_on(choose.uniform(0.2, 8)):
                victims = [pid for pid in run.processes() if not module or _module(pid) == module]
                if victims and (kind := _kill(choose.choice(victims), run.main.pid)):
                    outcome.killed[kind] += 1
            code = run.main.wait(600)
        outcome.printed += run.printed()
        _note_jobs(run.printed(), given_up(folder), done, outcome)
        if code == 0 and sum(outcome.killed.values()) >= kills:
            break
        if code == 0:
            for output in take_away(folder, "covog" if module else choose.choice(_OUTPUTS)):
                done.discard(output)
    outcome.different = differences(folder, wanted)
    return outcome


def note(outcome: Outcome, seed: int) -> None:
    """Print what was killed and what came of it, and note it for docs/reliability.md."""
    kills, of_main = sum(outcome.killed.values()), outcome.killed["main process"]
    print(f"{kills} kills in {outcome.runs} runs (seed {seed})")
    for kind, count in outcome.killed.most_common():
        print(f"  {count:4} {kind}")
    repeated, different = (", ".join(found) or "none" for found in (outcome.repeated, outcome.different))
    print(f"finished jobs run again: {repeated}; outputs that differ: {different}")
    row = {
        "kills": f"{kills} (seed {seed})",
        "runs": outcome.runs,
        "of the main process": of_main,
        "of jobs": kills - of_main,
    }
    records.note("kills", **row, **{"finished jobs rerun": repeated, "outputs that differ": different})


def verify(folder: Path, *words: str) -> tuple[int, set[str]]:
    """Check the store of a run; return the command's status and the files below the results that it names."""
    command = [sys.executable, REPO / "scripts/verify_store.py", "--results", folder / "results"]
    done = subprocess.run(
        [*command, "--sheet", folder / "videos.tsv", *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    prefix = re.escape(f"{folder}/results/")
    return done.returncode, set(re.findall(rf"^{prefix}(\S+) (?:is|has|cannot) ", done.stdout, re.MULTILINE))


def differences(one: Path, other: Path) -> list[str]:
    """Return the results that differ between two runs, except what describes the run itself.

    Snakemake's note of a folder's time is not compared: it writes none for a job that ended well after its shell was killed.
    """
    files = {
        str(file.relative_to(run / "results")): file
        for run in (one, other)
        for file in (run / "results").rglob("*")
        if file.is_file() and _is_compared(file.relative_to(run / "results").parts)
    }
    pairs = ((name, one / "results" / name, other / "results" / name) for name in sorted(files))
    return [name for name, a, b in pairs if not (a.is_file() and b.is_file() and _content(a) == _content(b))]


def _is_compared(parts: tuple[str, ...]) -> bool:
    is_of_run = parts[0] in _OF_THE_RUN or parts[-1] == ".snakemake_timestamp"
    return not (is_of_run or (parts[0] == "covog" and _OF_TRAINING & set(parts)))


def _content(file: Path) -> object:
    """Return a file's bytes; of a table of losses what does not tell how fast it was."""
    if file.name != "losses.parquet" or not file.stat().st_size:
        return file.read_bytes()
    return pq.read_table(file, columns=["step", "kind", "loss", "learning_rate"]).to_pydict()


class _Run:
    """A run in a session of its own; leaving it kills what is left."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(workflow(folder, "--unlock", covog=COVOG), cwd=REPO, check=True, capture_output=True)
        self._out = folder / "printed.txt"
        with self._out.open("w") as out:
            self.main = subprocess.Popen(
                workflow(folder, covog=COVOG), cwd=REPO, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        # Jobs outlive a killed main process; here as on a machine that is switched off they do not.
        while left := self.processes():
            for pid in left:
                _kill(pid, self.main.pid)
            time.sleep(0.1)

    def goes_on(self, seconds: float) -> bool:
        """Wait; tell whether the main process still runs then."""
        try:
            self.main.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def processes(self) -> list[int]:
        """Return the processes of the session."""
        return sorted(pid for pid, session in _sessions() if session == self.main.pid)

    def printed(self) -> str:
        """Return what the run printed."""
        return self._out.read_text(errors="replace")


def _sessions() -> Iterator[tuple[int, int]]:
    """Yield (process, session) of all processes that are not dead."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield int(entry.name), int(session)


def _kill(pid: int, main: int) -> str:
    """Kill a process at once and return what it was; "" if it was gone."""
    try:
        module = _module(pid)
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return ""
    return "main process" if pid == main else f"job: {module}"


def _module(pid: int) -> str:
    """Return the command line that a process runs, or else its program; "" if it is gone."""
    try:
        words = jobs.words_of(pid)
    except OSError:
        return ""
    return jobs.command_line(words) or Path(words[0]).name


def given_up(folder: Path) -> set[str]:
    """Return the outputs without content that stand for jobs which a run has given up."""
    records = (json.loads(file.read_text()) for file in (folder / "results/failures").glob("*/*.json"))
    return {f"results/{output}" for record in records if not record["passed"] for output in record["outputs"]}


def _note_jobs(printed: str, empty: set[str], done: set[str], outcome: Outcome) -> None:
    """Add a run's finished outputs to `done`, and those that it made again to `outcome.repeated`.

    What was made of outputs without content, `empty`, is as unfinished as they are.
    """
    made, empty = {}, set(empty)
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", printed):
        found = [re.search(pattern, block) for pattern in (r"jobid: (\d+)", r"output: (.+)", r"input: (.+)")]
        job, outputs, inputs = (match[1] if match else "" for match in found)
        if job and outputs:
            outputs, inputs = outputs.split(", "), inputs.split(", ")
            if not empty.isdisjoint(outputs + inputs):
                empty.update(outputs)
            made[job] = outputs[0]
    outcome.repeated += [output for output in made.values() if output in done]
    finished = {made[job] for job in re.findall(r"Finished jobid: (\d+)", printed) if job in made}
    done.difference_update(empty)
    done.update(finished - empty)


def take_away(folder: Path, output: str) -> list[str]:
    """Remove the files of a folder of the results, and return which outputs will be rebuilt."""
    if output == "sound":
        # An output that is a folder is there as long as that is.
        shutil.rmtree(folder / "results" / output)
    for file in (folder / "results" / output).rglob("*"):
        if file.is_file():
            file.unlink()
    dry = workflow(folder, "--dry-run", covog=COVOG)
    planned = subprocess.run(dry, cwd=REPO, check=True, capture_output=True, text=True)
    return re.findall(r"output: ([^\s,]+)", planned.stdout + planned.stderr)


def main() -> None:
    """Film, run undisturbed, torment, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="empty folder to work in")
    arguments = parser.parse_args()
    film = make_film(arguments.work)
    wanted = undisturbed(arguments.work / "undisturbed", film, COVOG)
    outcome = torment(arguments.work / "tormented", film, wanted, arguments.kills, arguments.seed)
    note(outcome, arguments.seed)
    sys.exit(bool(outcome.repeated or outcome.different))


if __name__ == "__main__":
    main()
