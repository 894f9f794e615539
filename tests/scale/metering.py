"""What a command costs, whatever else the machine does."""

import os
import subprocess
import sys

from conftest import REPO

# What `wait4` reports: processor seconds including those of children, and the largest resident memory of one process.
_METER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("COST", os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6, file=sys.stderr)
"""


def snakemake(*words: str) -> tuple[str, float, float]:
    """Run Snakemake in the project; return what it prints, its processor seconds and its memory in GB."""
    return python("-m", "snakemake", "--cores", "2", *words)


def python(*words: str) -> tuple[str, float, float]:
    """Run Python in the project; return what it prints, its processor seconds and its memory in GB."""
    command = [sys.executable, "-S", "-c", _METER, sys.executable, *words]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(REPO / "scripts")}
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, env=environment)
    code, seconds, gigabytes = run.stderr.rpartition("COST")[2].split()
    assert code == "0", run.stderr[-3000:]
    return run.stdout + run.stderr, float(seconds), float(gigabytes)
