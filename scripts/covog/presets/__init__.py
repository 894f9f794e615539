"""A run's settings: a preset with the changes of the workflow's config. Imports no network library, so that it starts quickly."""

import json
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import yaml

from covog import config
from talking.core.atomic import atomic_write
from talking.core.errors import InputError


def file_of(preset: str) -> Path:
    """Return the YAML file of a preset."""
    return Path(__file__).with_name(f"{preset}.yaml")


def configure(arguments: Namespace) -> None:
    """Run `scripts/configure_covog.py`."""
    preset = yaml.safe_load(file_of(arguments.preset).read_text())
    merged = _merged(preset, json.loads(arguments.settings))
    if arguments.baseline:
        # The paper's ablation: no audio driver, the pose of all people as one picture.
        merged = _merged(merged, {"model": {"audio": False, "person_masks": False}})
    settings = config.from_dict(
        config.Config, merged, f"the preset {arguments.preset} with the config's covog.settings"
    )
    wants_8_bit = "adamw_8bit" in (settings.stage1.optimizer, settings.stage2.optimizer)
    if wants_8_bit and not (find_spec("bitsandbytes") or find_spec("torchao")):
        # Stage 2 would find out after days of stage 1.
        raise InputError(
            "the optimizer adamw_8bit needs the package bitsandbytes or torchao, and neither is installed: install one, or set "
            "covog: {settings: {stage2: {optimizer: adamw}}}."
        )
    config.check(settings)
    with atomic_write(arguments.out) as aside:
        config.save(settings, aside)


def _merged(below: dict, above: dict) -> dict:
    both = {k: _merged(below[k], v) for k, v in above.items() if isinstance(v, dict) and isinstance(below.get(k), dict)}
    return below | above | both
