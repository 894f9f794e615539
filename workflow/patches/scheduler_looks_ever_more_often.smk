"""Fault: the scheduler looks for jobs to start more and more often, until it needs more processor time than the jobs.

Each look while jobs are ready starts a timer for the next one, and so does each end of a job: after 1,000 jobs there are 1,000 timers, each
of which starts another. The patch allows one timer at a time.

Upstream: https://github.com/snakemake/snakemake/pull/3744 (the loop runs again before the time of the rate limiter is over).
Remove it once tests/rules/test_patches.py finds that Snakemake keeps one timer.
"""

import threading
from importlib import metadata

import snakemake.scheduling.job_scheduler

LOOKS_EVER_MORE_OFTEN = {"9.27.0", "9.27.1"}


def look_again(scheduler, delay):
    """Have a scheduler look again for jobs to start, once, after some seconds; further calls before then have no effect."""
    if not getattr(scheduler, "is_looking_again", False):
        scheduler.is_looking_again = True
        threading.Timer(delay, lambda: look_now(scheduler)).start()


def look_now(scheduler):
    """Have a scheduler look for jobs to start."""
    scheduler.is_looking_again = False
    scheduler._open_jobs.release()


if metadata.version("snakemake") in LOOKS_EVER_MORE_OFTEN:
    snakemake.scheduling.job_scheduler.JobScheduler._schedule_reevalutation = look_again
