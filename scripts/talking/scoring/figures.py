"""Figures as written into JSON."""

from typing import Any

import numpy as np


def ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def plain(value: Any) -> Any:
    """Return `value` with numpy's numbers as Python's and what is not finite as None."""
    match value:
        case dict():
            return {k: plain(v) for k, v in value.items()}
        case list() | tuple():
            return [plain(v) for v in value]
        case bool() | np.bool_():
            return bool(value)
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return round(float(value), 6) if np.isfinite(value) else None
        case _:
            return value
