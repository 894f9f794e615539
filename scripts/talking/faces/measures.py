"""Lengths and angles on a face by its 68 landmarks, over the face's own size, that do not depend on how the head is turned."""

import numpy as np
import pandas as pd

# Points of the iBUG-68 order.
BRIDGE, NOSE_TIP, NOSE_BASE, CHIN = 27, 30, 33, 8
RIGHT_EYE, LEFT_EYE, MOUTH_RIGHT, MOUTH_LEFT = 36, 45, 48, 54
EYES = (slice(36, 42), slice(42, 48))
INNER_LIPS = ((61, 67), (62, 66), (63, 65))

# Sideways shift of the nose tip, in distances between the eyes, between which a face turns into a profile.
_PROFILE = (0.6, 0.95)


def lip_gap(points: np.ndarray) -> np.ndarray:
    """Return the inner-lip gap over the face's height (n,) of landmarks (n, 68, 2); NaN where the landmarks are lost.

    Both are measured along the face's vertical, so that turning the head to the side changes neither.
    """
    return np.mean([down(points, upper, lower) for upper, lower in INNER_LIPS], axis=0)


def mouth_width(points: np.ndarray) -> np.ndarray:
    """Return how far apart (n,) the corners of the mouth are along the line of the eyes, in distances between the eyes."""
    points = np.asarray(points, dtype=float)
    axis = points[:, LEFT_EYE] - points[:, RIGHT_EYE]
    between = np.linalg.norm(axis, axis=1)
    between[between == 0] = np.nan
    return np.sum((points[:, MOUTH_LEFT] - points[:, MOUTH_RIGHT]) * axis, axis=1) / between / _steady(between)


def down(points: np.ndarray, upper: int, lower: int) -> np.ndarray:
    """Return how far (n,) one point lies below another along the face's vertical, over the face's height."""
    points = np.asarray(points, dtype=float)
    axis = points[:, CHIN] - points[:, BRIDGE]
    height = np.linalg.norm(axis, axis=1)
    height[height == 0] = np.nan
    # The chin moves with the jaw: the height is the median over a second and a half.
    return np.sum((points[:, lower] - points[:, upper]) * axis, axis=1) / height / _steady(height)


def frontal(points: np.ndarray) -> np.ndarray:
    """Return 1 for a face that shows its mouth, falling to 0 (n,) as it turns into a profile, where the mesh is guessed."""
    right, left = (np.asarray(points, dtype=float)[:, eye].mean(axis=1) for eye in EYES)
    between = left - right
    shift = np.sum((points[:, NOSE_TIP] - (left + right) / 2) * between, axis=1)
    square = np.sum(between**2, axis=1)
    turned = np.abs(np.divide(shift, square, out=np.full(len(shift), np.nan), where=square > 0))
    return np.clip((_PROFILE[1] - turned) / (_PROFILE[1] - _PROFILE[0]), 0, 1)


def _steady(values: np.ndarray) -> np.ndarray:
    return pd.Series(values).rolling(37, center=True, min_periods=1).median().to_numpy()
