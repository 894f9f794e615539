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
    faces = [torch.zeros(2, 1, 1, 8, 12)]
    still, same, none = variation.varied(
        picture[:, :, None], given, None, faces, encoders, 0.0, 0, diffusion.generator(1)
    )
    torch.testing.assert_close(still[:, :, 0], picture, atol=0.02, rtol=0)
    torch.testing.assert_close(same["pose"], given["pose"], atol=1e-5, rtol=0)
    weights = 1 + torch.nn.functional.avg_pool2d(seen, 8)
    clean, moved, within = variation.varied(
        picture[:, :, None], given, weights, faces, encoders, 0.6, 0, diffusion.generator(1)
    )
    assert none is None
    assert (within - 1 - torch.nn.functional.avg_pool2d(moved["pose"][:, :, 0], 8)).abs().max() < 0.3
    shown = encoders.decode(clean[:, :, 0]).float() / 255
    for name in ("pose", "reference_pose"):
        assert (shown - moved[name].reshape(2, 1, 64, 96)).abs().max() < 0.02
    torch.testing.assert_close(clean[:, :, 0], moved["reference_latents"])
    assert ((moved["person_masks"] > 0) != (moved["reference_pose"] > 0.5)).float().mean() < 0.01
    assert (shown[0] - shown[1]).abs().max() > 0.5
    assert moved["image_embed"] is given["image_embed"]


def test_a_crop_shows_one_of_the_faces_in_all_frames_and_leaves_out_who_is_not_in_it():
    model = config.Model(cross_attention_dim=16, latent_channels=192)
    encoders = FrozenEncoders(config.Encoders(vae="patches", image_encoder="random"), model)
    size, frames, clips = (64, 192), 3, 8
    # Three persons; the last one is padding. A clip's faces differ in brightness, so that it is seen whose face a crop shows.
    masks = torch.zeros(clips, 3, *size)
    masks[:, 0, 8:, 8:56], masks[:, 1, 8:, 136:184] = 1, 1
    seen = torch.zeros(clips, 1, *size)
    seen[:, :, 16:48, 16:48], seen[:, :, 16:48, 144:176] = 0.5, 1
    faces = [torch.zeros(clips, 3, frames, 8 // 2**n, 24 // 2**n) for n in range(3)]
    for level, mask in enumerate(faces):
        inside = torch.nn.functional.avg_pool2d((seen == torch.tensor([0.5, 1]).view(2, 1, 1)).float(), 8 * 2**level)
        mask[:, :2] = inside[:, :, None]
    still = encoders.encode((255 * seen).expand(-1, 3, -1, -1))[0]
    given = {
        "pose": seen[:, :, None].expand(-1, -1, frames, -1, -1),
        "reference_pose": seen,
        "reference_latents": still,
        "person_masks": masks,
        "present": torch.tensor([[True, True, False]]).expand(clips, -1),
        "scores": torch.tensor([0.5, 1, 0]).view(1, 3, 1).expand(clips, -1, frames),
        "face_masks": faces,
        "image_embed": torch.zeros(clips, 1, 16),
    }
    latents = still[:, :, None].expand(-1, -1, frames, -1, -1)
    clean, moved, _ = variation.varied(latents, given, None, faces, encoders, 0.0, 64, diffusion.generator(1))
    assert clean.shape == (clips, 192, frames, 8, 8)
    shown = encoders.decode(clean.transpose(1, 2).flatten(0, 1)).float().mean(1).unflatten(0, (clips, frames)) / 255
    assert (shown - moved["pose"][:, 0]).abs().max() < 0.02
    whose = shown.amax(dim=(1, 2, 3))
    assert {round(float(one), 1) for one in whose} == {0.5, 1.0}
    # Nobody else is left, and what a person brings along comes with the person.
    assert moved["present"].all()
    assert moved["present"].shape == (clips, 1)
    torch.testing.assert_close(moved["scores"][:, 0, 0], whose, atol=0.02, rtol=0)
    for level, mask in enumerate(moved["face_masks"]):
        assert mask.shape == (clips, 1, frames, 8 // 2**level, 8 // 2**level)
        at = torch.nn.functional.avg_pool2d((moved["pose"][:, 0] > 0.25).float(), 8 * 2**level)
        assert (mask[:, 0] - at).abs().max() < 0.1
