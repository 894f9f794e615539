"""Noise: its schedule, how it is added in training, what the model is asked to predict and how the loss is weighted."""

import numpy as np
import torch
from diffusers import DDIMScheduler
from diffusers.guiders.guider_utils import rescale_noise_cfg
from diffusers.training_utils import compute_snr
from torch import Tensor

from covog.config import Noise
from talking.core.errors import InputError

# Parts of the timesteps whose errors are recorded apart.
NOISE_PARTS = 4
# What differences are divided by, so that a model which begins with none need not grow large weights to make them.
_DIFFERENCE = 0.3


def scheduler(settings: Noise) -> DDIMScheduler:
    """Return the schedule, the same for training and generation; generation takes its steps from the end ("trailing").

    Raises InputError if the last step is to be pure noise and the model is to predict that noise.
    """
    if settings.zero_terminal_snr and settings.prediction == "epsilon":
        raise InputError("noise.zero_terminal_snr needs noise.prediction: v_prediction; set one of the two otherwise.")
    return DDIMScheduler(
        num_train_timesteps=settings.steps,
        beta_start=settings.beta_start,
        beta_end=settings.beta_end,
        beta_schedule=settings.beta_schedule,
        rescale_betas_zero_snr=settings.zero_terminal_snr,
        prediction_type=settings.prediction,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    )


def generator(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a random generator that depends on the numbers and the kind of device alone, so that a resumed run draws the same numbers.

    It draws on the device, as copying from elsewhere would make the device wait.
    """
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(state[0]) << 32 | int(state[1]))


def noise_like(latents: Tensor, offset: float, random: torch.Generator) -> Tensor:
    """Return noise of the shape of latents (b, c, f, h, w), plus `offset` times one value for each clip and channel."""
    noise = torch.randn(latents.shape, generator=random, device=random.device)
    shared = torch.randn(*latents.shape[:2], 1, 1, 1, generator=random, device=random.device)
    return (noise + offset * shared).to(latents)


def from_reference(reference: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return what a model of differences takes for noisy latents (b, c, f, h, w) and timesteps (b,): the reference, (b, c, h, w) or of each frame."""
    start = torch.zeros(len(reference), dtype=torch.long, device=reference.device)
    return _of_frames(reference).expand(-1, -1, frames, -1, -1), start


def difference(latents: Tensor, reference: Tensor) -> Tensor:
    """Return what a model of differences makes for latents (b, c, f, h, w); `reference` as of `from_reference`."""
    return (latents - _of_frames(reference)) / _DIFFERENCE


def with_difference(made: Tensor, reference: Tensor) -> Tensor:
    """Undo `difference`."""
    return _of_frames(reference) + _DIFFERENCE * made


def _of_frames(reference: Tensor) -> Tensor:
    return reference if reference.dim() == 5 else reference[:, :, None]


def target(schedule: DDIMScheduler, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """Return what the model is to predict: the noise, or the velocity (Salimans & Ho, 2022)."""
    if schedule.config.prediction_type == "epsilon":
        return noise
    return schedule.get_velocity(latents, noise, steps)


def loss_weights(schedule: DDIMScheduler, steps: Tensor, settings: Noise) -> Tensor:
    """Return the min-SNR weight (b,) of each clip at timesteps (b,) (Hang et al., 2023), 1 if gamma is 0.

    For velocity, whose loss is that of clean latents over SNR + 1, the released training bounds SNR + 1, not the SNR: the
    noisiest steps, with which every generation begins, then weigh 1 instead of next to nothing.
    """
    snr = compute_snr(schedule, steps)
    if settings.snr_gamma == 0:
        return torch.ones_like(snr)
    whole = snr if settings.prediction == "epsilon" else snr + 1
    return (whole if settings.snr_weights == "released" else snr).clamp(max=settings.snr_gamma) / whole


def guided(conditional: Tensor, free: Tensor, guidance: float, rescale: float) -> Tensor:
    """Return the prediction of classifier-free guidance (b, ...), its standard deviation scaled back towards that of the
    conditional one by a part `rescale` of 0-1 (Lin et al., 2024, section 3.4)."""
    return rescale_noise_cfg(free + guidance * (conditional - free), conditional, guidance_rescale=rescale)


def errors(prediction: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return each clip's mean squared error (b,) of latents (b, c, f, h, w), times `weights` (b, f, h, w) if there are any."""
    found = (prediction.float() - wanted.float()).square()
    return (found if weights is None else found * weights[:, None]).flatten(1).mean(dim=1)


def by_noise(errors: Tensor, steps: Tensor, settings: Noise) -> Tensor:
    """Return (2, `NOISE_PARTS`): sum of the errors (b,) and number of clips in each part of the timesteps, least noise first."""
    part = steps * NOISE_PARTS // settings.steps
    inside = (part[:, None] == torch.arange(NOISE_PARTS, device=steps.device)).to(errors.dtype)
    return torch.stack([(inside * errors[:, None]).sum(dim=0), inside.sum(dim=0)])
