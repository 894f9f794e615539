"""Run a command in several processes with accelerate's launcher, one a GPU: on this machine, or on all nodes of a SLURM job (started by srun on each)."""

import argparse
import os
import re
import subprocess
import sys

import talking.__main__
from talking.core import cli
from talking.core.errors import InputError


def main() -> None:
    """Read the arguments, find where the processes meet, become the launcher."""
    parser = cli.parser(__doc__)
    parser.add_argument("--processes", type=int, required=True, help="processes on all nodes together, one a GPU")
    parser.add_argument("--across-nodes", action="store_true", help="this is one node of several of a SLURM job")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="command line to run, with its arguments")
    arguments = parser.parse_args()
    where = meeting_point_of_nodes() if arguments.across_nodes else ["--main_process_port", "0"]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(arguments.processes), *where]
    # Keep packages of common names in its folder from being imported.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.execv(sys.executable, [sys.executable, *launch, talking.__main__.__file__, *arguments.words])


def meeting_point_of_nodes() -> list[str]:
    """Return the launcher's options for this node of a SLURM job; raises InputError outside SLURM."""
    try:
        job, rank, nodes = (os.environ[f"SLURM_{name}"] for name in ("JOB_ID", "PROCID", "NTASKS"))
    except KeyError as missing:
        raise InputError(f"{missing} is not set: training on several nodes (covog: nodes) needs SLURM.") from missing
    # A port for each job: another training may use the same nodes.
    port = 20_000 + int(job) % 10_000
    where = ["--num_machines", nodes, "--machine_rank", rank, "--main_process_ip", first_address(job)]
    return [*where, "--main_process_port", str(port)]


def first_address(job: str) -> str:
    """Return how SLURM reaches a job's first node: its name need not be known to the others."""
    node = _shown("BatchHost", "job", job)
    return _shown("NodeAddr", "node", node)


def _shown(key: str, *what: str) -> str:
    shown = subprocess.run(["scontrol", "-o", "show", *what], capture_output=True, text=True, check=True).stdout
    return re.search(rf"\b{key}=(\S+)", shown)[1]


if __name__ == "__main__":
    cli.run(main)
