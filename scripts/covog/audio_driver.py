"""The audio driver: sound, gated by who speaks, moves each person's face region (CovOG's interactive audio driver)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from covog.config import Model
from covog.unet import Attention, as_picture

# Face-mask level (0 is 1/8 of the picture, each next one half of that) at each audio block.
DOWN_LEVELS, UP_LEVELS = (1, 2, 3), (2, 1)


@dataclass
class AudioContext:
    """Input of one audio block: keys and values (b·f, p, tokens, c), face masks (b·f, p, h, w), persons (b·f, 1, 1)."""

    keys: Tensor
    values: Tensor
    masks: Tensor
    persons: Tensor


class AudioProjection(nn.Module):
    """Turn a frame's sound embedding (layers × channels) into tokens."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.tokens = config.audio_tokens
        self.proj1 = nn.Linear(config.audio_layers * config.audio_channels, config.audio_hidden)
        self.proj2 = nn.Linear(config.audio_hidden, config.audio_hidden)
        self.proj3 = nn.Linear(config.audio_hidden, config.audio_tokens * config.audio_dim)
        self.norm = nn.LayerNorm(config.audio_dim)

    def forward(self, sound: Tensor) -> Tensor:
        """Return tokens (…, tokens, audio_dim) of sound (…, layers, channels)."""
        hidden = F.relu(self.proj2(F.relu(self.proj1(sound.flatten(-2)))))
        return self.norm(self.proj3(hidden).unflatten(-1, (self.tokens, -1)))


class AudioBlock(nn.Module):
    """One transformer block in which every person's face region attends to the sound, weighted by how much that person speaks."""

    def __init__(self, width: int, config: Model) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.GroupNorm(config.norm_groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, kernel_size=1)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.gate = nn.Linear(1, config.audio_dim)
        self.attention = Attention(width, 1, config.audio_dim)
        self.zero_conv = nn.Conv2d(width, width, kernel_size=1)
        self.feed_forward = FeedForward(width, activation_fn="geglu")
        self.proj_out = nn.Conv2d(width, width, kernel_size=1)
        for output in (self.zero_conv, self.proj_out):
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)

    def encode(self, tokens: Tensor, scores: Tensor, masks: Tensor, present: Tensor) -> AudioContext:
        """Return each person's keys and values; they do not depend on the noise, so they serve all denoising steps.

        `tokens` (b, 1 or p, f, t, d), everybody's or each person's own, `scores` (b, p, f), `masks` (b, p, f, h, w), `present` (b, p) bool.
        """
        gates = torch.sigmoid(self.gate(scores.transpose(1, 2)[..., None].to(tokens.dtype)))
        gated = (tokens.transpose(1, 2) * gates[..., None, :]).flatten(0, 1)
        masks = torch.where(present[:, :, None, None, None], masks, torch.zeros_like(masks))
        persons = present.sum(dim=1).repeat_interleave(tokens.shape[2])
        keys, values = self.attention.to_k(gated), self.attention.to_v(gated)
        masks = masks.transpose(1, 2).flatten(0, 1).to(tokens.dtype)
        return AudioContext(keys, values, masks, persons[:, None, None].to(tokens.dtype))

    def forward(self, hidden: Tensor, audio_context: AudioContext) -> Tensor:
        """Return the hidden state (b·f, c, h, w) with what is heard added."""
        height, width = hidden.shape[2:]
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        normed = self.norm1(tokens)
        query = self.attention.to_q(self.norm2(normed))
        masks = audio_context.masks.flatten(2).transpose(1, 2)
        # All persons' tokens in one product: a softmax over each person's own, times the person's mask. One head as wide as
        # the hidden state fits no fused attention kernel.
        weights = (query @ audio_context.keys.flatten(1, 2).transpose(1, 2) * query.shape[-1] ** -0.5).unflatten(
            2, audio_context.keys.shape[1:3]
        )
        weights = weights.softmax(dim=-1) * masks[..., None]
        # The output projection and the zero convolution are linear: summing the masked persons before them
        # gives the same as summing after, in one product rather than one per person. Biases are added as often
        # as they would be: the projection's under each mask, the convolution's once for each real person.
        out = self.attention.to_out[0]
        heard = weights.flatten(2).to(query.dtype) @ audio_context.values.flatten(1, 2)
        heard = F.linear(heard, out.weight) + out.bias * masks.sum(dim=2, keepdim=True)
        zero = self.zero_conv
        moved = F.linear(heard, zero.weight.flatten(1)) + zero.bias * audio_context.persons
        tokens = (tokens if self.config.audio_residual == "keep" else normed) + moved
        tokens = tokens + self.feed_forward(self.norm3(tokens))
        return hidden + self.proj_out(as_picture(tokens, height, width))


class AudioDriver(nn.Module):
    """The audio projection and the five audio blocks: after down blocks 0, 1, 2 and up blocks 0, 1."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        widths = config.block_out_channels
        self.projection = AudioProjection(config)
        self.down = nn.ModuleList(AudioBlock(width, config) for width in widths[: len(DOWN_LEVELS)])
        self.up = nn.ModuleList(AudioBlock(width, config) for width in widths[::-1][: len(UP_LEVELS)])

    def encode(
        self, sound: Tensor, scores: Tensor, masks: list[Tensor], present: Tensor
    ) -> tuple[list[AudioContext], list[AudioContext]]:
        """Return the inputs of the down and the up audio blocks.

        `sound` (b, f, layers, channels), or (b, p, f, layers, channels) of each person's own speech, `scores` (b, p, f) raw scores / 3, `masks` (b, p, f, h, w) for each level,
        `present` (b, p) bool, false for padded persons.
        """
        tokens = self.projection(sound if sound.dim() == 5 else sound[:, None])
        sides = (zip(self.down, DOWN_LEVELS, strict=True), zip(self.up, UP_LEVELS, strict=True))
        return tuple([block.encode(tokens, scores, masks[at], present) for block, at in side] for side in sides)
