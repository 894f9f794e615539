"""From evidence to probabilities, by coefficients kept as data in `calibration.json`; `scripts/calibrate_people.py` fits them.

There are two kinds: `face`, that a track shows a living face, with one set for each face detector whose confidences are known and
one (`any`) that does without confidences; and `participant`, that a person takes part in what is shown.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from talking.core.errors import InputError
from talking.video.media import FPS

PACKAGED = Path(__file__).with_name("calibration.json")
# Longer time on screen is no further evidence.
_LONG_S = 3.0
# Seconds without motion that make a face a still; a second or two without motion is normal.
_STILL_S = 6.0
# The own motion of a still, and that from which on a face surely moves.
_STILL, _MOVES = 0.004, 0.012
# How far the eyes and lips of a still seem to move, and from how far on they surely do.
_PLAIN, _EXPRESSES = 0.02, 0.06


@functools.cache
def load(path: Path = PACKAGED) -> dict[str, dict[str, dict]]:
    """Return the calibrations by kind and detector: a bias and a weight for each feature.

    Raises InputError that names the file if it cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a calibration ({error}); restore the file of the project.") from error


def probability(entry: Mapping, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the probabilities (n,) by a set of coefficients and features (each (n,))."""
    total = sum(weight * np.asarray(features[name], dtype=float) for name, weight in entry["weights"].items())
    return scipy.special.expit(entry["bias"] + total)


def face_features(evidence: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the features of living faces for tracks, from the table of `evidence.measure`; each (n,), none far beyond ±2.

    confidence: of the detector, in tenths about 0.75; presence: of the face mesh, 0-1; still: 0 for a face that moves,
    blinks or talks to 1 for one that does not in six seconds (0 where unknown); brief: halvings of a second that the detector saw it for.
    """
    own_motion = evidence["own_motion"].to_numpy(dtype=float)
    still = np.log(_MOVES / np.clip(own_motion, _STILL, _MOVES)) / np.log(_MOVES / _STILL)
    seen_s = evidence["frames"] * evidence["detected_share"] / FPS
    plain = np.nan_to_num((_EXPRESSES - evidence["expression"].to_numpy(dtype=float)) / (_EXPRESSES - _PLAIN), nan=1.0)
    still = still * np.clip(plain, 0, 1) * np.clip(evidence["frames"] / FPS / _STILL_S, 0, 1)
    return {
        "confidence": np.clip((evidence["confidence_high"].to_numpy() - 0.75) * 10, -3, 2),
        "presence": evidence["presence"].to_numpy(),
        "still": np.nan_to_num(still, nan=0.0),
        "brief": np.clip(-np.log2(np.maximum(seen_s, 0.04)), 0, 4),
    }


def participant_features(people: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the features of taking part for the persons of one shot; each (n,).

    `people` has a row for each person, with size, sharpness, cut_off_share, talking_s, seconds (on screen) and shot_s (length of the
    shot). smaller, blurred: halvings against the largest and the sharpest; cut_off: 0-1; brief: halvings of three seconds, or of
    the shot if that is shorter; silent: 1 for a person who never speaks to 0 for one who speaks for a second; aside: silent, and cut off
    or a quarter as large, as an onlooker is.
    """
    known = people["seconds"] >= np.minimum(people["shot_s"] / 5, 1.0)
    of = people[known] if known.any() else people
    smaller = np.clip(np.log2(of["size"].max() / people["size"].to_numpy()), 0, 4)
    cut_off = people["cut_off_share"].to_numpy()
    silent = 1 - np.clip(people["talking_s"].to_numpy(), 0, 1)
    return {
        "smaller": smaller,
        "blurred": np.clip(np.log2((of["sharpness"].max() + 1) / (people["sharpness"].to_numpy() + 1)), 0, 6),
        "cut_off": cut_off,
        "brief": np.clip(np.log2(np.minimum(people["shot_s"], _LONG_S) / people["seconds"]).to_numpy(), 0, 6),
        "silent": silent,
        "aside": silent * np.minimum(cut_off + smaller / 2, 1),
    }
