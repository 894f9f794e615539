"""Into how many parts the costly stages cut each video: known before a job runs, so that the plan is static.

A video's length is that of the sample sheet's column `duration_s`, else what its file declares: both stay the same from run to run.
A file that is still to be downloaded declares nothing: without the column it is one part, also once it is there.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talking.core import cli
from talking.core.errors import InputError
from talking.runs.job_resources import with_signature
from talking.runs.sheet_of_run import Rows, is_local
from talking.video.parts import names

# A smaller file cannot be longer; it is not opened.
_LEAST_BYTES_A_SECOND = 10_000
_NONE: list[str] = []


@dataclass
class Settings:
    """Settings of the parts of long videos."""

    minutes: float = cli.setting(
        10.0,
        "longer videos are cut, where shots begin, into parts of about this length; stages that look at pictures run a job for each part; 0: none is cut",
        minimum=0,
    )


class Parts:
    """The parts of each video of a run's sample sheet."""

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self._rows, self._seconds = rows, settings.minutes * 60
        self._known: dict[str, list[str]] = {}

    def of(self, video: str) -> list[str]:
        """Return the names of a video's parts in order, for example 1of3; none if it is not cut."""
        if video not in self._known:
            number = math.ceil(self._duration(video) / self._seconds) if self._seconds else 1
            self._known[video] = names(number) if number > 1 else _NONE
        return self._known[video]

    def outputs(self, stage: str, suffix: str, is_cut: bool = True) -> Callable[[Any], list[str]] | list[str]:
        """Return a function of the wildcards that gives the outputs of a video's parts at a stage; none if it, or the stage, is not cut."""

        def files(wildcards: Any) -> list[str]:
            return [f"results/parts/{stage}/{wildcards.video}.{part}.{suffix}" for part in self.of(wildcards.video)]

        return with_signature(files) if is_cut else []

    def unless_joined(self, amount: int) -> Callable[[Any], int] | int:
        """Return a function of the wildcards that gives an amount to jobs that work on pictures, and 0 to one that joins parts."""

        def needed(wildcards: Any) -> int:
            return 0 if self.of(wildcards.video) and wildcards.get("part") is None else amount

        return with_signature(needed) if amount else 0

    def _duration(self, video: str) -> float:
        row = self._rows.row_of(video)
        if row.duration_s:
            return float(row.duration_s)
        if not is_local(row.path):
            return 0.0
        file = self._rows.file_of(video)
        try:
            is_long = os.path.getsize(file) > self._seconds * _LEAST_BYTES_A_SECOND
            return declared_s(file) if is_long else 0.0
        except (OSError, InputError):
            # Ingesting it will say why.
            return 0.0


def declared_s(file: Path) -> float:
    """Return the length in seconds that a video file declares, 0 if it declares none; raises InputError if it is no video."""
    # Imported here: a plan of short videos needs no decoder.
    from talking.video import probing

    with probing.open_film(file) as container:
        return (container.duration or 0) / 1e6
