"""The audio driver learns: what the sound alone tells is predicted, and by whom it is said."""

import pytest
import torch

from covog import config, diffusion, trainer
from covog_toys import batch, model

SCHEDULE = diffusion.scheduler(config.Noise())
PEOPLE, FRAMES = 2, 3


def sample(number: int, clips: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict]:
    """Return clean latents, noise, timesteps and conditions: the speaker's face is light or dark as the sound says, frame by frame.

    Neither pose nor reference tell which, and the noise hides it.
    """
    _, _, given = batch(clips=clips, people=PEOPLE, frames=FRAMES, seed=number, dtype=torch.float)
    random = torch.Generator().manual_seed(number)
    said = torch.randint(0, 2, (clips, FRAMES), generator=random) * 2.0 - 1
    speaker = torch.randint(0, PEOPLE, (clips,), generator=random)
    given["sound"] = given["sound"] * 0.1
    given["sound"][:, :, 0] += said[..., None]
    speaks = torch.nn.functional.one_hot(speaker, PEOPLE)[..., None].bool()
    given["scores"] = torch.where(speaks, 1.5, -1.5).repeat(1, 1, FRAMES)
    face = given["face_masks"][0][torch.arange(clips), speaker]
    clean = (2 * said[..., None, None] * face)[:, None].repeat(1, 4, 1, 1, 1)
    steps = torch.randint(500, 999, (clips,), generator=random)
    return clean, torch.randn(clean.shape, generator=random), steps, given


def loss(network, clean, noise, steps, given) -> torch.Tensor:
    prediction = network(SCHEDULE.add_noise(clean, noise, steps), steps, **given)
    weights = diffusion.loss_weights(SCHEDULE, steps, config.Noise())
    return (weights * diffusion.errors(prediction, diffusion.target(SCHEDULE, clean, noise, steps))).mean()


@pytest.mark.slow
def test_stage_2_learns_what_only_sound_and_scores_tell():
    toy = model(alive=False).float()
    trained = trainer.freeze(toy, 2, config.Training(mixed_precision="no"))
    optimizer = torch.optim.AdamW(trained.values(), lr=3e-3)
    for number in range(70):
        loss(toy, *sample(number)).backward()
        optimizer.step()
        optimizer.zero_grad()
    means = {"true": 0.0, "other sound": 0.0, "other speaker": 0.0}
    with torch.no_grad():
        for number in range(10_000, 10_008):
            clean, noise, steps, given = sample(number)
            changed = {
                "true": given,
                "other sound": given | {"sound": -given["sound"]},
                "other speaker": given | {"scores": given["scores"].flip(1)},
            }
            for name, conditions in changed.items():
                means[name] += loss(toy, clean, noise, steps, conditions).item()
    assert means["other sound"] > 3 * means["true"]
    assert means["other speaker"] > 2 * means["true"]


@pytest.mark.parametrize("stage", [1, 2])
def test_all_that_a_stage_trains_has_an_effect(stage):
    second = stage == 2
    toy = model(motion=second, audio=second).float()
    trained = trainer.freeze(toy, stage, config.Training(mixed_precision="no"))
    latents, steps, given = batch(dtype=torch.float)
    toy(latents, steps, **given).square().mean().backward()
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
