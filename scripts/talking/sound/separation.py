"""Voices without music and noise: torchaudio's Hybrid Demucs (Défossez, 2021), in bounded memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
import torch

from talking.core.errors import InputError
from talking.video import media

_HZ = 44_100
_SOURCES = ["drums", "bass", "other", "vocals"]
# Long sound is processed in pieces that overlap by twice the fade, in which one piece is cross-faded into the next.
_PIECE_S, _FADE_S = 10, 0.5
# Pieces given to the network at once: on a processor more are no faster and take more memory.
_AT_ONCE_ON_GPU = 8
# The published network; its width is read from the weights.
_NFFT, _DEPTH = 4096, 6


def hdemucs(weights: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from samples (n,) at 16 kHz to those of the voices (n,) in them.

    Raises InputError if the file holds no weights of Hybrid Demucs.
    """
    from torchaudio.models import HDemucs

    if not weights or not Path(weights).is_file():
        raise InputError(f"sound: separation_weights names {str(weights)!r}, which is no file; download Hybrid Demucs.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        state = torch.load(weights, map_location=device, weights_only=True)
        channels = len(state["freq_encoder.0.conv.weight"])
        network = HDemucs(_SOURCES, channels=channels, nfft=_NFFT, depth=_DEPTH)
        network.load_state_dict(state)
    except Exception as error:  # torch and pickle raise anything for a damaged file
        raise InputError(
            f"{weights} holds no weights of Hybrid Demucs ({error}); name hdemucs_high_trained.pt."
        ) from error
    network = network.eval().to(device)

    @torch.inference_mode()
    def voices(stereo: np.ndarray) -> np.ndarray:
        heard = torch.from_numpy(stereo).to(device)
        return network(heard)[:, _SOURCES.index("vocals")].cpu().numpy()

    return lambda samples: separated(samples, voices, _AT_ONCE_ON_GPU if device == "cuda" else 1)


def separated(samples: np.ndarray, voices: Callable[[np.ndarray], np.ndarray], at_once: int = 1) -> np.ndarray:
    """Return the voices (n,) in samples (n,) at 16 kHz by `voices`, a function of stereo sounds (k, 2, m) at 44.1 kHz to as much.

    It is given up to `at_once` pieces of ten seconds with mean 0 and deviation 1 over the whole sound; neighbours fade into
    each other.
    """
    if not samples.any():
        return samples
    wide = soxr.resample(samples, media.SOUND_HZ, _HZ).astype(np.float32)
    mean, spread = wide.mean(), wide.std() + 1e-8
    wide = (wide - mean) / spread
    piece, fade = _PIECE_S * _HZ, round(_FADE_S * _HZ)
    found, weight = np.zeros_like(wide), np.zeros_like(wide)
    starts = range(0, max(1, wide.size - 2 * fade), piece - 2 * fade)
    whole = [start for start in starts if start + piece <= wide.size]
    # The last piece may be shorter and is heard alone.
    for some in [*media.batches(whole, at_once), *([start] for start in starts[len(whole) :])]:
        parts = np.stack([wide[start : start + piece] for start in some])
        heard = voices(np.stack([parts, parts], axis=1)).mean(axis=1)
        length = parts.shape[1]
        ramp = np.minimum(1, (np.minimum(np.arange(length), np.arange(length)[::-1]) + 1) / (2 * fade))
        for start, voice in zip(some, heard, strict=True):
            found[start : start + piece] += ramp * voice
            weight[start : start + piece] += ramp
    narrow = soxr.resample(found / weight * spread + mean, _HZ, media.SOUND_HZ)
    return np.pad(narrow, (0, max(0, samples.size - narrow.size)))[: samples.size].astype(np.float32)


MODELS = {"hdemucs": hdemucs}
