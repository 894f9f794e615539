"""Voices of two people who speak at once, taken apart: torchaudio's Conv-TasNet (Luo and Mesgarani, 2019), trained on Libri2Mix.

Whose a voice is, Resemblyzer's encoder tells by what each person says alone elsewhere in the clip.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soxr
import torch

from talking.core import intervals
from talking.core.errors import InputError
from talking.video import media

# From samples (n,) at 16 kHz to two voices (2, n), in any order and of any loudness.
Separator = Callable[[np.ndarray], np.ndarray]
# From samples (frames · 640,) and the frames to listen to (frames,) bool to an embedding of unit length; NaN below 0.4 s.
Encoder = Callable[[np.ndarray, np.ndarray], np.ndarray]

_HZ = 8_000
# The separator hears so much on either side, and long overlaps piece by piece, so that they take no more memory.
_CONTEXT, _PIECE = media.FPS, 10 * media.FPS
# A person must speak alone for so long for others to be told from; the first half minute is enough.
LEAST_ALONE, _MOST_ALONE = media.FPS, 30 * media.FPS
# Whose voice is whose is told if the one way is more alike than the other by so much (sums of two cosines).
_SURE = 0.05
# A voice is heard in the frames in which it has at least this share of its own greatest loudness.
_HEARD = 0.1
_FADE_SAMPLES = media.SOUND_HZ // 100


def convtasnet(weights: str | Path) -> Separator:
    """Return Conv-TasNet as a function from samples (n,) at 16 kHz to two voices (2, n), which end at 4 kHz.

    Raises InputError if the file holds no weights of it.
    """
    from torchaudio.models import conv_tasnet_base

    if not weights or not Path(weights).is_file():
        raise InputError(f"sound: overlap_weights names {str(weights)!r}, which is no file; download Conv-TasNet.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = conv_tasnet_base(num_sources=2)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # torch and pickle raise anything for a damaged file
        raise InputError(
            f"{weights} holds no weights of Conv-TasNet ({str(error)[:80]}); name conv_tasnet_base_libri2mix.pt."
        ) from error
    network = network.eval().to(device)

    @torch.inference_mode()
    def voices(samples: np.ndarray) -> np.ndarray:
        narrow = soxr.resample(samples, media.SOUND_HZ, _HZ).astype(np.float32)
        found = network(torch.from_numpy(narrow)[None, None].to(device))[0].cpu().numpy()
        wide = soxr.resample(found.T, _HZ, media.SOUND_HZ).T
        return np.pad(wide, ((0, 0), (0, max(0, samples.size - wide.shape[1]))))[:, : samples.size]

    return voices


def encoder() -> Encoder:
    """Return the packaged voice encoder."""
    # With pyannote.audio it takes seconds to import.
    from talking.sound.voice_encoder import ResemblyzerEmbedding

    network = ResemblyzerEmbedding.packaged()

    @torch.inference_mode()
    def embedding(samples: np.ndarray, heard: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(samples)[None, None], torch.from_numpy(heard)[None])[0].numpy()

    return embedding


def own_voices(
    samples: np.ndarray, spoken: np.ndarray, networks: Callable[[], tuple[Separator, Encoder]]
) -> np.ndarray:
    """Return each person's samples (people, frames · 640): those of the clip (frames · 640,), but the person's own separated voice where
    exactly two speak by `spoken` (frames, people) bool, faded in and out over 10 ms within.

    The mix stays where either of the two says less than `LEAST_ALONE` frames alone in the clip, or the voices are too alike to tell
    whose they are. `networks` is called at each overlap.
    """
    own = np.tile(samples, (spoken.shape[1], 1))
    count = spoken.sum(axis=1)
    alone = spoken & (count == 1)[:, None]
    alone &= np.cumsum(alone, axis=0) <= _MOST_ALONE

    @functools.cache
    def known(person: int) -> np.ndarray:
        return networks()[1](samples, alone[:, person])

    told = np.flatnonzero(alone.sum(axis=0) >= LEAST_ALONE)
    for pair in itertools.combinations(told.tolist(), 2):
        for start, end in _pieces(spoken[:, pair].all(axis=1) & (count == 2)):
            first, last = _window(np.delete(spoken, pair, axis=1).any(axis=1), start, end)
            voices = _of_pair(
                _samples(samples, first, last),
                spoken[first:last, pair].any(axis=1),
                np.stack([known(person) for person in pair]),
                *networks(),
            )
            if voices is None:
                continue
            for person, voice in zip(pair, voices, strict=True):
                within = _samples(own[person], start, end)
                inside = np.arange(within.size)
                share = np.minimum(1, (np.minimum(inside, inside[::-1]) + 1) / _FADE_SAMPLES).astype(np.float32)
                within += share * (_samples(voice, start - first, end - first) - within)
    return own


def _samples(of: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the samples of frames [start, end), a view."""
    return of[start * media.SAMPLES_PER_FRAME : end * media.SAMPLES_PER_FRAME]


def _pieces(mask: np.ndarray) -> list[intervals.Interval]:
    return [(a, min(a + _PIECE, end)) for start, end in intervals.from_mask(mask) for a in range(start, end, _PIECE)]


def _window(others: np.ndarray, start: int, end: int) -> intervals.Interval:
    """Return what the separator hears of an overlap: with its context, as far as nobody else speaks, by `others` (frames,) bool."""
    before, after = np.flatnonzero(others[:start]), np.flatnonzero(others[end:])
    first = max(start - _CONTEXT, before[-1] + 1 if before.size else 0)
    return int(first), int(min(end + _CONTEXT, end + after[0] if after.size else len(others)))


def _of_pair(
    samples: np.ndarray, spoken: np.ndarray, known: Sequence[np.ndarray], separate: Separator, encode: Encoder
) -> np.ndarray | None:
    """Return the voices (2, n) in samples (n,) in the order of the two people's embeddings `known` (2, d); None if that cannot be told."""
    voices = _scaled(separate(samples), samples)
    loudness = np.sqrt((voices.reshape(2, -1, media.SAMPLES_PER_FRAME) ** 2).mean(axis=2))
    heard = spoken & (loudness > _HEARD * loudness.max(axis=1, keepdims=True))
    alike = np.stack([encode(*of) for of in zip(voices, heard, strict=True)]) @ np.transpose(known)
    straight = np.trace(alike) - np.trace(alike[::-1])
    if abs(straight) > _SURE:
        return voices if straight > 0 else voices[::-1]
    return None


def _scaled(voices: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Return voices (2, n) float32 as loud as makes their sum nearest to the mix (n,): their own loudness and sign mean nothing, as
    the network learned by a loss that is blind to them."""
    unit = voices / np.maximum(np.linalg.norm(voices, axis=1, keepdims=True), 1e-9)
    # The bound: where both are nearly the same voice, each gets half of it, and none is blown up for the other to cancel it.
    gains = np.linalg.lstsq(unit.T, mix, rcond=0.1)[0]
    return (gains[:, None] * unit).astype(np.float32)


MODELS = {"convtasnet": convtasnet}
