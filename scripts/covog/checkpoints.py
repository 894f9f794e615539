"""Checkpoints of a training: everything that the next step needs, written aside and renamed, no pickle.

`checkpoints/step-0000500/` holds `weights`, `ema` and `optimizer` (safetensors), `losses.parquet` and `state.json`.
"""

import errno
import json
import logging
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from covog import convert
from talking import tables
from talking.errors import InputError

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands: steps done, its losses so far, its settings and the gradient scaler's state."""

    settings: dict[str, Any]
    step: int = 0
    losses: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] | None = None


def write(
    folder: Path,
    progress: Progress,
    weights: convert.Tensors,
    optimizer: dict[str, Any],
    ema: convert.Tensors | None,
    keep: int,
) -> None:
    """Write a checkpoint and remove all but the last `keep`.

    Raises InputError if the disk is full; the checkpoints before stay.
    """
    place = folder / f"step-{progress.step:07d}"
    aside = folder / f".{place.name}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        convert.write_tensors(aside / "weights.safetensors", weights)
        if ema is not None:
            convert.write_tensors(aside / "ema.safetensors", ema)
        tensors, rest = _flat(optimizer)
        convert.write_tensors(aside / "optimizer.safetensors", tensors)
        tables.write("covog_losses", losses_table(progress.losses), aside / "losses.parquet")
        state = {"step": progress.step, "settings": progress.settings, "scaler": progress.scaler, "optimizer": rest}
        (aside / "state.json").write_text(json.dumps(state))
    except (OSError, convert.SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError) and error.errno != errno.ENOSPC and "No space" not in str(error):
            raise
        raise InputError(
            f"{folder}: the disk is full at step {progress.step}; free some space and run again, training goes on from "
            "the last whole checkpoint."
        ) from error
    if place.exists():
        shutil.rmtree(place)
    aside.rename(place)
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old)


@dataclass
class Checkpoint:
    """What `latest` found."""

    progress: Progress
    weights: convert.Tensors
    optimizer: dict[str, Any]
    ema: convert.Tensors | None


def latest(folder: Path, settings: dict[str, Any], free: set[str]) -> Checkpoint | None:
    """Read the last whole checkpoint below `folder`, None if there is none; a damaged one is named in the log and passed over.

    Raises InputError that names the keys if the settings have changed since, other than those of `free`.
    """
    for place in reversed(_all(folder)):
        try:
            found = _read(place)
        except (InputError, OSError, ValueError, KeyError) as error:
            _log.warning("%s is damaged and passed over: %s", place, error)
            continue
        before, now = (_leaves(s) for s in (found.progress.settings, settings))
        changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k not in free)
        if changed:
            raise InputError(
                f"{place} was trained with other settings ({', '.join(changed)}); set them back, or delete {folder} to "
                "begin anew."
            )
        return found
    return None


def losses_table(losses: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the losses as a table of its schema."""
    return pd.DataFrame(losses, columns=tables.schema("covog_losses").names)


def _read(place: Path) -> Checkpoint:
    state = json.loads((place / "state.json").read_text())
    losses = tables.read("covog_losses", place / "losses.parquet").to_dict("records")
    ema = place / "ema.safetensors"
    return Checkpoint(
        Progress(state["settings"], state["step"], losses, state["scaler"]),
        convert.read_tensors(place / "weights.safetensors"),
        _unflat(convert.read_tensors(place / "optimizer.safetensors"), state["optimizer"]),
        convert.read_tensors(ema) if ema.exists() else None,
    )


def _all(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name))


def _flat(optimizer: dict[str, Any]) -> tuple[convert.Tensors, dict[str, Any]]:
    tensors, numbers = {}, {}
    for parameter, values in optimizer["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, torch.Tensor) else numbers)[f"{parameter}/{name}"] = value
    return tensors, {"numbers": numbers, "param_groups": optimizer["param_groups"]}


def _unflat(tensors: convert.Tensors, rest: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in (tensors | rest["numbers"]).items():
        parameter, name = key.split("/", 1)
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": rest["param_groups"]}


def _leaves(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
