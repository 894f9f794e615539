"""Fault: with job arrays, the SLURM executor holds back jobs and never submits them.

It waits until it has all ready jobs of a rule, but the scheduler gives it each job once, and no more than may be in the queue: the run
hangs. It also requests for all jobs of an array what the first of them needs. The patch submits jobs as they come; jobs with the same
requests form one array.

Upstream: https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/473
Remove it once tests/rules/test_patches.py finds that the executor submits what it is given.
"""

import sys
from importlib import metadata

ARRAYS_WAIT_FOR_EVER = {"2.7.1", "2.8.0"}


def submit_alike(executor, jobs):
    """Submit the jobs that an executor is given; jobs with the same requests form arrays."""
    alike = {}
    for job in jobs:
        alike.setdefault((job.name, *array_requests(job)), []).append(job)
    for same in alike.values():
        for start in range(0, len(same), executor.max_array_size):
            plain_run_jobs(executor, same[start : start + executor.max_array_size])


def array_requests(job):
    """Return what a job requests of SLURM, which must be the same for all jobs of an array."""
    return job.threads, *(str(job.resources.get(name)) for name in ("mem_mb", "runtime", "gpu"))


def none_to_wait_for(dag, name):
    """Return how many jobs an array waits for: none."""
    return 0


# Snakemake imports the executors that are installed before it reads a workflow.
if (slurm := sys.modules.get("snakemake_executor_plugin_slurm")) is not None:
    if metadata.version("snakemake-executor-plugin-slurm") in ARRAYS_WAIT_FOR_EVER:
        # Patched once, even if several modules of a workflow include this file.
        plain_run_jobs = getattr(slurm, "plain_run_jobs", slurm.Executor.run_jobs)
        slurm.plain_run_jobs = plain_run_jobs
        slurm.Executor.run_jobs = submit_alike
        slurm.pending_jobs_for_rule = none_to_wait_for
