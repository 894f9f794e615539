"""Checkpoints of a training: everything that the next step needs, written atomically, without pickle.

`checkpoints/step-0000500/` holds `weights`, `ema` and `optimizer` (safetensors), `losses.parquet` and `state.json`.
"""

import errno
import json
import logging
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from covog import convert, provenance
from talking.core import schemas, tables
from talking.core.errors import InputError

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

    Raises InputError if the disk is full; earlier checkpoints are kept.
    """
    place = folder / f"step-{progress.step:07d}"
    aside = folder / f".{place.name}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with full_disk_told(folder):
            _fill(aside, progress, weights, optimizer, ema)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if place.exists():
        shutil.rmtree(place)
    aside.rename(place)
    # Those of later steps were not read when this training began: they are damaged, and would count as the newest for ever.
    ours = [old for old in _all(folder) if old.name <= place.name]
    for old in {*_all(folder)} - {*ours[-keep:]}:
        shutil.rmtree(old)


class Writer:
    """Writes checkpoints one after the other while training goes on."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._thread, self._written = ThreadPoolExecutor(1), None

    def write(
        self,
        progress: Progress,
        weights: convert.Tensors,
        optimizer: dict[str, Any],
        ema: convert.Tensors | None,
    ) -> None:
        """Copy everything to the host and begin to write it, once the checkpoint before is whole; raises what that one met with."""
        self.wait()
        content = _copied((weights, optimizer, ema))
        now = replace(progress, losses=list(progress.losses))
        self._written = self._thread.submit(write, self._folder, now, *content, self._keep)

    def wait(self) -> None:
        """Wait until the last checkpoint is whole. Raises InputError if the disk is full."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def close(self) -> None:
        """Wait for the last checkpoint and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _copied(value: Any) -> Any:
    """Return nested dicts, lists and tuples with copies of their tensors on the host."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, list | tuple) else value


@contextmanager
def full_disk_told(place: Path) -> Iterator[None]:
    """Raise InputError if the disk is full while `place` is written."""
    try:
        yield
    except (OSError, convert.SafetensorError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and not re.search("No space left|StorageFull", str(error)):
            raise
        raise InputError(
            f"{place}: the disk is full; free some space and run again, which continues from the last complete file."
        ) from error


@dataclass
class Checkpoint:
    """A checkpoint that `latest` found."""

    progress: Progress
    weights: convert.Tensors
    optimizer: dict[str, Any]
    ema: convert.Tensors | None


def latest(folder: Path, settings: dict[str, Any]) -> Checkpoint | None:
    """Read the last whole checkpoint below `folder`, None if there is none; a damaged one is named in the log and skipped.

    Raises InputError that names the keys if the settings have changed since, other than those of `provenance.FREE`.
    """
    for place in reversed(_all(folder)):
        try:
            # First: what another version has written may not be readable as a whole.
            changed = _changed(json.loads((place / "state.json").read_text())["settings"], settings)
            found = None if changed else _read(place)
        except (InputError, OSError, ValueError, KeyError) as error:
            _log.warning("%s is damaged and skipped: %s", place, error)
            continue
        if changed:
            raise InputError(
                f"{place} was trained with other settings ({', '.join(changed)}); set them back, or delete {folder} to "
                "start from the beginning."
            )
        return found
    return None


def make_way(folder: Path, settings: dict[str, Any]) -> None:
    """Rename the checkpoints of a finished training to `{folder}-before` if the data set or the first weights have changed.

    An unfinished training is left where it is: `latest` refuses it, so that nobody loses it unasked.
    """
    for place in reversed(_all(folder)):
        try:
            state = json.loads((place / "state.json").read_text())
            finished = state["step"] >= state["settings"]["training"]["steps"]
            changed = _changed(state["settings"], settings)
        except (OSError, ValueError, KeyError):
            continue
        if changed and finished and provenance.INPUTS.issuperset(changed):
            before = folder.with_name(f"{folder.name}-before")
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
            _log.warning(
                "%s changed since the last training, which is now in %s: starting from the beginning",
                ", ".join(changed),
                before,
            )
        return


def losses_table(losses: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the losses as a table of its schema."""
    return pd.DataFrame(losses, columns=schemas.schema("covog_losses").names)


def _fill(
    aside: Path,
    progress: Progress,
    weights: convert.Tensors,
    optimizer: dict[str, Any],
    ema: convert.Tensors | None,
) -> None:
    aside.mkdir(parents=True)
    convert.write_tensors(aside / "weights.safetensors", weights)
    if ema is not None:
        convert.write_tensors(aside / "ema.safetensors", ema)
    tensors, rest = _flat(optimizer)
    convert.write_tensors(aside / "optimizer.safetensors", tensors)
    tables.write("covog_losses", losses_table(progress.losses), aside / "losses.parquet")
    state = {"step": progress.step, "settings": progress.settings, "scaler": progress.scaler, "optimizer": rest}
    (aside / "state.json").write_text(json.dumps(state))


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


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    before, now = _leaves(before), _leaves(now)
    return sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k not in provenance.FREE)


def _leaves(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
