"""Sequences of values, one a frame."""

import numpy as np
import pandas as pd


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over `width` frames about each, fewer at the ends."""
    return pd.Series(values).rolling(max(1, width), center=True, min_periods=1).mean().to_numpy()


def smooth_step(x: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1, and a smooth rise in between, for values of any shape."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
