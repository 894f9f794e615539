"""CovOG: two UNets, two pose encoders and an audio driver, wired together."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from covog.audio_driver import AudioContext, AudioDriver
from covog.config import Model
from covog.diffusion import of_frames
from covog.pose_encoder import PoseEncoder
from covog.unet import Given, Level, UNet
from talking.core.errors import InputError


@dataclass
class Conditioning:
    """The conditions of a window's denoising, which do not depend on the noise; rows are clips × frames.

    `instead` are the reference's latents (b, c, 1 or f, h, w), which a model of differences sees instead of noisy ones.
    """

    pose: torch.Tensor
    image_embed: torch.Tensor
    reference: list[torch.Tensor] | None
    instead: torch.Tensor | None
    audio_context: tuple[list[AudioContext], list[AudioContext]] | None

    def unconditional(self) -> "Conditioning":
        """Return the conditioning of classifier-free guidance's other half: no reference, an embedding of zeros, the rest as it is."""
        return replace(self, image_embed=torch.zeros_like(self.image_embed), reference=None)


class CovOG(nn.Module):
    """The whole model. `forward` predicts; `encode_conditions` and `denoise` are its two halves, for many steps with one conditioning."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.denoising_unet = UNet(config, moves=config.motion, predicts=True)
        self.reference_unet = UNet(config, moves=False, predicts=False)
        width = config.block_out_channels[0]
        self.pose_guider = PoseEncoder(width, block_out_channels=tuple(config.pose_guider_channels))
        self.pose_adaptor = PoseEncoder(width, block_out_channels=tuple(config.pose_adaptor_channels))
        if config.differences:
            if config.pose_guider_channels != config.pose_adaptor_channels:
                raise InputError("model.differences needs the same pose_guider_channels and pose_adaptor_channels.")
            self.pose_guider.awaken()
            self.pose_adaptor.negate(self.pose_guider)
        self.audio_driver = AudioDriver(config) if config.audio else None

    def set_audio_residual(self, residual: str) -> None:
        """Set the arithmetic of the audio blocks: `keep` or `released`, as `Model.audio_residual` says."""
        self.config = replace(self.config, audio_residual=residual)
        for block in [*self.audio_driver.down, *self.audio_driver.up]:
            block.keep_residual = residual == "keep"

    def forward(
        self, noisy_latents: torch.Tensor, timesteps: torch.Tensor, unconditional: bool = False, **conditions: Any
    ) -> torch.Tensor:
        """Return the prediction (b, c, f, h, w) for noisy latents (b, c, f, h, w) at timesteps (b,).

        `conditions` are those of `encode_conditions`; `unconditional` leaves out the reference picture.
        """
        return self.denoise(noisy_latents, timesteps, self.encode_conditions(unconditional=unconditional, **conditions))

    def encode_conditions(
        self,
        *,
        pose: torch.Tensor,
        person_masks: torch.Tensor,
        present: torch.Tensor,
        image_embed: torch.Tensor,
        reference_latents: torch.Tensor,
        reference_pose: torch.Tensor,
        sound: torch.Tensor | None = None,
        scores: torch.Tensor | None = None,
        face_masks: list[torch.Tensor] | None = None,
        unconditional: bool = False,
    ) -> Conditioning:
        """Encode all conditions of a batch of windows.

        `pose` (b, 3, f, H, W) 0-1, `person_masks` (b, p, H, W), `present` (b, p) bool, `image_embed` (b, 1, d),
        `reference_latents` (b, c, h, w) (of a model of differences also of each frame, (b, c, f, h, w)), `reference_pose` (b, 3, H, W) 0-1, `sound` (b, f, layers, channels) or each person's own (b, p, f, layers, channels),
        `scores` (b, p, f) raw scores / 3, `face_masks` (b, p, f, h, w) at 1/8, 1/16, 1/32, 1/64 of the picture.
        """
        audio_context = None
        if self.audio_driver is not None:
            audio_context = self.audio_driver.encode(sound, scores, face_masks, present)
        if not self.config.person_masks:
            person_masks, present = torch.ones_like(person_masks[:, :1]), torch.ones_like(present[:, :1])
        features = self.pose_guider(pose, person_masks, present)
        instead = None
        if self.config.differences:
            # It sees the reference itself; attention to it and its embedding would only help to learn a few clips by heart.
            instead, unconditional = of_frames(reference_latents), True
            features = features + self.pose_adaptor(reference_pose[:, :, None], person_masks, present)
        conditioning = Conditioning(features.transpose(1, 2).flatten(0, 1), image_embed, None, instead, audio_context)
        if unconditional:
            return conditioning.unconditional()
        reference_features = self.pose_adaptor(reference_pose[:, :, None], person_masks, present)
        conditioning.reference = self.keep_reference(reference_latents, reference_features[:, :, 0], image_embed)
        return conditioning

    def keep_reference(
        self, latents: torch.Tensor, pose_features: torch.Tensor, image_embed: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the normed self-attention inputs (b, h·w, c) of the reference UNet, level by level.

        The last level stops there: nothing that comes after is used.
        """
        unet, given = self.reference_unet, Given(image_embed, 1, None)
        start = torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        time = unet.embed_time(start, latents.dtype)
        hidden = (unet.conv_in(latents) + pose_features).contiguous()
        skips, kept = [hidden], []
        for block in unet.down_blocks:
            hidden, left, found = self._run(block, hidden, time, given)
            skips, kept = skips + left, kept + found
        hidden, found = self._run(unet.mid_block, hidden, time, given)
        kept += found
        *up_blocks, last = unet.up_blocks
        for block in up_blocks:
            left = _take(skips, block)
            hidden, found = self._run(block, hidden, time, left, skips[-1].shape[2:], given)
            kept += found
        return kept + self._run(last.keep, hidden, time, _take(skips, last), given)

    def denoise(self, noisy_latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Return the prediction (b, c, f, h, w) for noisy latents (b, c, f, h, w) at timesteps (b,)."""
        unet, frames = self.denoising_unet, noisy_latents.shape[2]
        if conditioning.instead is not None:
            noisy_latents = conditioning.instead.expand(-1, -1, frames, -1, -1)
            timesteps = torch.zeros_like(timesteps)
        time = unet.embed_time(timesteps, noisy_latents.dtype).repeat_interleave(frames, dim=0)
        references = iter(conditioning.reference or [])

        def given(block: Level) -> Given:
            own = list(itertools.islice(references, len(block.attentions)))
            return Given(conditioning.image_embed, frames, own or None)

        heard_down, heard_up = conditioning.audio_context or ([], [])
        hidden = (unet.conv_in(noisy_latents.transpose(1, 2).flatten(0, 1)) + conditioning.pose).contiguous()
        skips = [hidden]
        for level, block in enumerate(unet.down_blocks):
            hidden, left, _ = self._run(block, hidden, time, given(block))
            # The skip connections keep the block's own outputs: only the running state hears the sound.
            skips += left
            if level < len(heard_down):
                hidden = self._run(self.audio_driver.down[level], hidden, heard_down[level])
        hidden, _ = self._run(unet.mid_block, hidden, time, given(unet.mid_block))
        for level, block in enumerate(unet.up_blocks):
            left = _take(skips, block)
            size = skips[-1].shape[2:] if skips else None
            hidden, _ = self._run(block, hidden, time, left, size, given(block))
            if level < len(heard_up):
                hidden = self._run(self.audio_driver.up[level], hidden, heard_up[level])
        return unet.predict(hidden).unflatten(0, (-1, frames)).transpose(1, 2)

    def _run(self, block: Callable, *args: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)


def _take(skips: list[torch.Tensor], block: Level) -> list[torch.Tensor]:
    count = len(block.resnets)
    taken = skips[-count:]
    del skips[-count:]
    return taken
