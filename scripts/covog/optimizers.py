"""Optimizers of training and the course of the learning rate."""

import math
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from covog.config import Training
from talking.core.errors import InputError


def optimizer(trained: dict[str, nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """Return the optimizer of named parameters; a group's `times` is what its learning rate is multiplied with.

    Raises InputError if the package of an optimizer is not installed.
    """
    hears = {name: name.startswith("audio_driver.") for name in trained}
    parameters = [
        {"params": [p for name, p in trained.items() if hears[name] == is_audio], "times": times}
        for is_audio, times in ((False, 1.0), (True, training.audio_rate))
        if is_audio in hears.values()
    ]
    shared = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    adam = shared | {"betas": tuple(training.adam_betas), "eps": training.adam_epsilon}
    if training.optimizer == "adafactor":
        return torch.optim.Adafactor(parameters, **shared)
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **adam)
    if find_spec("bitsandbytes"):
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(parameters, **adam)
    if not find_spec("torchao"):
        raise InputError("optimizer adamw_8bit needs the package bitsandbytes or torchao; install one or use adamw.")
    return _adamw_8bit_of_torchao(parameters, adam)


def _adamw_8bit_of_torchao(parameters: list[dict[str, Any]], adam: dict[str, Any]) -> torch.optim.Optimizer:
    from torchao.optim import AdamW8bit
    from torchao.optim.subclass_8bit import OptimState8bit

    class Plain(AdamW8bit):
        """Gives and takes its state as plain tensors and numbers, as checkpoints hold it."""

        def state_dict(self) -> dict[str, Any]:
            state, moments = super().state_dict(), {}
            for number, values in state["state"].items():
                moments[number] = {n: v for n, v in values.items() if not isinstance(v, OptimState8bit)}
                for name, value in values.items() - moments[number].items():
                    moments[number] |= {f"{name}/{part}": getattr(value, part) for part in value.tensor_attrs}
            return {"state": moments, "param_groups": [g | {"lr": float(g["lr"])} for g in state["param_groups"]]}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            moments = {}
            for number, values in state["state"].items():
                moments[number] = {n: v for n, v in values.items() if "/" not in n}
                for name in {n.partition("/")[0] for n in values} - moments[number].keys():
                    parts = (values[f"{name}/{part}"] for part in OptimState8bit.tensor_attrs)
                    # Of the two moments only the first may be negative.
                    moments[number][name] = OptimState8bit(*parts, name == "exp_avg", torch.float32)
            super().load_state_dict(state | {"state": moments})
            for group in self.param_groups:
                group["lr"] = torch.tensor(group["lr"])

    return Plain(parameters, **adam)


def learning_rate(training: Training, step: int) -> float:
    """Return the learning rate of the step after `step` ones: it rises during the warm-up, then stays or falls as a cosine."""
    rate = training.learning_rate * min(1.0, (step + 1) / max(training.warmup_steps, 1))
    if training.rate_schedule == "constant":
        return rate
    done = (step + 1 - training.warmup_steps) / max(training.steps - training.warmup_steps, 1)
    return rate * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate * group["times"])
        else:
            group["lr"] = rate * group["times"]
