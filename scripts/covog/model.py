"""CovOG: two UNets, two pose encoders and an audio driver, wired together."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from covog.audio_driver import AudioContext, AudioDriver
from covog.config import Model
from covog.pose_encoder import PoseEncoder
from covog.unet import Given, UNet
from talking.core.errors import InputError


@dataclass
class Conditioning:
    """The conditions of a window's denoising, which do not depend on the noise; rows are clips × frames."""

    pose: Tensor
    image_embed: Tensor
    reference: list[Tensor]
    audio_context: tuple[list[AudioContext], list[AudioContext]]

    def unconditional(self) -> "Conditioning":
        """Return the conditioning of classifier-free guidance's other half: no reference, an embedding of zeros, the rest as it is."""
        return replace(self, image_embed=torch.zeros_like(self.image_embed), reference=[])


class CovOG(nn.Module):
    """The whole model. `forward` predicts; `encode_conditions` and `denoise` are its two halves, for many steps with one conditioning."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        # A copy: conversion changes `audio_residual` in it.
        self.config = config = replace(config)
        self.denoising_unet = UNet(config, moves=config.motion, predicts=True)
        # A model of differences sees the reference in place of noise.
        self.reference_unet = None if config.differences else UNet(config, moves=False, predicts=False)
        width = config.block_out_channels[0]
        self.pose_guider = PoseEncoder(width, block_out_channels=tuple(config.pose_guider_channels))
        self.pose_adaptor = PoseEncoder(width, block_out_channels=tuple(config.pose_adaptor_channels))
        if config.differences:
            if config.pose_guider_channels != config.pose_adaptor_channels:
                raise InputError("model.differences needs the same pose_guider_channels and pose_adaptor_channels.")
            self.pose_guider.awaken()
            # The sum of both begins at 0 where poses are the same.
            self.pose_adaptor.load_state_dict(self.pose_guider.state_dict())
            self.pose_adaptor.conv_out.weight.data.neg_()
        self.audio_driver = AudioDriver(config) if config.audio else None

    def forward(
        self, noisy_latents: Tensor, timesteps: Tensor, unconditional: bool = False, **conditions: Any
    ) -> Tensor:
        """Return the prediction (b, c, f, h, w) for noisy latents (b, c, f, h, w) at timesteps (b,).

        `conditions` are those of `encode_conditions`; `unconditional` leaves out the reference picture.
        """
        return self.denoise(noisy_latents, timesteps, self.encode_conditions(unconditional=unconditional, **conditions))

    def encode_conditions(
        self,
        *,
        pose: Tensor,
        person_masks: Tensor,
        present: Tensor,
        image_embed: Tensor,
        reference_latents: Tensor,
        reference_pose: Tensor,
        sound: Tensor | None = None,
        scores: Tensor | None = None,
        face_masks: list[Tensor] | None = None,
        unconditional: bool = False,
    ) -> Conditioning:
        """Encode all conditions of a batch of windows.

        `pose` (b, 3, f, H, W) 0-1, `person_masks` (b, p, H, W), `present` (b, p) bool, `image_embed` (b, 1, d),
        `reference_latents` (b, c, h, w), which a model of differences does not need here, `reference_pose` (b, 3, H, W) 0-1, `sound` (b, f, layers, channels) or each person's own (b, p, f, layers, channels),
        `scores` (b, p, f) raw scores / 3, `face_masks` (b, p, f, h, w) at 1/8, 1/16, 1/32, 1/64 of the picture.
        """
        audio_context = [], []
        if self.audio_driver is not None:
            audio_context = self.audio_driver.encode(sound, scores, face_masks, present)
        if not self.config.person_masks:
            person_masks, present = torch.ones_like(person_masks[:, :1]), torch.ones_like(present[:, :1])
        features = self.pose_guider(pose, person_masks, present)
        if self.config.differences or not unconditional:
            reference_features = self.pose_adaptor(reference_pose[:, :, None], person_masks, present)
        if self.config.differences:
            # It sees the reference itself: attention to it and its embedding would only help to learn a few clips by heart.
            features, unconditional = features + reference_features, True
        conditioning = Conditioning(features.transpose(1, 2).flatten(0, 1), image_embed, [], audio_context)
        if unconditional:
            return conditioning.unconditional()
        start, given = torch.zeros_like(present[:, 0], dtype=torch.long), Given(image_embed, 1, iter([]))
        _, conditioning.reference = self.reference_unet(reference_latents, reference_features[:, :, 0], start, given)
        return conditioning

    def denoise(self, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the prediction (b, c, f, h, w) for noisy latents (b, c, f, h, w) at timesteps (b,)."""
        frames, hear = noisy_latents.shape[2], ([], [])
        if self.audio_driver is not None:
            sides = zip((self.audio_driver.down, self.audio_driver.up), conditioning.audio_context, strict=True)
            hear = [[partial(block, audio_context=heard) for block, heard in zip(*side, strict=True)] for side in sides]
        given = Given(conditioning.image_embed, frames, iter(conditioning.reference))
        rows = noisy_latents.transpose(1, 2).flatten(0, 1)
        prediction, _ = self.denoising_unet(rows, conditioning.pose, timesteps, given, hear)
        return prediction.unflatten(0, (-1, frames)).transpose(1, 2)
