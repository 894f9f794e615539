"""Resources that jobs request: memory, time and disk by the table of needs, the video's length and the attempt."""

import inspect
import math
from collections.abc import Callable
from typing import Any

from talking.runs.costs import Need

# Requests exceed what was measured by this factor: other machines, other videos.
_MEMORY_HEADROOM, _TIME_HEADROOM, _DISK_HEADROOM = 1.4, 4, 4
_LEAST_MB, _LEAST_MIN, _LEAST_DISK_MB = 500, 10, 10

Seconds = Callable[[Any], float]


def memory_mb(need: Need, seconds: Seconds, more_mb: float = 0) -> Callable[..., int]:
    """Return a function of wildcards and attempt that gives a job's memory in MB: 1.5 times as much at each further attempt.

    `seconds` gives by a job's wildcards the length of what it works on; `more_mb` is what the job takes beside what was measured.
    """

    def megabytes(wildcards: Any, attempt: int) -> int:
        measured = need.mem_mb + need.mem_mb_per_video_s * seconds(wildcards)
        return math.ceil((max(_LEAST_MB, measured * _MEMORY_HEADROOM) + more_mb) * (1 + attempt) / 200) * 100

    return with_signature(megabytes)


def minutes(need: Need, seconds: Seconds) -> Callable[..., int]:
    """Return a function of wildcards and attempt that gives a job's time in minutes: two and three times as much at further attempts.

    In whole tens, so that jobs of videos of about the same length can be submitted as one array.
    """

    def runtime(wildcards: Any, attempt: int) -> int:
        measured = need.s_per_video_s * seconds(wildcards) / 60
        return attempt * math.ceil((_LEAST_MIN + measured * _TIME_HEADROOM) / 10) * 10

    return with_signature(runtime)


def disk_mb(need: Need, seconds: Seconds) -> Callable[..., int]:
    """Return a function of wildcards that gives what a job may write, in MB."""

    def megabytes(wildcards: Any) -> int:
        return math.ceil(_LEAST_DISK_MB + need.disk_mb_per_video_s * seconds(wildcards) * _DISK_HEADROOM)

    return with_signature(megabytes)


def with_signature(function: Callable) -> Callable:
    """Return a function that keeps its signature: Snakemake looks it up several times for each of ten thousands of jobs."""
    function.__signature__ = inspect.signature(function)
    return function
