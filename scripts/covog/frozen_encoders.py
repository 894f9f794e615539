"""The frozen encoders around the model: the VAE, and the CLIP image encoder that embeds the reference picture.

Without downloads there are two replacements: `patches`, a fixed code of 8×8 px patches in place of the VAE, and
`random`, a small CLIP image encoder with seeded random weights.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from covog import config
from talking.core.errors import InputError

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class FrozenEncoders(nn.Module):
    """VAE and image encoder; pictures go in and out as (n, 3, h, w) uint8."""

    def __init__(self, settings: config.Encoders, token_width: int) -> None:
        super().__init__()
        self.patches = PatchCode() if settings.vae == "patches" else None
        self.vae = _fetched(AutoencoderKL, settings.vae, "encoders.vae") if settings.vae != "patches" else None
        if settings.image_encoder == "random":
            self.image_encoder = _random_clip(token_width)
        else:
            inside = {"subfolder": settings.image_encoder_subfolder} if settings.image_encoder_subfolder else {}
            self.image_encoder = _fetched(
                CLIPVisionModelWithProjection, settings.image_encoder, "encoders.image_encoder", **inside
            )
        self.image_crop = settings.image_crop
        made = self.image_encoder.config.projection_dim
        if made != token_width:
            raise InputError(
                f"{settings.image_encoder} makes embeddings of width {made}; set model.cross_attention_dim to that."
            )
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation (n, 4, h / 8, w / 8) of the pictures' scaled latents."""
        if self.patches is not None:
            mean = self.patches.encode(pictures.float() / 127.5 - 1)
            return mean, torch.zeros_like(mean)
        scale = self.vae.config.scaling_factor
        found = self.vae.encode(pictures.to(self.vae.dtype) / 127.5 - 1).latent_dist
        return found.mean * scale, found.std * scale

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures of scaled latents (n, 4, h, w)."""
        if self.patches is not None:
            pictures = self.patches.decode(latents.float())
        else:
            pictures = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def image_embeds(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return one embedding (n, d) for each picture, which CLIP sees as a square: squashed or cropped, as `image_crop` says."""
        side = self.image_encoder.config.image_size
        if self.image_crop == "centre":
            height, width = pictures.shape[2:]
            square = min(height, width)
            top, left = (height - square) // 2, (width - square) // 2
            pictures = pictures[:, :, top : top + square, left : left + square]
        small = F.interpolate(pictures.float(), (side, side), mode="bicubic", antialias=True).clamp(0, 255) / 255
        mean, std = (torch.tensor(v, device=small.device)[:, None, None] for v in (_CLIP_MEAN, _CLIP_STD))
        return self.image_encoder(((small - mean) / std).to(self.image_encoder.dtype)).image_embeds


class PatchCode(nn.Module):
    """A fixed linear code in a VAE's place: of each 8×8 px patch the mean colour and the slope of its brightness.

    Its four channels are brightness, brightness's slope from top to bottom, and two colour differences, each scaled to
    about unit variance on pictures of people.
    """

    _SCALE = (3.0, 12.0, 8.0, 8.0)

    def __init__(self) -> None:
        super().__init__()
        bright = torch.tensor([0.299, 0.587, 0.114])
        blue, red = (torch.eye(3)[channel] - bright for channel in (2, 0))
        flat = torch.ones(8, 8)
        slope = torch.linspace(1, -1, 8)[:, None].expand(8, 8)
        colours, shapes = torch.stack([bright, bright, blue, red]), torch.stack([flat, slope, flat, flat])
        rows = torch.einsum("kc,kyx->kcyx", colours, shapes) * torch.tensor(self._SCALE)[:, None, None, None] / 64
        self.register_buffer("analysis", rows, persistent=False)
        self.register_buffer("synthesis", torch.linalg.pinv(rows.flatten(1)).T.reshape(rows.shape), persistent=False)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return latents (n, 4, h / 8, w / 8) of pictures (n, 3, h, w) in -1..1."""
        return F.conv2d(pictures, self.analysis, stride=8)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures in -1..1 of latents (n, 4, h / 8, w / 8)."""
        return F.conv_transpose2d(latents, self.synthesis, stride=8)


def _fetched(kind: type, source: str, key: str, **inside: str) -> nn.Module:
    # Weights come from a folder that a rule has filled: nothing is downloaded here.
    if not Path(source).is_dir():
        raise InputError(f"{key} is {source!r}, which is no folder; download its weights first or name their folder.")
    try:
        return kind.from_pretrained(source, local_files_only=True, **inside)
    except (OSError, ValueError) as error:
        raise InputError(f"{key}: {source} holds no weights that can be read ({error}).") from error


def _random_clip(token_width: int) -> CLIPVisionModelWithProjection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=64,
                patch_size=16,
                projection_dim=token_width,
            )
        )
