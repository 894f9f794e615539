"""Speaker turns: who is heard when, in the RTTM format of NIST's rich transcription evaluations."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.video import media


class Turn(NamedTuple):
    """One turn: its speaker is heard from start_s to end_s, in seconds of the video."""

    start_s: float
    end_s: float
    speaker: str


def read(path: str | Path, video: str = "") -> list[Turn]:
    """Read the SPEAKER lines of an RTTM file, in order of time; of `video` alone if the file names it, else all.

    Raises InputError that names a line it cannot read.
    """
    found, names = [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, length = float(fields[3]), float(fields[4])
            found.append(Turn(start, start + length, fields[7]))
            names.append(fields[1])
        except (IndexError, ValueError) as error:
            raise InputError(
                f"{path}, line {number}: not an RTTM line of ten fields; correct it or make the file again."
            ) from error
    return sorted(turn for turn, name in zip(found, names, strict=True) if video not in names or name == video)


def write(path: str | Path, video: str, turns: Iterable[Turn]) -> None:
    """Write turns as RTTM, in order of time, to a millisecond; `video` and speakers hold no spaces."""
    lines = [
        f"SPEAKER {video} 1 {t.start_s:.3f} {t.end_s - t.start_s:.3f} <NA> <NA> {t.speaker} <NA> <NA>\n"
        for t in sorted(turns)
    ]
    with atomic_write(path) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def spoken_frames(turns: Iterable[Turn], frames: int) -> dict[str, np.ndarray]:
    """Return for each speaker a mask (frames,): true where the frame's centre, (frame + 0.5) / 25 s, lies in a turn."""
    masks: dict[str, np.ndarray] = {}
    for turn in turns:
        mask = masks.setdefault(turn.speaker, np.zeros(frames, dtype=bool))
        first, end = (max(0, int(np.ceil(at * media.FPS - 0.5))) for at in (turn.start_s, turn.end_s))
        mask[first:end] = True
    return masks
