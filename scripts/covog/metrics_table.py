"""The table of what was measured: means over clips with their intervals, and what was skipped."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from covog.metrics import IDENTITY, LIP_SYNC, Networks, frechet_distance
from talking.core import tables

BETTER = {
    "ssim": "up",
    "psnr_db": "up",
    "lpips": "down",
    "fvd": "down",
    "psnr_mouth_db": "up",
    LIP_SYNC: "up",
    "lse_c": "up",
    "lse_d": "down",
    IDENTITY: "up",
    "jitter": "down",
    "landmark_jitter": "down",
    "warping_error": "down",
    "interactivity": "truth",
}
# The paper's row (CovOG, all test), as cited by others.
PAPER = {"ssim": 0.64, "psnr_db": 19.69, "fvd": 307.35}
# Fewer clips say nothing about others.
_FEWEST_CLIPS = 3


def table(
    model: str,
    clips: Iterable[tuple[str, dict[tuple[str, str], float]]],
    features: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    networks: Networks,
) -> pd.DataFrame:
    """Return `covog_metrics` rows of one model: means over the clips of each part and of all with their intervals, and what was skipped.

    `clips` are (part, measures of a clip); `features` I3D's of truth and made windows by part.
    """
    by_part: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    windows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for part, measured in clips:
        for key, value in measured.items():
            for name in (part, "all"):
                by_part[name][key].append(value)
    for part, found in features.items():
        for name in (part, "all"):
            windows[name] += found
    rows = []
    for part, measured in sorted(by_part.items()):
        for (metric, of), values in measured.items():
            rows.append(_row(model, part, metric, of, float(np.mean(values)), len(values), bounds=interval(values)))
        if len(windows[part]) > 1:
            truth, made = (np.stack(side) for side in zip(*windows[part], strict=True))
            rows.append(_row(model, part, "fvd", "everything", frechet_distance(truth, made), len(windows[part])))
        for metric, why in networks.missing.items():
            rows.append(_row(model, part, metric, "everything", float("nan"), 0, f"skipped: {why}"))
    return tables.of_rows("covog_metrics", rows)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of the mean over clips, by Student's t; NaN for fewer than three clips."""
    if len(values) < _FEWEST_CLIPS:
        return np.nan, np.nan
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    reach = float(scipy.stats.t.ppf(0.975, len(values) - 1) * error)
    return float(mean) - reach, float(mean) + reach


def untrained_rows(model: str) -> pd.DataFrame:
    """Return the row of a model that could not be trained: nothing measured, and why."""
    note = "skipped: the data set has too few clips to train on"
    rows = [_row(model, "all", "psnr_db", "everything", float("nan"), 0, note)]
    return tables.of_rows("covog_metrics", rows)


def paper_rows() -> pd.DataFrame:
    """Return the published row, to compare with ours."""
    source = "CovOG, all test; secondary source, other data than these"
    rows = [_row("paper", "all", metric, "everything", value, 0, source) for metric, value in PAPER.items()]
    return tables.of_rows("covog_metrics", rows)


def _row(
    model: str,
    part: str,
    metric: str,
    of: str,
    value: float,
    clips: int,
    note: str = "",
    bounds: tuple[float, float] = (np.nan, np.nan),
) -> dict:
    return {
        "model": model,
        "part": part,
        "metric": metric,
        "of": of,
        "value": value,
        "low": bounds[0],
        "high": bounds[1],
        "clips": clips,
        "better": BETTER[metric],
        "note": note,
    }
