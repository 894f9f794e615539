"""What a command costs, whatever else the machine does."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from conftest import REPO

# What `wait4` reports: processor seconds including those of children, and the largest resident memory of one process.
_METER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("COST", os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6, file=sys.stderr)
"""
_SNAKEMAKE = ("-m", "snakemake", "--cores", "2")


def snakemake(*words: str) -> tuple[str, float, float]:
    """Run Snakemake in the project; return what it prints, its processor seconds and its memory in GB."""
    return python(*_SNAKEMAKE, *words)


def python(*words: str) -> tuple[str, float, float]:
    """Run Python in the project; return what it prints, its processor seconds and its memory in GB."""
    return _by_turns([words], [None])[0]


def snakemake_by_turns(*commands: tuple[str, ...], slices_s: tuple[float, ...]) -> list[tuple[str, float, float]]:
    """Return the same of several commands; each works for its slice of seconds while the others stand still, again and again.

    The same work takes half more processor time while other programs use the core, the cache and the memory: so all get their part of that.
    """
    return _by_turns([(*_SNAKEMAKE, *words) for words in commands], slices_s)


def _by_turns(commands, slices_s):
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in commands]
        started = [_start(words, printed, stack) for words, printed in zip(commands, files, strict=True)]
        while any(process.returncode is None for process in started):
            for process, slice_s in zip(started, slices_s, strict=True):
                if process.returncode is None:
                    _work(process, slice_s)
        return [_cost(printed) for printed in files]


def _start(words, printed, stack):
    """Return a process that stands still; it prints to a file and ends with a stack."""
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(REPO / "scripts")}
    command = [sys.executable, "-S", "-c", _METER, sys.executable, *words]
    # A group of its own stands still as a whole.
    options = {"cwd": REPO, "env": environment, "start_new_session": True}
    process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, **options)
    stack.callback(_end, process)
    os.killpg(process.pid, signal.SIGSTOP)
    return process


def _work(process, slice_s):
    os.killpg(process.pid, signal.SIGCONT)
    try:
        process.wait(slice_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGSTOP)


def _end(process):
    """Kill a process that an error or a key has left at work."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cost(printed):
    printed.seek(0)
    text, _, cost = printed.read().rpartition("COST")
    code, seconds, gigabytes = cost.split()
    assert code == "0", text[-3000:]
    return text, float(seconds), float(gigabytes)
