"""A UNet of Stable Diffusion 1.5's shape that keeps and takes self-attention inputs, with motion modules where asked.

Parameter names are those of diffusers, the arithmetic that of AnimateDiff in CovOG: group norms are of each frame alone. The four
kinds of blocks (`ResnetBlock`, `SpatialTransformer`, `MotionModule` and the audio driver's) are what is compiled.
Reference attention (Hu et al., 2023): the reference UNet leaves the normed inputs of its self-attentions behind, the denoising
UNet attends to them too.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import SinusoidalPositionalEmbedding, TimestepEmbedding, Timesteps
from torch import Tensor, nn

from covog.config import Model

# Changes the hidden state (n, c, h, w) after a level.
Hear = Callable[[Tensor], Tensor]


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width or width, width, bias=False)
        self.to_v = nn.Linear(context_width or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, tokens: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return what rows (n, t, c) take from themselves and, each clip's n / b frames alike, from `shared` (b, t, c)."""
        query, key, value = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        if shared is not None:
            # Projected once a clip; repeated over its frames while it is put beside their own.
            key, value = (_beside(own, to(shared)) for own, to in ((key, self.to_k), (value, self.to_v)))
        heads = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        return self.to_out[0](F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))

    def of_one(self, context: Tensor) -> Tensor:
        """Return what any query takes from a context of one token (b, 1, d): softmax over one is 1, so its value, (b, 1, c)."""
        return self.to_out[0](self.to_v(context))


