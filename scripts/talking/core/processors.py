"""Which processors a job may use."""

import os

# How many GPUs `talking --gpus` has taken for the job.
GPUS = "TALKING_GPUS"


def threads_given() -> int:
    """Return how many threads the job may use, from Snakemake's OMP_NUM_THREADS; 0 if it is not set."""
    words = os.environ.get("OMP_NUM_THREADS", "")
    return int(words) if words.isdigit() else 0


def gpu_given() -> bool:
    """Return True if the job was given a GPU by `talking --gpus`, and CUDA_VISIBLE_DEVICES names one.

    The variable alone is not enough: where its user has set it, all jobs have it, also those that request no GPU.
    """
    return os.environ.get(GPUS, "0") != "0" and os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
