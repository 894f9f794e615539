"""Which processors a job may use."""

import os


def threads_given() -> int:
    """Return how many threads the job may use, from Snakemake's OMP_NUM_THREADS; 0 if it is not set."""
    words = os.environ.get("OMP_NUM_THREADS", "")
    return int(words) if words.isdigit() else 0


def gpu_given() -> bool:
    """Return True if the job was given a GPU, by `talking --gpus` or by a scheduler: CUDA_VISIBLE_DEVICES names one."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
