"""Turn features into scores on TalkNet's logit scale, by coefficients kept as data in `calibration.json`.

For each active-speaker model there are two sets: `score`, from the model's features to its score, and `fusion`, from
its score and the other evidence to the fused one. `scripts/calibrate_speaking.py` fits them. A model that could not be
measured names the model whose calibrations it takes: both score the same crops on the same logit scale.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talking.core.errors import InputError

PACKAGED = Path(__file__).with_name("calibration.json")


@functools.cache
def load(path: Path = PACKAGED) -> dict[str, dict[str, dict]]:
    """Return the calibrations by model and step: a bias and a weight a feature.

    Raises InputError that names the file if it cannot be read.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        return {model: entries[entry] if isinstance(entry, str) else entry for model, entry in entries.items()}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a calibration ({error}); restore the file of the project.") from error


def apply(entry: Mapping, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return bias + Σ weight · feature of features (each (n,)): 0 is the best threshold."""
    return entry["bias"] + sum(weight * np.asarray(features[name]) for name, weight in entry["weights"].items())