class TransformerBlock(nn.Module):
    """Two attentions and a feed-forward network, each after a norm."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn1, self.attn2 = Attention(width, heads), Attention(width, heads, context_width)
        self.ff = FeedForward(width, activation_fn="geglu")


class ResnetBlock(nn.Module):
    """Two convolutions, to the first of which the time is added."""

    def __init__(self, wide: int, out: int, config: Model) -> None:
        super().__init__()
        groups, eps, time_width = config.norm_groups, config.norm_epsilon, 4 * config.block_out_channels[0]
        self.norm1, self.conv1 = nn.GroupNorm(groups, wide, eps=eps), nn.Conv2d(wide, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_width, out)
        self.norm2, self.conv2 = nn.GroupNorm(groups, out, eps=eps), nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(wide, out, 1) if wide != out else None

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        """Return (n, out, h, w) of (n, wide, h, w) and the activated time embedding (n, time_width)."""
        out = self.conv1(F.silu(self.norm1(hidden))) + self.time_emb_proj(time)[:, :, None, None]
        out = self.conv2(F.silu(self.norm2(out)))
        return out + (hidden if self.conv_shortcut is None else self.conv_shortcut(hidden))


class SpatialTransformer(nn.Module):
    """Attention of each frame's pixels to each other, to the reference's, and to the reference picture's embedding."""

    def __init__(self, width: int, config: Model) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_groups, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, config.heads, config.cross_attention_dim)])
        if config.differences:
            # Random weights would bury what the poses say.
            nn.init.zeros_(self.proj_out.weight)

    def forward(self, hidden: Tensor, image_embed: Tensor, reference: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the hidden state (n, c, h, w) and the normed input (n, h·w, c) of its self-attention.

        `image_embed` (b, 1, d) and `reference` (b, h·w, c) are of clips, of n / b frames each.
        """
        (block,), (height, width) = self.transformer_blocks, hidden.shape[2:]
        tokens, normed = self.start(hidden)
        tokens = tokens + block.attn1(normed, reference)
        seen = block.attn2.of_one(image_embed)
        tokens = (tokens.unflatten(0, (len(seen), -1)) + seen[:, None]).flatten(0, 1)
        tokens = tokens + block.ff(block.norm3(tokens))
        return hidden + self.proj_out(as_picture(tokens, height, width)), normed

    def start(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (n, h·w, c) and their normed form, which self-attention begins with."""
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        return tokens, self.transformer_blocks[0].norm1(tokens)


class MotionBlock(TransformerBlock):
    """A block of a motion module, which knows the frames' places."""

    def __init__(self, width: int, config: Model) -> None:
        super().__init__(width, config.motion_heads)
        self.pos_embed = SinusoidalPositionalEmbedding(width, max_seq_length=config.motion_max_frames)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (pixels, f, c)."""
        tokens = tokens + self.attn1(self.pos_embed(self.norm1(tokens)))
        tokens = tokens + self.attn2(self.pos_embed(self.norm2(tokens)))
        return tokens + self.ff(self.norm3(tokens))


class MotionModule(nn.Module):
    """Attention of each pixel's frames to each other (AnimateDiff)."""

    def __init__(self, width: int, config: Model) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_groups, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList(MotionBlock(width, config) for _ in range(config.motion_layers))
        # As AnimateDiff starts: a motion module that changes nothing.
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, hidden: Tensor, frames: int) -> Tensor:
        """Return the hidden state (b·f, c, h, w)."""
        clips, (height, width) = len(hidden) // frames, hidden.shape[2:]
        tokens = self.norm(hidden).unflatten(0, (clips, frames)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        out = self.proj_out(tokens).unflatten(0, (clips, height, width)).permute(0, 3, 4, 1, 2)
        return hidden + out.contiguous().flatten(0, 1)


class Given(NamedTuple):
    """What a UNet's levels are given beside their hidden state: `image_embed` (b, 1, d), the frames of a clip, and the
    reference's inputs (b, h·w, c) of the self-attentions to come, none for attention to a frame's own pixels alone."""

    image_embed: Tensor
    frames: int
    references: Iterator[Tensor]


class Level(nn.Module):
    """Residual blocks at one resolution, attention and motion after each as far as the level has them, and the convolution to
    the next level."""

    def __init__(
        self,
        widths: list[int],
        out: int,
        config: Model,
        attends: bool = True,
        moves: bool = True,
        way: str | None = None,
    ) -> None:
        """Make a residual block for each input width of `widths`; the `way` to the next level is `down`, `up` or None."""
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(wide, out, config) for wide in widths)
        self.attentions = nn.ModuleList(SpatialTransformer(out, config) for _ in widths if attends)
        self.motion_modules = nn.ModuleList(MotionModule(out, config) for _ in widths if moves)
        self.downsamplers = nn.ModuleList(
            [nn.ModuleDict({"conv": nn.Conv2d(out, out, 3, 2, 1)})] if way == "down" else []
        )
        self.upsamplers = nn.ModuleList([nn.ModuleDict({"conv": nn.Conv2d(out, out, 3, 1, 1)})] if way == "up" else [])
        # Whether all that follows the last self-attention's input is left out, as nothing uses it.
        self.only_keeps = False

    def forward(
        self, hidden: Tensor, time: Tensor, given: Given, skips: Sequence[Tensor] = (), size: Sequence[int] = ()
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the hidden state, all that the way up takes from here, and what self-attentions left behind.

        On the way up, `skips` is what it takes, in its order, and `size` the (height, width) of the next level.
        """
        left, kept = [], []
        for number, resnet in enumerate(self.resnets):
            hidden = resnet(torch.cat([hidden, skips[number]], dim=1) if skips else hidden, time)
            if number < len(self.attentions):
                attention = self.attentions[number]
                if self.only_keeps and number + 1 == len(self.attentions):
                    return hidden, left, [*kept, attention.start(hidden)[1]]
                hidden, normed = attention(hidden, given.image_embed, next(given.references, None))
                kept.append(normed)
            if number < len(self.motion_modules):
                hidden = self.motion_modules[number](hidden, given.frames)
            left.append(hidden)
        for down in self.downsamplers:
            hidden = down["conv"](hidden)
            left.append(hidden)
        for up in self.upsamplers:
            hidden = up["conv"](F.interpolate(hidden, size=size, mode="nearest"))
        return hidden, left, kept


class UNet(nn.Module):
    """A whole UNet: with motion modules (`moves`), and with a prediction at the end (`predicts`) or else for what it keeps alone."""

    def __init__(self, config: Model, moves: bool, predicts: bool) -> None:
        super().__init__()
        widths, count, channels = config.block_out_channels, config.layers_per_block, config.latent_channels
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0])
        last, skips = len(widths) - 1, [widths[0]]
        self.down_blocks = nn.ModuleList()
        for level, (wide, out) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            inputs, way = [wide] + [out] * (count - 1), "down" if level < last else None
            # The coarsest level has no attention.
            self.down_blocks.append(Level(inputs, out, config, attends=level < last, moves=moves, way=way))
            skips += [out] * (count + (level < last))
        self.mid_block = Level(widths[-1:], widths[-1], config, moves=moves and config.motion_mid_block)
        self.mid_block.resnets.append(ResnetBlock(widths[-1], widths[-1], config))
        self.up_blocks, before = nn.ModuleList(), widths[-1]
        for level, out in enumerate(reversed(widths)):
            inputs, way = [wide + skips.pop() for wide in [before] + [out] * count], "up" if level < last else None
            self.up_blocks.append(Level(inputs, out, config, attends=level > 0, moves=moves, way=way))
            before = out
        self.up_blocks[-1].only_keeps = not predicts
        if predicts:
            self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[0], eps=config.norm_epsilon)
            self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)
            if config.differences:
                # No difference at first.
                nn.init.zeros_(self.conv_out.weight)
                nn.init.zeros_(self.conv_out.bias)
        self.predicts = predicts

    def forward(
        self,
        latents: Tensor,
        pose: Tensor,
        timesteps: Tensor,
        given: Given,
        hear: tuple[Sequence[Hear], Sequence[Hear]] = ((), ()),
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the prediction (n, c, h, w) for latents (n, c, h, w) of the clips' frames, and the normed inputs (n, h·w, c) of
        all self-attentions; without a prediction the last hidden state.

        `pose` is what the pose encoders give for each frame, `timesteps` (b,) are of the clips, `hear` what changes the running
        state after the first down and up levels.
        """
        time = F.silu(self.time_embedding(self.time_proj(timesteps).to(latents.dtype)))
        time = time.repeat_interleave(given.frames, dim=0)
        hidden = (self.conv_in(latents) + pose).contiguous()
        skips, kept = [hidden], []
        for level, heard in zip_longest(self.down_blocks, hear[0]):
            hidden, left, found = level(hidden, time, given)
            # The skip connections keep the level's own outputs: only the running state hears the sound.
            skips, kept, hidden = skips + left, kept + found, heard(hidden) if heard else hidden
        hidden, _, found = self.mid_block(hidden, time, given)
        kept += found
        for level, heard in zip_longest(self.up_blocks, hear[1]):
            taken = [skips.pop() for _ in level.resnets]
            hidden, _, found = level(hidden, time, given, taken, skips[-1].shape[2:] if skips else ())
            kept, hidden = kept + found, heard(hidden) if heard else hidden
        return self.conv_out(F.silu(self.conv_norm_out(hidden))) if self.predicts else hidden, kept


def as_picture(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return tokens (n, h·w, c) as (n, c, h, w), channel after channel in memory: group norms convert any other order, and
    torch's backward pass of them on a CPU ends in a segmentation fault with it (2.13)."""
    return tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous()


def _beside(own: Tensor, shared: Tensor) -> Tensor:
    frames = len(own) // len(shared)
    both = own.unflatten(0, (len(shared), frames)), shared[:, None].expand(-1, frames, -1, -1)
    return torch.cat(both, dim=2).flatten(0, 1)
