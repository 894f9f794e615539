"""CovOG: two UNets of diffusers' parts, two pose encoders and an audio driver, wired together.

The UNets' own forward functions have no arguments for the pose features, the kept self-attention inputs and the audio
blocks, so `CovOG` calls their blocks one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from covog.audio_driver import AudioContext, AudioDriver
from covog.config import Model
from covog.pose_encoder import PoseEncoder
from covog.reference import set_processors


@dataclass
class Conditioning:
    """The conditions of a window's denoising, which do not depend on the noise; rows are clips × frames."""

    pose: torch.Tensor
    image_embed: torch.Tensor
    reference: list[torch.Tensor] | None
    audio_context: tuple[list[AudioContext], list[AudioContext]] | None

    def unconditional(self) -> "Conditioning":
        """Return the conditioning of classifier-free guidance's other half: no reference, an embedding of zeros, the rest as it is."""
        return Conditioning(self.pose, torch.zeros_like(self.image_embed), None, self.audio_context)


class CovOG(nn.Module):
    """The whole model. `forward` predicts; `encode_conditions` and `denoise` are its two halves, for many steps with one conditioning."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.denoising_unet = _denoising_unet(config)
        self.reference_unet = _reference_unet(config)
        width = config.block_out_channels[0]
        self.pose_guider = PoseEncoder(width, block_out_channels=tuple(config.pose_guider_channels))
        self.pose_adaptor = PoseEncoder(width, block_out_channels=tuple(config.pose_adaptor_channels))
        self.audio_driver = AudioDriver(config) if config.audio else None

    def set_audio_residual(self, residual: str) -> None:
        """Set the arithmetic of the audio blocks: `keep` or `released`, as `Model.audio_residual` says."""
        self.config = replace(self.config, audio_residual=residual)
        for block in [*self.audio_driver.down, *self.audio_driver.up]:
            block.keep_residual = residual == "keep"

    def forward(
        self, noisy_latents: torch.Tensor, timesteps: torch.Tensor, unconditional: bool = False, **conditions: Any
    ) -> torch.Tensor:
        """Return the prediction (b, 4, f, h, w) for noisy latents (b, 4, f, h, w) at timesteps (b,).

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
        `reference_latents` (b, 4, h, w), `reference_pose` (b, 3, H, W) 0-1, `sound` (b, f, layers, channels) or each person's own (b, p, f, layers, channels),
        `scores` (b, p, f) raw scores / 3, `face_masks` (b, p, f, h, w) at 1/8, 1/16, 1/32, 1/64 of the picture.
        """
        audio_context = None
        if self.audio_driver is not None:
            audio_context = self.audio_driver.encode(sound, scores, face_masks, present)
        if not self.config.person_masks:
            person_masks, present = torch.ones_like(person_masks[:, :1]), torch.ones_like(present[:, :1])
        features = self.pose_guider(pose, person_masks, present)
        conditioning = Conditioning(features.transpose(1, 2).flatten(0, 1), image_embed, None, audio_context)
        if unconditional:
            return conditioning.unconditional()
        reference_features = self.pose_adaptor(reference_pose[:, :, None], person_masks, present)[:, :, 0]
        conditioning.reference = self.keep_reference(reference_latents, reference_features, image_embed)
        return conditioning

    def keep_reference(
        self, latents: torch.Tensor, pose_features: torch.Tensor, image_embed: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the normed self-attention inputs (b, h·w, c) of the reference UNet, block by block.

        The last one's block stops there: nothing that comes after is used.
        """
        unet = self.reference_unet
        start = torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        time = _time_embedding(unet, start, latents.dtype)
        kept: list[torch.Tensor] = []

        def run(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
            out, left_behind = self._run(_keeping(block, image_embed), *args, **kwargs)
            kept.extend(left_behind)
            return out

        hidden = unet.conv_in(latents) + pose_features
        skips = [hidden]
        for block in unet.down_blocks:
            hidden, left = run(block, hidden, time)
            skips += left
        hidden = run(unet.mid_block, hidden, time)
        *up_blocks, last = unet.up_blocks
        for block in up_blocks:
            left = _take(skips, block)
            hidden = run(block, hidden, left, temb=time, upsample_size=skips[-1].shape[2:])
        kept.extend(self._run(_keep_of_last_block, last, hidden, _take(skips, last), time, image_embed))
        return kept

    def denoise(self, noisy_latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Return the prediction (b, 4, f, h, w) for noisy latents (b, 4, f, h, w) at timesteps (b,)."""
        unet, frames = self.denoising_unet, noisy_latents.shape[2]
        time = _time_embedding(unet, timesteps, noisy_latents.dtype).repeat_interleave(frames, dim=0)
        shared = {
            "encoder_hidden_states": conditioning.image_embed,
            "num_frames": frames,
            "cross_attention_kwargs": {"reference": conditioning.reference},
        }
        heard_down, heard_up = conditioning.audio_context or ([], [])
        hidden = unet.conv_in(noisy_latents.transpose(1, 2).flatten(0, 1)) + conditioning.pose
        skips = [hidden]
        for level, block in enumerate(unet.down_blocks):
            hidden, left = self._run(block, hidden, time, **shared)
            # The skip connections keep the block's own outputs: only the running state hears the sound.
            skips += left
            if level < len(heard_down):
                hidden = self._run(self.audio_driver.down[level], hidden, heard_down[level])
        hidden = self._run(unet.mid_block, hidden, time, **shared)
        for level, block in enumerate(unet.up_blocks):
            left = _take(skips, block)
            size = skips[-1].shape[2:] if skips else None
            context = shared if hasattr(block, "attentions") else {"num_frames": frames}
            hidden = self._run(block, hidden, left, temb=time, upsample_size=size, **context)
            if level < len(heard_up):
                hidden = self._run(self.audio_driver.up[level], hidden, heard_up[level])
        out = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
        return out.unflatten(0, (-1, frames)).transpose(1, 2)

    def _run(self, block: Callable, *args: Any, **kwargs: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False, **kwargs)
        return block(*args, **kwargs)


class FrameGroupNorm(nn.GroupNorm):
    """Group norm of each frame alone, as AnimateDiff's modules have it in CovOG (diffusers' own is over all frames)."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return normed (b, c, f, h, w)."""
        batch = len(hidden)
        return super().forward(hidden.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)


class NoMotion(nn.Module):
    """Replaces a motion module in a model of stills: it changes nothing."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the hidden state as it is."""
        return hidden_states


def _reference_unet(config: Model) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        cross_attention_dim=config.cross_attention_dim,
        norm_num_groups=config.norm_groups,
        attention_head_dim=config.heads,  # diffusers' name for what is the number of heads here
    )
    unet.conv_norm_out = unet.conv_act = unet.conv_out = None
    set_processors(unet)
    return unet


