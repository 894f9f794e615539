"""Start a training on one node of a SLURM job that has several: run by srun, once a node, it becomes accelerate's launcher."""

import argparse
import os
import re
import subprocess
import sys

from talking.core import cli
from talking.core.errors import InputError


def main() -> None:
    """Read the arguments and the job's environment, find the first node, launch."""
    parser = cli.parser(__doc__)
    parser.add_argument("--processes", type=int, required=True, help="processes on all nodes together, one a GPU")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="module to run, with its arguments")
    arguments = parser.parse_args()
    try:
        job, rank, nodes = (os.environ[f"SLURM_{name}"] for name in ("JOB_ID", "PROCID", "NTASKS"))
    except KeyError as missing:
        raise InputError(f"{missing} is not set: training on several nodes (covog: nodes) needs SLURM.") from missing
    # A port of the job's own: another training may use the same nodes.
    port = 20_000 + int(job) % 10_000
    where = ["--num_machines", nodes, "--machine_rank", rank, "--main_process_ip", first_address(job)]
    launch = ["--multi_gpu", "--num_processes", str(arguments.processes), *where, "--main_process_port", str(port)]
    command = [sys.executable, "-m", "accelerate.commands.launch", *launch, "--module", *arguments.words]
    os.execv(sys.executable, command)


def first_address(job: str) -> str:
    """Return how SLURM reaches a job's first node: its name need not be known to the others."""
    node = _shown("BatchHost", "job", job)
    return _shown("NodeAddr", "node", node)


def _shown(key: str, *what: str) -> str:
    shown = subprocess.run(["scontrol", "-o", "show", *what], capture_output=True, text=True, check=True).stdout
    return re.search(rf"\b{key}=(\S+)", shown)[1]


if __name__ == "__main__":
    cli.run(main)
