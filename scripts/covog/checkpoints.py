"""Checkpoints of a training: everything that the next step needs, written atomically, without pickle.

`checkpoints/step-0000500/` holds `weights`, `ema` and `optimizer` (safetensors), `losses.parquet` and `state.json`.
"""

import json
import logging
import re
import shutil
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only

from covog import convert, provenance
from talking.core import tables
from talking.core.errors import InputError

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands: steps done, its losses so far, its settings and the gradient scaler's state."""

    settings: dict[str, Any]
    step: int = 0
    losses: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] | None = None


@dataclass
class Checkpoint:
    """All that the next step needs: `weights` and `ema` (averaged weights, if there are any) by name, the optimizer's state."""

    progress: Progress
    weights: convert.Tensors
    optimizer: dict[str, Any]
    ema: convert.Tensors | None


def write(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write a checkpoint and remove all but the last `keep`; earlier ones are kept if that fails, as on a full disk."""
    place = folder / f"step-{checkpoint.progress.step:07d}"
    aside = folder / f".{place.name}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _fill(aside, checkpoint)
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

    def write(self, now: Checkpoint) -> None:
        """Copy everything to the host and begin to write it, once the checkpoint before is whole; raises what that one met with."""
        self.wait()

        def copied(tensor: Tensor) -> Tensor:
            return tensor.detach().to("cpu", copy=True)

        tensors = (tree_map_only(Tensor, copied, held) for held in (now.weights, now.optimizer, now.ema))
        copy = Checkpoint(replace(now.progress, losses=list(now.progress.losses)), *tensors)
        self._written = self._thread.submit(write, self._folder, copy, self._keep)

    def wait(self) -> None:
        """Wait until the last checkpoint is whole; raises what it met with."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def close(self) -> None:
        """Wait for the last checkpoint and end the thread."""
        with self._thread:
            self.wait()


def latest(folder: Path, settings: dict[str, Any]) -> Checkpoint | None:
    """Read the last whole checkpoint below `folder`, None if there is none; a damaged one is named in the log and skipped.

    Raises InputError that names the keys if the settings have changed since, other than those of `provenance.FREE`.
    """
    for place in reversed(_all(folder)):
        try:
            state = json.loads((place / "state.json").read_text())
            # First: what another version has written may not be readable as a whole.
            changed = provenance.changed(state["settings"], settings)
            found = None if changed else _read(place, state)
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
            changed = provenance.changed(state["settings"], settings)
        except (OSError, ValueError, KeyError):
            continue
        if changed and finished and provenance.INPUTS.issuperset(changed):
            before = folder.with_name(f"{folder.name}-before")
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
            said = "%s changed since the last training, which is now in %s: starting from the beginning"
            _log.warning(said, ", ".join(changed), before)
        return


def _fill(aside: Path, checkpoint: Checkpoint) -> None:
    progress, optimizer = checkpoint.progress, checkpoint.optimizer
    aside.mkdir(parents=True)
    convert.write_tensors(aside / "weights.safetensors", checkpoint.weights)
    if checkpoint.ema is not None:
        convert.write_tensors(aside / "ema.safetensors", checkpoint.ema)
    flat = {f"{parameter}/{name}": v for parameter, of in optimizer["state"].items() for name, v in of.items()}
    tensors = {name: value for name, value in flat.items() if isinstance(value, Tensor)}
    convert.write_tensors(aside / "optimizer.safetensors", tensors)
    tables.write("covog_losses", tables.of_rows("covog_losses", progress.losses), aside / "losses.parquet")
    rest = {"numbers": {k: v for k, v in flat.items() if k not in tensors}, "param_groups": optimizer["param_groups"]}
    state = {"step": progress.step, "settings": progress.settings, "scaler": progress.scaler, "optimizer": rest}
    (aside / "state.json").write_text(json.dumps(state))


def _read(place: Path, state: dict[str, Any]) -> Checkpoint:
    losses = tables.read("covog_losses", place / "losses.parquet").to_dict("records")
    ema, rest = place / "ema.safetensors", state["optimizer"]
    moments: dict[int, dict[str, Any]] = defaultdict(dict)
    for key, value in (convert.read_tensors(place / "optimizer.safetensors") | rest["numbers"]).items():
        parameter, name = key.split("/", 1)
        moments[int(parameter)][name] = value
    return Checkpoint(
        Progress(state["settings"], state["step"], losses, state["scaler"]),
        convert.read_tensors(place / "weights.safetensors"),
        {"state": dict(moments), "param_groups": rest["param_groups"]},
        convert.read_tensors(ema) if ema.exists() else None,
    )


def _all(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name))
