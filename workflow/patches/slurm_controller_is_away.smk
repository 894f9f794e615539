"""Fault: while SLURM's controller is restarted, the SLURM executor fails the jobs that it submits and forgets those that run.

A submission without an answer fails its job. And as the controller cannot report how long it remembers jobs, the executor asks sacct for
their state instead of squeue. Where accounting is off, or away too, there is no answer, and the run loses these jobs. The patch
puts commands before SLURM's own that wait for the controller.

Upstream: https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/207
Remove it once tests/rules/test_patches.py finds that the executor uses squeue as configured.
"""

import os
from importlib import metadata

FORGETS_JOBS = {"2.8.0"}
COMMANDS = CODE / "talking/bin/slurm_controller_is_away"


def outlive_the_controller(has_accounts):
    """Put commands that wait for an absent controller before SLURM's own; `has_accounts` is True if the cluster has accounting."""
    folders = ["patient"] if has_accounts else ["accountless", "patient"]
    if metadata.version("snakemake-executor-plugin-slurm") in FORGETS_JOBS:
        ours = [str(COMMANDS / folder) for folder in folders]
        os.environ.update(PATH=os.pathsep.join([*ours, os.environ.get("PATH", "")]))
