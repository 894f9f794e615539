"""Running Snakemake without importing it each time, which takes half of a dry run of few videos: 1.1 of 2.1 s of processor time."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Processes are copies of one that has imported Snakemake and what every plan of it imports, and nothing of the project.
_COPIES = multiprocessing.get_context("forkserver")
_COPIES.set_forkserver_preload(
    ["snakemake.cli", "snakemake.report", "snakemake.executors.local", "smart_open.http", "jsonschema"]
)


def snakemake(arguments: Sequence[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess:
    """Run `python -m snakemake` in a folder with the environment of this process; return what it printed and how it ended."""
    with tempfile.TemporaryDirectory() as printed:
        files = [Path(printed, name) for name in ("out", "err")]
        process = _COPIES.Process(target=_be_snakemake, args=(arguments, folder, dict(os.environ), files))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout_s)
        return subprocess.CompletedProcess(arguments, process.exitcode, *(file.read_text() for file in files))


def _be_snakemake(arguments: Sequence[str], folder: Path, environment: dict[str, str], printed: Sequence[Path]) -> None:
    for number, file in zip((1, 2), printed, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = arguments
    # As `python -m` has it, without the folders of the tests.
    installed = [path for path in sys.path if any(map(Path(path).is_relative_to, (sys.base_prefix, sys.prefix)))]
    sys.path[:] = [os.getcwd(), *installed]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
