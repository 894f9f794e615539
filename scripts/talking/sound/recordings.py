"""Sound files of any kind as samples."""

from pathlib import Path

import av
import numpy as np

from talking.core.errors import InputError
from talking.video import media


def read(path: Path) -> np.ndarray:
    """Return the sound of a file, its channels mixed, as samples (n,) float32 in -1..1 at 16 kHz; raises InputError if it has none."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=media.SOUND_HZ)
    try:
        with av.open(str(path)) as container:
            frames = (out for frame in container.decode(audio=0) for out in resampler.resample(frame))
            parts = [frame.to_ndarray()[0] for frame in frames]
        parts += [frame.to_ndarray()[0] for frame in resampler.resample(None)]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise InputError(f"{path} cannot be read as sound ({error}); give a WAV, FLAC, MP3 or M4A file.") from error
    if not parts:
        raise InputError(f"{path} has no sound; give a WAV, FLAC, MP3 or M4A file.")
    return np.concatenate(parts)