def _denoising_unet(config: Model) -> UNetMotionModel:
    unet = UNetMotionModel(
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        cross_attention_dim=config.cross_attention_dim,
        norm_num_groups=config.norm_groups,
        num_attention_heads=config.heads,
        motion_num_attention_heads=config.motion_heads,
        motion_max_seq_length=config.motion_max_frames,
        temporal_transformer_layers_per_block=config.motion_layers,
        temporal_transformer_layers_per_mid_block=config.motion_layers,
    )
    for block in [*unet.down_blocks, unet.mid_block, *unet.up_blocks]:
        if config.motion and (config.motion_mid_block or block is not unet.mid_block):
            for module in block.motion_modules:
                module.norm = FrameGroupNorm(config.norm_groups, module.in_channels, eps=module.norm.eps)
                # As AnimateDiff starts: a motion module that changes nothing.
                nn.init.zeros_(module.proj_out.weight)
                nn.init.zeros_(module.proj_out.bias)
        else:
            block.motion_modules = nn.ModuleList(NoMotion() for _ in block.motion_modules)
    set_processors(unet)
    return unet


def _time_embedding(
    unet: UNet2DConditionModel | UNetMotionModel, timesteps: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    return unet.time_embedding(unet.time_proj(timesteps).to(dtype))


def _take(skips: list[torch.Tensor], block: nn.Module) -> tuple[torch.Tensor, ...]:
    count = len(block.resnets)
    taken = tuple(skips[-count:])
    del skips[-count:]
    return taken


def _keeping(block: nn.Module, image_embed: torch.Tensor) -> Callable:
    def call(*args: Any, **kwargs: Any) -> tuple[Any, list[torch.Tensor]]:
        kept: list[torch.Tensor] = []
        if hasattr(block, "attentions"):
            kwargs |= {"encoder_hidden_states": image_embed, "cross_attention_kwargs": {"kept": kept}}
        return block(*args, **kwargs), kept

    return call


def _keep_of_last_block(
    block: nn.Module,
    hidden: torch.Tensor,
    skips: tuple[torch.Tensor, ...],
    time: torch.Tensor,
    image_embed: torch.Tensor,
) -> list[torch.Tensor]:
    kept: list[torch.Tensor] = []
    for skip, resnet, transformer in zip(reversed(skips), block.resnets, block.attentions, strict=True):
        hidden = resnet(torch.cat([hidden, skip], dim=1), time)
        if transformer is block.attentions[-1]:
            break
        hidden = transformer(hidden, image_embed, cross_attention_kwargs={"kept": kept}, return_dict=False)[0]
    tokens = transformer.proj_in(transformer.norm(hidden)).flatten(2).transpose(1, 2)
    return [*kept, transformer.transformer_blocks[0].norm1(tokens)]
