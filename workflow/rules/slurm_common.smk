"""What a run on a SLURM cluster needs besides the profile: a controller may be away, and arrays are submitted as they come."""

import re
import time

# The one file that a site edits; a site may keep its own elsewhere.
os.environ.setdefault("SNAKEMAKE_SLURM_PARTITIONS", str(Path(workflow.basedir) / "profiles/slurm/partitions.yaml"))


# By the executor: it looks less and less often.
LONGEST_BETWEEN_LOOKS_S = 180
# How long a run waits for an answer of the controller, and for the end of what an earlier run has left, before it gives up.
LONGEST_TO_END_S = 600


def prepare_slurm():
    """Make ready for a run whose jobs go to SLURM, if they do."""
    if workflow.executor_plugin is not None and workflow.executor_plugin.name == "slurm":
        outlive_the_controller()
        check_memory_of_jobs()
        end_jobs_of_earlier_runs()
        submit_arrays_as_they_come()


def slurm_setting(name):
    """Return a value of the cluster's configuration, "" where it has none or cannot be asked."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", shown, re.MULTILINE)
    return found[1] if found else ""


def outlive_the_controller():
    """Put commands before SLURM's own that wait for a controller that is away, where the executor would fail or forget its jobs."""
    has_accounts = slurm_setting("AccountingStorageType") not in ("(null)", "accounting_storage/none")
    folders = ["patient"] if has_accounts else ["accountless", "patient"]
    ours = [str(Path(workflow.basedir) / "profiles/slurm" / folder) for folder in folders]
    os.environ.update(PATH=os.pathsep.join([*ours, os.environ.get("PATH", "")]))


def check_memory_of_jobs():
    """Warn if SLURM forgets ended jobs before the executor, which looks every three minutes at last, has seen their end."""
    seconds = re.match(r"\d+", slurm_setting("MinJobAge"))
    if seconds and 0 < int(seconds[0]) <= LONGEST_BETWEEN_LOOKS_S:
        logger.warning(
            f"SLURM forgets jobs {seconds[0]} s after their end (MinJobAge): a run may wait for ever for one that it did not see"
            f" end. Have it set above {LONGEST_BETWEEN_LOOKS_S}."
        )


def end_jobs_of_earlier_runs():
    """Cancel jobs that a killed run of this folder has left in the queue, and wait for their end: this run begins them again.

    Nobody else has jobs of ours here, as this run holds the folder. Raises WorkflowError if they do not end.
    """
    earlier = jobs_of_this_folder()
    if not earlier:
        return
    logger.warning(f"{len(earlier)} jobs of an earlier run of this folder are still in the queue; they are cancelled.")
    began = time.monotonic()
    while left := jobs_of_this_folder():
        if time.monotonic() - began > LONGEST_TO_END_S:
            raise WorkflowError(f"jobs {' '.join(left)} of an earlier run do not end; see to them and run again.")
        subprocess.run(["scancel", *left], check=False)
        time.sleep(2)


def jobs_of_this_folder():
    """Return the ids of the user's jobs in the queue that were submitted for this working directory."""
    # The executor names the rule in a job's comment.
    words = ["squeue", "--me", "--noheader", "--states=pending,running,suspended,configuring", "--format", "%A|%k|%Z"]
    began = time.monotonic()
    while (asked := subprocess.run(words, capture_output=True, text=True, check=False)).returncode:
        if time.monotonic() - began > LONGEST_TO_END_S:
            raise WorkflowError(f"squeue does not answer: {asked.stderr.strip()}")
        time.sleep(5)
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines() if line.count("|") >= 2]
    here = os.path.realpath(".")
    return sorted(
        {j for j, comment, folder in jobs if comment.startswith("rule_") and os.path.realpath(folder) == here}
    )


def submit_arrays_as_they_come():
    """Have the executor submit the jobs that it is given, those that are alike as one array.

    By itself it lets jobs of an array's rule wait while more of them are ready than it was given, but is never given them again, so that
    once more jobs are ready than may be in the queue a run stands still for ever (its issue 473). And it requests for all of an array
    what the first job needs.
    """
    plugin = sys.modules["snakemake_executor_plugin_slurm"]
    submit = plugin.Executor.run_jobs

    def submit_alike(executor, jobs):
        alike = {}
        for job in jobs:
            alike.setdefault((job.name, *array_needs(job)), []).append(job)
        for same in alike.values():
            for start in range(0, len(same), executor.max_array_size):
                submit(executor, same[start : start + executor.max_array_size])

    plugin.pending_jobs_for_rule = none_to_wait_for
    plugin.Executor.run_jobs = submit_alike


def none_to_wait_for(dag, name):
    """Return how many more jobs an array is to wait for."""
    return 0


def array_needs(job):
    """Return what a job requests of SLURM: an array requests the same for all its jobs."""
    return job.threads, *(str(job.resources.get(name)) for name in ("mem_mb", "runtime", "gpu"))
