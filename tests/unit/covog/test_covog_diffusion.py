"""Each noise and loss setting against its formula."""

import numpy as np
import pytest
import torch

from covog import diffusion
from covog.config import Noise
from talking.core.errors import InputError


def signal_to_noise(settings: Noise) -> np.ndarray:
    """The cumulated alphas of the schedule, by the papers."""
    if settings.beta_schedule == "scaled_linear":
        betas = np.linspace(settings.beta_start**0.5, settings.beta_end**0.5, settings.steps) ** 2
    else:
        betas = np.linspace(settings.beta_start, settings.beta_end, settings.steps)
    root = np.sqrt(np.cumprod(1 - betas))
    if settings.zero_terminal_snr:
        # Lin et al., 2024: shift the last one to 0, scale so that the first one stays.
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize("zero", [True, False])
def test_schedule(schedule, zero):
    settings = Noise(beta_schedule=schedule, zero_terminal_snr=zero)
    ours = diffusion.scheduler(settings).alphas_cumprod.double().numpy()
    np.testing.assert_allclose(ours, signal_to_noise(settings), atol=2e-6)
    assert (ours[-1] == 0) == zero


def test_generation_starts_at_the_last_step():
    schedule = diffusion.scheduler(Noise())
    schedule.set_timesteps(20)
    assert schedule.timesteps.tolist() == list(range(999, 0, -50))


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_noised_latents_and_target(prediction):
    settings = Noise(prediction=prediction, zero_terminal_snr=prediction != "epsilon")
    schedule = diffusion.scheduler(settings)
    latents, noise = torch.randn(2, 4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2)
    steps = torch.tensor([10, 999])
    alpha = torch.tensor(signal_to_noise(settings)[steps]).float().reshape(2, 1, 1, 1, 1)
    torch.testing.assert_close(
        schedule.add_noise(latents, noise, steps),
        alpha.sqrt() * latents + (1 - alpha).sqrt() * noise,
        atol=1e-4,
        rtol=0,
    )
    wanted = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    torch.testing.assert_close(diffusion.target(schedule, latents, noise, steps), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["released", "paper"])
@pytest.mark.parametrize("gamma", [5.0, 0.0])
@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_min_snr_weights(prediction, gamma, form):
    settings = Noise(prediction=prediction, zero_terminal_snr=False, snr_gamma=gamma, snr_weights=form)
    steps = torch.tensor([0, 100, 500, 999])
    alpha = signal_to_noise(settings)[steps]
    snr = alpha / (1 - alpha)
    added = prediction == "v_prediction"
    bounded = np.minimum(snr + (added and form == "released"), gamma)
    wanted = bounded / (snr + added) if gamma else np.ones(4)
    ours = diffusion.loss_weights(diffusion.scheduler(settings), steps, settings)
    np.testing.assert_allclose(ours, wanted, rtol=2e-3)


def test_pure_noise_has_full_weight_as_released_and_none_as_in_the_paper():
    steps = torch.tensor([999])
    for form, weight in (("released", 1), ("paper", 0)):
        settings = Noise(snr_weights=form)
        assert diffusion.loss_weights(diffusion.scheduler(settings), steps, settings).item() == weight


def test_pure_noise_cannot_be_learnt_as_noise():
    with pytest.raises(InputError, match="zero_terminal_snr needs"):
        diffusion.scheduler(Noise(prediction="epsilon"))


def test_offset_is_shared_by_frames_and_pixels_of_a_clip_and_channel():
    latents = torch.zeros(400, 4, 2, 3, 3)
    noise = diffusion.noise_like(latents, 0.5, diffusion.generator(1))
    means = noise.mean(dim=(2, 3, 4))
    assert means.std().item() == pytest.approx((0.5**2 + 1 / 18) ** 0.5, rel=0.05)
    plain = diffusion.noise_like(latents, 0.0, diffusion.generator(1))
    shared = noise - plain
    assert (shared.amax((2, 3, 4)) - shared.amin((2, 3, 4))).max() < 1e-6
    assert abs(np.corrcoef(shared[:, 0, 0, 0, 0], shared[:, 1, 0, 0, 0])[0, 1]) < 0.15


def test_errors_are_of_clips_and_are_recorded_by_how_noisy_they_were():
    prediction, wanted = torch.tensor([[1.0, 3.0], [2.0, 2.0], [1.0, 1.0]]), torch.zeros(3, 2)
    errors = diffusion.errors(prediction, wanted)
    assert errors.tolist() == [5, 4, 1]
    sums, counts = diffusion.by_noise(errors, torch.tensor([0, 999, 249]), Noise())
    assert (sums.tolist(), counts.tolist()) == ([6, 0, 0, 4], [2, 0, 0, 1])


def test_guided_predictions_are_scaled_back_to_the_spread_of_conditional_ones():
    conditional, free = torch.randn(2, 2, 4, 3, 5, 5)
    plain = diffusion.guided(conditional, free, 4.0, 0.0)
    torch.testing.assert_close(plain, free + 4 * (conditional - free))
    whole = diffusion.guided(conditional, free, 4.0, 1.0)
    for clip in range(2):
        assert whole[clip].std().item() == pytest.approx(conditional[clip].std().item(), rel=1e-4)
    half = diffusion.guided(conditional, free, 4.0, 0.5)
    torch.testing.assert_close(half, (plain + whole) / 2)


def test_draws_depend_on_the_numbers_alone():
    first = torch.rand(3, generator=diffusion.generator(7, 1, 2))
    assert torch.equal(first, torch.rand(3, generator=diffusion.generator(7, 1, 2)))
    assert not torch.equal(first, torch.rand(3, generator=diffusion.generator(7, 2, 1)))


def test_a_latents_weight_acts_on_it_alone():
    random = torch.Generator().manual_seed(0)
    wanted, start = (torch.randn(2, 4, 3, 5, 8, generator=random) for _ in range(2))
    weights = torch.ones(2, 3, 5, 8)
    weights[1, 2, 1:3, 4] = 7
    gradients = []
    for given in (None, weights):
        prediction = start.clone().requires_grad_()
        diffusion.errors(prediction, wanted, given).sum().backward()
        gradients.append(prediction.grad)
    plain, weighted = gradients
    inside = (weights == 7)[:, None].expand_as(plain)
    assert torch.equal(weighted[~inside], plain[~inside])
    torch.testing.assert_close(weighted[inside], 7 * plain[inside])
    same = diffusion.errors(start, wanted, torch.ones_like(weights))
    assert torch.equal(same, diffusion.errors(start, wanted))
