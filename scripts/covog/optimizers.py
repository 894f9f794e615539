"""Optimizers of training and the course of the learning rate."""

import math

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
    try:
        import bitsandbytes
    except ImportError as error:
        raise InputError("optimizer adamw_8bit needs the package bitsandbytes; install it or use adamw.") from error
    return bitsandbytes.optim.AdamW8bit(parameters, **adam)


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
        group["lr"] = rate * group["times"]
