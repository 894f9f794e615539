"""Turn a model's features into a score on TalkNet's logit scale, by coefficients kept as data in `calibration.json`."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talking.errors import InputError

PACKAGED = Path(__file__).with_name("calibration.json")


@functools.cache
def load(path: Path = PACKAGED) -> dict:
    """Return the calibrations by model: a bias, a scale and a weight a feature.

    Raises InputError that names the file if it cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a calibration ({error}); restore the file of the project.") from error


def apply(model: str, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return bias + Σ weight · feature, times the scale, of a model's features (each (n,)): 0 is the best threshold."""
    entry = load()[model]
    total = np.full(len(next(iter(features.values()))), entry["bias"], dtype=float)
    for name, weight in entry["weights"].items():
        total += weight * features[name]
    return total * entry["scale"]
