"""How many processors a job may use."""

import os


def threads_given() -> int:
    """Return how many threads the job may use, as Snakemake says by OMP_NUM_THREADS; 0 if nobody says."""
    words = os.environ.get("OMP_NUM_THREADS", "")
    return int(words) if words.isdigit() else 0
