"""Variation of training pictures: everything of a clip is moved alike."""

import torch

from covog import config, diffusion, variation
from covog.frozen_encoders import FrozenEncoders


def test_pictures_poses_and_masks_are_moved_alike_and_each_clip_its_own_way():
    model = config.Model(cross_attention_dim=16, latent_channels=192)
    encoders = FrozenEncoders(config.Encoders(vae="patches", image_encoder="random"), model)
    seen = torch.zeros(2, 1, 64, 96)
    seen[:, :, 24:40, 40:56] = 1
    picture = encoders.encode((255 * seen).expand(-1, 3, -1, -1))[0]
    given = {
        "pose": seen[:, :, None],
        "reference_pose": seen,
        "reference_latents": picture,
        "person_masks": seen,
        "image_embed": torch.zeros(2, 1, 16),
    }
    still, same, none = variation.varied(picture[:, :, None], given, None, encoders, 0.0, diffusion.generator(1))
    torch.testing.assert_close(still[:, :, 0], picture, atol=0.02, rtol=0)
    torch.testing.assert_close(same["pose"], given["pose"], atol=1e-5, rtol=0)
    weights = 1 + torch.nn.functional.avg_pool2d(seen, 8)
    clean, moved, within = variation.varied(picture[:, :, None], given, weights, encoders, 0.6, diffusion.generator(1))
    assert none is None
    assert (within - 1 - torch.nn.functional.avg_pool2d(moved["pose"][:, :, 0], 8)).abs().max() < 0.3
    shown = encoders.decode(clean[:, :, 0]).float() / 255
    for name in ("pose", "reference_pose"):
        assert (shown - moved[name].reshape(2, 1, 64, 96)).abs().max() < 0.02
    torch.testing.assert_close(clean[:, :, 0], moved["reference_latents"])
    assert ((moved["person_masks"] > 0) != (moved["reference_pose"] > 0.5)).float().mean() < 0.01
    assert (shown[0] - shown[1]).abs().max() > 0.5
    assert moved["image_embed"] is given["image_embed"]
