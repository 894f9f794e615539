"""Provenance of a training: written beside its weights, and compared before a training continues."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch

from covog import config
from covog.config import Config, Training
from talking.core import checksums
from talking.core.atomic import atomic_write
from talking.dataset import store

# Settings that may change between two runs of one training: they do not change its losses.
FREE = {
    f"training.{name}"
    for name in (
        *("steps", "save_minutes", "save_every", "keep", "log_every", "log_with"),
        *("validate_every", "validation_samples", "validation_steps"),
        *("compile", "cuda_graph", "deterministic", "checkpointing", "checkpointing_keeps", "shard"),
    )
}
FREE |= {"data.workers", "data.max_broken"}
_SECTIONS = {"model": config.Model, "encoders": config.Encoders, "data": config.Data, "noise": config.Noise}
_DEFAULTS = {name: config.to_dict(kind()) for name, kind in (_SECTIONS | {"training": Training}).items()}
# Set by other rules, not by the user.
INPUTS = {"data_set", "start"}


def identity(settings: Config, training: Training, stage: int, dataset: Path, start: Sequence[Path]) -> dict[str, Any]:
    """Return what must be the same for a run to continue from a checkpoint."""
    whole = config.to_dict(settings)
    kept = {name: whole[name] for name in ("seed", "model", "encoders", "data", "noise")}
    weights = [checksums.sha256(path) for path in start]
    return kept | {
        "stage": stage,
        "training": config.to_dict(training),
        "data_set": store.data_set_hash(dataset),
        "start": weights,
        # A cosine depends on where it ends.
        "decay_steps": None if training.rate_schedule == "constant" else training.steps,
    }


def changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the names of what differs between two identities, other than `FREE`."""
    # What a setting of a later version is by default, it was in effect before.
    now = _leaves(now)
    before = {name: value for name, value in _leaves(_DEFAULTS).items() if name in now} | _leaves(before)
    return sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k not in FREE)


def describe(folder: Path, settings: Config, stage: int, dataset: Path) -> None:
    """Save the whole config, the git revision, the data set's hash and the versions of the libraries beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config.save(settings, folder / "config.yaml")
    here = Path(__file__).resolve().parent
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    content = {
        "stage": stage,
        "data_set": str(dataset),
        "data_set_version": store.version(dataset),
        "data_set_sha256": store.data_set_hash(dataset),
        "git_revision": git.stdout.strip() or "unknown",
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }
    with atomic_write(folder / "provenance.json") as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")


def _leaves(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
