"""What makes planning and scheduling many jobs quick, without changing what is planned or when it may run.

These are Snakemake's own parts, of the version that is pinned; where another one has them otherwise, it only takes longer.
"""

import functools
import gc
import inspect
import threading

import snakemake.common
import snakemake.jobs
import snakemake.resources
import snakemake.scheduling.job_scheduler
from snakemake.settings.enums import Quietness


def asked_once(function, called_as=None):
    """Return a function whose parameters, those that `called_as` shows, Snakemake need not look up again for each job."""
    if hasattr(snakemake.common, "overwrite_function_params"):
        snakemake.common.overwrite_function_params(function, inspect.signature(called_as or function).parameters)
    return function


if hasattr(snakemake.resources, "Resource"):
    asked_once(snakemake.resources.Resource.evaluate, snakemake.resources.Resource("", 0).evaluate)

if workflow.output_settings.dryrun:
    # A job's command is asked for three times in a row.
    snakemake.jobs.Job.shellcmd = property(functools.lru_cache(maxsize=1)(snakemake.jobs.Job.shellcmd.fget))
    if Quietness.RULES in (workflow.output_settings.quiet or ()) and not workflow.logger_manager.plugin_handlers:
        # Jobs that are not shown need not be put into an order to be shown in.
        snakemake.scheduling.job_scheduler.JobScheduler.schedule = lambda scheduler: True


def look_again(scheduler, delay):
    """Have a scheduler look again for jobs that it may start, after some seconds; once, however often it is asked before.

    It asks each time that it has looked and jobs are ready, and each look leads to the next: by itself it looks as often a second as
    jobs have ended so far, and with 200 videos took more of a processor than the jobs.
    """
    if not getattr(scheduler, "is_looking_again", False):
        scheduler.is_looking_again = True
        threading.Timer(delay, lambda: look_now(scheduler)).start()


def look_now(scheduler):
    """Have a scheduler look for jobs that it may start."""
    scheduler.is_looking_again = False
    scheduler._open_jobs.release()


snakemake.scheduling.job_scheduler.JobScheduler._schedule_reevalutation = look_again

# Tens of thousands of jobs live as long as the run does: searching them for garbage again and again took a third of the planning.
gc.freeze()
gc.set_threshold(200_000, 20, 100)
