"""What makes planning and scheduling many jobs quick, without changing what is planned or when it may run.

These are Snakemake's own parts, of the version that is pinned; where another one has them otherwise, it only takes longer.
"""

import functools
import gc
import inspect

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

# Tens of thousands of jobs live as long as the run does: searching them for garbage again and again took a third of the planning.
gc.freeze()
gc.set_threshold(200_000, 20, 100)
