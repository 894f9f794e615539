"""Inputs of the published active-speaker networks: grey face crops, made during one decode, and MFCCs."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import scipy

from talking.video import media

SIZE = 112
MFCC_RATE = 4
_MFCC_STEP = media.SAMPLES_PER_FRAME // MFCC_RATE
_MFCC_WINDOW = media.SOUND_HZ // 40
_NFFT, _FILTERS, _COEFFICIENTS, _LIFTER, _PRE_EMPHASIS = 512, 26, 13, 22, 0.97

_MARGIN = 0.4
_STEADY_FRAMES = 13
_OUTSIDE = 110


def faces(video: str | Path, tracks: pd.DataFrame) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (row of `tracks`, frame, crop (112, 112) uint8 grey) in the order of frames, in one decode.

    TalkNet's crop (Tao et al., 2021): a square about the median-filtered box, from s above its centre to 1.8 s below
    and 1.4 s to each side, s being half the longer side; the middle half of it at 224 px is kept.
    """
    if tracks.empty:
        return
    x, y, s = _squares(tracks)
    by_frame = {frame: rows for frame, rows in tracks.groupby("frame").indices.items()}
    for frame, picture in media.frames_at(video, by_frame, pixel_format="gray"):
        for row in by_frame[frame]:
            yield int(row), frame, _crop(picture, x[row], y[row], s[row])


def mfcc(sound: str | Path, start: int, end: int) -> np.ndarray:
    """Return the MFCCs (4 · (end - start), 13) float32 of frames [start, end) of a `media/` wav, silence where it is too short.

    python_speech_features' definition with its defaults, on samples scaled to 16 bits.
    """
    wanted = (end - start) * media.SAMPLES_PER_FRAME + _MFCC_WINDOW - _MFCC_STEP
    samples = media.sound(sound, start, end + 1)[:wanted].astype(np.float64) * 32768
    samples = np.pad(samples, (0, wanted - len(samples)))
    samples = np.append(samples[:1], samples[1:] - _PRE_EMPHASIS * samples[:-1])
    windows = np.lib.stride_tricks.sliding_window_view(samples, _MFCC_WINDOW)[::_MFCC_STEP]
    tiny = np.finfo(float).eps
    power = np.abs(np.fft.rfft(windows, _NFFT)) ** 2 / _NFFT
    energy = np.maximum(power.sum(axis=1), tiny)
    coefficients = scipy.fft.dct(np.log(np.maximum(power @ _mel_filters().T, tiny)), type=2, axis=1, norm="ortho")[
        :, :_COEFFICIENTS
    ]
    coefficients *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(_COEFFICIENTS) / _LIFTER)
    coefficients[:, 0] = np.log(energy)
    return coefficients.astype(np.float32)


def _squares(tracks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes = tracks[["x1", "y1", "x2", "y2"]].to_numpy(dtype=float)
    measures = np.stack(
        [
            (boxes[:, 0] + boxes[:, 2]) / 2,
            (boxes[:, 1] + boxes[:, 3]) / 2,
            np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2,
        ]
    )
    for rows in tracks.groupby("track").indices.values():
        # Zeros beyond the ends would pull the first and last squares to the picture's corner.
        measures[:, rows] = scipy.ndimage.median_filter(measures[:, rows], (1, _STEADY_FRAMES), mode="nearest")
    return measures[0], measures[1], measures[2]


def _crop(picture: np.ndarray, x: float, y: float, s: float) -> np.ndarray:
    """Return the middle half (112, 112) of the square of one face."""
    left, right = int(np.floor(x - s * (1 + _MARGIN))), int(np.floor(x + s * (1 + _MARGIN)))
    top, bottom = int(np.floor(y - s)), int(np.floor(y + s * (1 + 2 * _MARGIN)))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    inside = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape != (bottom - top, right - left):
        whole = np.full((bottom - top, right - left), _OUTSIDE, dtype=np.uint8)
        at_y, at_x = max(-top, 0), max(-left, 0)
        if inside.size:
            whole[at_y : at_y + inside.shape[0], at_x : at_x + inside.shape[1]] = inside
        inside = whole
    face = cv2.resize(inside, (2 * SIZE, 2 * SIZE))
    return face[SIZE // 2 : SIZE // 2 + SIZE, SIZE // 2 : SIZE // 2 + SIZE]


def _mel_filters() -> np.ndarray:
    """Return the triangular filters (26, 257), equally wide on the mel scale from 0 Hz to the Nyquist frequency."""
    mel = np.linspace(0, 2595 * np.log10(1 + media.SOUND_HZ / 2 / 700), _FILTERS + 2)
    edge = np.floor((_NFFT + 1) * 700 * (10 ** (mel / 2595) - 1) / media.SOUND_HZ)
    bins = np.arange(_NFFT // 2 + 1)[None]
    low, middle, high = edge[:-2, None], edge[1:-1, None], edge[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.where((bins >= low) & (bins < middle), rising, np.where((bins >= middle) & (bins < high), falling, 0))
