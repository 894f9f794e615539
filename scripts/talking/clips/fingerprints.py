"""Fingerprints that recognise a clip after it was cut, encoded or published again.

Of the sound 32 bits a frame, the signs of how the energy changes over time and pitch (Haitsma & Kalker, ISMIR 2002); of the
pictures 64 bits a second, the signs of the low spatial frequencies (pHash, by the package ImageHash).
"""

import numpy as np

from talking.video import media

# Frames before and after a clip that its first and last fingerprints need.
MARGIN_FRAMES = 14
# 33 bands between these frequencies make 32 differences. Each is heard in a window about the frame's middle, and compared with
# itself some frames later: long windows, as sounds that are the same need not begin at the same part of a frame.
_LOW_HZ, _HIGH_HZ, _BITS = 300.0, 3000.0, 32
_WINDOW_FRAMES, _STEP_FRAMES = 19, 8
# Quieter frames have the fingerprint 0: their sound is mostly the encoder's.
_QUIET_DBFS = -50.0
_SPECTRUM = 16384


def of_sound(samples: np.ndarray) -> np.ndarray:
    """Return the fingerprints (frames,) uint32 of samples ((frames + 28) · 640,) at 16 kHz: 14 frames on each side are margin.

    0 stands for a frame that is too quiet.
    """
    step, length = media.SAMPLES_PER_FRAME, _WINDOW_FRAMES * media.SAMPLES_PER_FRAME
    frames = samples.size // step - 2 * MARGIN_FRAMES
    # The first window lies about the frame half a step before the first.
    first = (MARGIN_FRAMES - _STEP_FRAMES // 2 - _WINDOW_FRAMES // 2) * step
    windows = np.lib.stride_tricks.sliding_window_view(samples[first:], length)[::step][: frames + _STEP_FRAMES]
    shape = np.hanning(length).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * shape, _SPECTRUM, axis=1)) ** 2
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _BITS + 2) * _SPECTRUM / media.SOUND_HZ
    energy = np.add.reduceat(power, np.round(edges).astype(int), axis=1)[:, : _BITS + 1]
    slope = np.diff(energy, axis=1)
    bits = np.packbits(slope[_STEP_FRAMES:] < slope[:-_STEP_FRAMES], axis=1).view(">u4")[:, 0]
    own = samples[MARGIN_FRAMES * step :][: frames * step].reshape(frames, step)
    loud = 10 * np.log10((own.astype(float) ** 2).mean(axis=1) + 1e-12) > _QUIET_DBFS
    return np.where(loud, np.maximum(bits, 1), 0).astype(np.uint32)


def of_picture(picture: np.ndarray) -> np.uint64:
    """Return the fingerprint of an RGB picture (height, width, 3)."""
    import imagehash
    from PIL import Image

    return np.packbits(imagehash.phash(Image.fromarray(picture)).hash).view(">u8")[0].astype(np.uint64)


def sound_bit_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return the fraction of bits that differ between fingerprints (frames,) of the same frames; NaN if none is loud in both."""
    loud = (a > 0) & (b > 0)
    return float(np.bitwise_count(a[loud] ^ b[loud]).sum() / (_BITS * loud.sum())) if loud.any() else float("nan")


def picture_bits(a: np.ndarray, b: np.ndarray) -> float:
    """Return the median number of bits, of 64, in which fingerprints (n,) of pictures differ; NaN if there are none."""
    return float(np.median(np.bitwise_count(a ^ b))) if a.size else float("nan")
