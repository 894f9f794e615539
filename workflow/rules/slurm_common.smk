"""What a run on a SLURM cluster needs beside the profile: where its partitions stand, and an end of the jobs that an earlier run has left."""

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
        outlive_the_controller(slurm_setting("AccountingStorageType") not in ("(null)", "accounting_storage/none"))
        check_memory_of_jobs()
        end_jobs_of_earlier_runs()


def slurm_setting(name):
    """Return a value of the cluster's configuration, "" where it has none or cannot be asked."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", shown, re.MULTILINE)
    return found[1] if found else ""


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
