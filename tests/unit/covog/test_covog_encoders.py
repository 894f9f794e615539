"""The code of patches that stands in for the VAE."""

import pytest
import torch

from covog import config
from covog.frozen_encoders import FrozenEncoders
from covog_clips import busy_pictures
from talking.core.errors import InputError


def encoders(channels: int) -> FrozenEncoders:
    model = config.Model(cross_attention_dim=16, latent_channels=channels)
    return FrozenEncoders(config.Encoders(vae="patches", image_encoder="random"), model)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.stack([torch.from_numpy(p.copy()) for p in busy_pictures(3)]).permute(0, 3, 1, 2)


def test_the_code_of_patches_keeps_the_more_the_more_channels_it_has_and_all_with_192(pictures):
    errors = []
    for channels in (1, 4, 21, 84, 192):
        code = encoders(channels)
        mean, std = code.encode(pictures)
        assert mean.shape == (3, channels, 8, 12)
        assert not std.any()
        torch.testing.assert_close(code.encode(code.decode(mean))[0], mean, atol=0.02, rtol=0)
        errors.append((code.decode(mean).float() - pictures.float()).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert len(set(errors)) == len(errors)
    assert errors[-1] == 0


def test_its_first_channels_are_the_mean_colour_and_the_slopes_of_brightness(pictures):
    code = encoders(5)
    grey = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8)
    found = code.encode(grey)[0].flatten()
    assert found[0] > 0.5
    assert found[1:].abs().max() < 1e-5
    coloured = torch.tensor([200, 100, 50], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 8, 8)
    assert (code.decode(code.encode(coloured)[0]).int() - coloured.int()).abs().max() <= 1


@pytest.mark.parametrize("channels", [0, 193])
def test_a_number_of_channels_that_no_patch_has_is_refused(channels):
    with pytest.raises(InputError, match=f"model.latent_channels is {channels}; a patch has 192 numbers"):
        encoders(channels)
