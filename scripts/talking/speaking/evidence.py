"""Small signal tools that the lips' model and the fusion share: local means, rivals in a frame, voice in a frame."""

import numpy as np
import pandas as pd
import scipy

from talking.core.signals import moving_mean
from talking.video import media

# Largest log odds from voice activity or one score.
LIMIT = 4.0


def local_mean(values: np.ndarray, weight: np.ndarray, sigma_s: float) -> np.ndarray:
    """Return the weighted mean (t,) under a Gaussian of 25 fps values; any length, zero where nothing near has weight."""
    sigma = sigma_s * media.FPS
    above = scipy.ndimage.gaussian_filter1d(values * weight, sigma, mode="constant")
    below = scipy.ndimage.gaussian_filter1d(weight, sigma, mode="constant")
    return np.divide(above, below, out=np.zeros_like(above), where=below > 1e-6)


def band_pass(values: np.ndarray, weight: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Return the difference of two Gaussian low-passes with half power at the two frequencies, values of no weight left out."""
    narrow, wide = (np.sqrt(np.log(2)) / (2 * np.pi * hz) for hz in (high_hz, low_hz))
    return (local_mean(values, weight, narrow) - local_mean(values, weight, wide)) * (weight > 0)


def best_other(frame: np.ndarray, values: np.ndarray, none: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the largest value of the other rows of its frame, `none` if there is none, and whether there is one.

    A row of value -inf is nobody's rival.
    """
    order = np.lexsort((-values, frame))
    first = np.r_[True, frame[order][1:] != frame[order][:-1]]
    starts = np.flatnonzero(first)
    top = order[starts]
    sizes = np.diff(np.r_[starts, len(order)])
    best = np.empty(len(values))
    best[order] = values[top][np.cumsum(first) - 1]
    best[top] = np.where(sizes > 1, values[order[np.minimum(starts + 1, len(order) - 1)]], -np.inf)
    found = np.isfinite(best)
    return np.where(found, best, none), found


def voice_logit(voice: pd.DataFrame, n_frames: int, pause_s: float) -> np.ndarray:
    """Return the logit of voice activity (n_frames,), within ±4, pauses up to `pause_s` closed; a frame without a row is silent."""
    probability = np.zeros(n_frames)
    inside = voice["frame"].to_numpy() < n_frames
    probability[voice["frame"].to_numpy()[inside]] = np.nan_to_num(voice["voice"].to_numpy()[inside])
    closed = scipy.ndimage.grey_closing(probability, size=max(1, round(pause_s * media.FPS)), mode="constant")
    return np.clip(scipy.special.logit(np.clip(moving_mean(closed, 3), 1e-3, 1 - 1e-3)), -LIMIT, LIMIT)
