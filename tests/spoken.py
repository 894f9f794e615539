"""Sound in which people talk, with its true turns."""

import importlib.util
from pathlib import Path

import av
import numpy as np

from talking.speech import turns
from talking.video import encoding, media

# A dialogue of half a minute, sample.wav, and its turns, sample.rttm.
DIALOGUE = Path(importlib.util.find_spec("pyannote.audio").origin).parent / "sample"


def sound_of(path: Path, wav: Path) -> Path:
    """Write the sound of a video as a `media/` wav."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=media.SOUND_HZ)
    with av.open(str(path)) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    encoding.write_sound(wav, np.concatenate(parts) / 32768)
    return wav


def film(shared: Path, folder: Path) -> tuple[Path, list[turns.Turn]]:
    """Return the sound of the prototype's film and its true turns: two people on screen and a voice from off screen."""
    wav = sound_of(shared / "data/filmed/sample.mp4", folder / "sample.wav")
    return wav, turns.read(shared / "data/filmed/sample.rttm")
