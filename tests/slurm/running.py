"""Starting the workflow on a cluster, and looking at its jobs while they run."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import jobs
from conftest import REPO

PROFILE = [
    "--profile",
    "workflow/profiles/slurm",
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--latency-wait",
    "5",
]


@dataclass
class Seen:
    """A process of a job, as the node shows it."""

    module: str
    node: str
    cores: int
    gpus: str


@dataclass
class Watch:
    """Looks at the command lines of a run's jobs while they run."""

    folder: Path
    seen: dict[int, Seen] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look until it is over."""
        while not self.is_over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                self._look_at(process)
            time.sleep(0.2)

    def _look_at(self, process: Path) -> None:
        try:
            command = jobs.command_line(jobs.words_of(int(process.name)))
            if not command or (process / "cwd").readlink() != self.folder:
                return
            environment = dict(w.split("=", 1) for w in (process / "environ").read_text().split("\0") if "=" in w)
            status = (process / "status").read_text()
        except OSError:
            return
        cores = status.split("Cpus_allowed:\t")[1].split("\n")[0].replace(",", "")
        gpus = environment.get("CUDA_VISIBLE_DEVICES", "")
        node = environment.get("SLURMD_NODENAME", "none")
        self.seen[int(process.name)] = Seen(command.replace("-", "_"), node, int(cores, 16).bit_count(), gpus)


def pause(folder: Path, command: str) -> bool:
    """Stop the processes of a command line in a run's folder, so that they do not end; return True if there were any."""
    paused = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # A launcher and the processes that it has started have the word too.
            if command in jobs.words_of(int(process.name)) and (process / "cwd").readlink() == folder:
                os.kill(int(process.name), signal.SIGSTOP)
                paused.append(process)
    return bool(paused)


def start(folder: Path, *words: str, config: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start the workflow on the cluster, with the printed words in `folder`/printed.txt."""
    command = [sys.executable, "-m", "snakemake", *words, *PROFILE, "--directory", str(folder), "--jobs", "4"]
    config = (f"videos={folder / 'videos.tsv'}", "covog={train: never}", *config)
    with open(folder / "printed.txt", "a") as out:
        return subprocess.Popen([*command, "--config", *config], cwd=REPO, stdout=out, stderr=subprocess.STDOUT)
