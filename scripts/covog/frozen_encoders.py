"""The frozen encoders around the model: the VAE, and the CLIP image encoder that embeds the reference picture.

Without downloads there are two replacements: `patches`, the cosine transform of 8×8 px patches in place of the VAE, and
`random`, a small CLIP image encoder with seeded random weights.
"""

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from covog import config
from talking.core.errors import InputError

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# px of a side of a patch, and what brightness is multiplied with, so that its mean has about unit variance.
_PATCH, _CODE_SCALE = 8, 0.3


class FrozenEncoders(nn.Module):
    """VAE and image encoder; pictures go in and out as (n, 3, h, w) uint8."""

    def __init__(self, settings: config.Encoders, model: config.Model) -> None:
        """Load the networks for a model's latents and embeddings. Raises InputError if they do not fit it."""
        super().__init__()
        token_width, channels = model.cross_attention_dim, model.latent_channels
        self.patches = PatchCode(channels) if settings.vae == "patches" else None
        self.vae = _fetched(AutoencoderKL, settings.vae, "encoders.vae") if settings.vae != "patches" else None
        if settings.image_encoder == "random":
            self.image_encoder = _random_clip(token_width)
        else:
            inside = {"subfolder": settings.image_encoder_subfolder} if settings.image_encoder_subfolder else {}
            self.image_encoder = _fetched(
                CLIPVisionModelWithProjection, settings.image_encoder, "encoders.image_encoder", **inside
            )
        self.image_crop = settings.image_crop
        if self.vae is not None and self.vae.config.latent_channels != channels:
            raise InputError(
                f"{settings.vae} makes latents of {self.vae.config.latent_channels} channels; set model.latent_channels to that."
            )
        made = self.image_encoder.config.projection_dim
        if made != token_width:
            raise InputError(
                f"{settings.image_encoder} makes embeddings of width {made}; set model.cross_attention_dim to that."
            )
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation (n, c, h / 8, w / 8) of the pictures' scaled latents; patches have none, (n, 1, 1, 1)."""
        if self.patches is not None:
            mean = self.patches.encode(pictures.float() / 127.5 - 1)
            return mean, mean.new_zeros(len(mean), 1, 1, 1)
        scale = self.vae.config.scaling_factor
        found = self.vae.encode(pictures.to(self.vae.dtype) / 127.5 - 1).latent_dist
        return found.mean * scale, found.std * scale

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures of scaled latents (n, c, h, w)."""
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
    """A fixed linear code in a VAE's place: coefficients of the cosine transform of each 8×8 px patch, as in JPEG.

    Channels are the lowest frequencies of brightness and, to half as high a frequency, of two colour differences. High ones are
    amplified, by less than would give all the same variance: their differences between frames have about the same one then.
    """

    def __init__(self, channels: int) -> None:
        """Make the code of the first `channels` of 192 channels."""
        super().__init__()
        if not 1 <= channels <= 3 * _PATCH**2:
            raise InputError(f"model.latent_channels is {channels}; a patch has {3 * _PATCH**2} numbers.")
        bright = torch.tensor([0.299, 0.587, 0.114])
        planes = torch.stack([bright, *(torch.eye(3)[colour] - bright for colour in (2, 0))])
        cosines = (torch.arange(_PATCH)[:, None] * (torch.arange(_PATCH) + 0.5) * torch.pi / _PATCH).cos()
        cosines = F.normalize(cosines, dim=1)
        # The frequency of a colour difference counts twice.
        places = sorted(
            itertools.product(range(3), range(_PATCH), range(_PATCH)), key=lambda p: (p[1] + p[2]) * (2 if p[0] else 1)
        )[:channels]
        scales = torch.tensor([_CODE_SCALE * (1 + down + across) ** 0.5 for _, down, across in places])
        rows = torch.stack(
            [planes[p][:, None, None] * cosines[down][:, None] * cosines[across] for p, down, across in places]
        )
        rows *= scales[:, None, None, None]
        self.register_buffer("analysis", rows, persistent=False)
        self.register_buffer("synthesis", torch.linalg.pinv(rows.flatten(1)).T.reshape(rows.shape), persistent=False)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return latents (n, c, h / 8, w / 8) of pictures (n, 3, h, w) in -1..1."""
        return F.conv2d(pictures, self.analysis, stride=_PATCH)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures in -1..1 of latents (n, c, h / 8, w / 8)."""
        return F.conv_transpose2d(latents, self.synthesis, stride=_PATCH)


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
