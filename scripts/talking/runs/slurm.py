"""A run on a SLURM cluster: what the cluster forgets, and jobs that an earlier run of the same folder has left in the queue."""

import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from talking.core.errors import InputError

# By the executor plugin, which looks less and less often.
_LONGEST_BETWEEN_LOOKS_S = 180
# How long a run waits for an answer of the controller, and for the end of what an earlier run has left, before it gives up.
_LONGEST_TO_END_S = 600


def partitions_file(folders: Iterable[str | Path]) -> Path | None:
    """Return the absolute path of the first `partitions.yaml` in folders, the partitions and limits of a site; None if no folder has one."""
    files = (Path(folder).resolve() / "partitions.yaml" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def has_accounts() -> bool:
    """Return True if the cluster keeps accounts of its jobs."""
    return _setting("AccountingStorageType") not in ("(null)", "accounting_storage/none")


def warning_of_memory() -> str:
    """Return a warning if SLURM forgets ended jobs before the executor, which looks every three minutes at last, has seen their end, else ""."""
    seconds = re.match(r"\d+", _setting("MinJobAge"))
    if not seconds or not 0 < int(seconds[0]) <= _LONGEST_BETWEEN_LOOKS_S:
        return ""
    return (
        f"SLURM forgets jobs {seconds[0]} s after their end (MinJobAge): a run may wait for ever for one that it did not see"
        f" end. Have it set above {_LONGEST_BETWEEN_LOOKS_S}."
    )


def _setting(name: str) -> str:
    """Return a value of the cluster's configuration, "" where it has none or cannot be asked."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", shown, re.MULTILINE)
    return found[1] if found else ""


def end_jobs(jobs: list[str]) -> None:
    """Cancel jobs that a killed run of this folder has left in the queue, and wait for their end: this run begins them again.

    Nobody else has jobs of ours here, as this run holds the folder. Raises InputError if they do not end.
    """
    began = time.monotonic()
    while jobs:
        if time.monotonic() - began > _LONGEST_TO_END_S:
            raise InputError(f"jobs {' '.join(jobs)} of an earlier run do not end; see to them and run again.")
        subprocess.run(["scancel", *jobs], check=False)
        time.sleep(2)
        jobs = jobs_of_this_folder()


def jobs_of_this_folder() -> list[str]:
    """Return the ids of the user's jobs in the queue that were submitted for this working directory; raises InputError without an answer."""
    # The executor names the rule in a job's comment.
    words = ["squeue", "--me", "--noheader", "--states=pending,running,suspended,configuring", "--format", "%A|%k|%Z"]
    began = time.monotonic()
    while (asked := subprocess.run(words, capture_output=True, text=True, check=False)).returncode:
        if time.monotonic() - began > _LONGEST_TO_END_S:
            raise InputError(f"squeue does not answer: {asked.stderr.strip()}")
        time.sleep(5)
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines() if line.count("|") >= 2]
    here = os.path.realpath(".")
    return sorted(
        {j for j, comment, folder in jobs if comment.startswith("rule_") and os.path.realpath(folder) == here}
    )
