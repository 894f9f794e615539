"""A UNet of Stable Diffusion 1.5's shape that keeps and takes self-attention inputs, with motion modules where asked.

Parameter names are those of diffusers, the arithmetic that of AnimateDiff in CovOG: group norms are of each frame alone. The four
kinds of blocks (`ResnetBlock`, `SpatialTransformer`, `MotionModule` and the audio driver's) are what is compiled.
Reference attention (Hu et al., 2023): the reference UNet leaves the normed inputs of its self-attentions behind, the denoising
UNet attends to them too. All of it is passed as arguments, so that gradient checkpointing may run a block twice.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import SinusoidalPositionalEmbedding, TimestepEmbedding, Timesteps
from torch import nn

from covog.config import Model


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width or width, width, bias=False)
        self.to_v = nn.Linear(context_width or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, tokens: torch.Tensor, shared: torch.Tensor | None = None) -> torch.Tensor:
        """Return what rows (n, t, c) take from themselves and, each clip's n / b frames alike, from `shared` (b, t, c)."""
        query, key, value = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        if shared is not None:
            # Projected once a clip; repeated over its frames while it is put beside their own.
            key, value = (_beside(own, to(shared)) for own, to in ((key, self.to_k), (value, self.to_v)))
        heads = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        return self.to_out[0](F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))

    def of_one(self, context: torch.Tensor) -> torch.Tensor:
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

    def forward(self, hidden: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
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

    def forward(
        self, hidden: torch.Tensor, image_embed: torch.Tensor, reference: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
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

    def start(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens (n, h·w, c) and their normed form, which self-attention begins with."""
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        return tokens, self.transformer_blocks[0].norm1(tokens)


class MotionBlock(TransformerBlock):
    """A block of a motion module, which knows the frames' places."""

    def __init__(self, width: int, config: Model) -> None:
        super().__init__(width, config.motion_heads)
        self.pos_embed = SinusoidalPositionalEmbedding(width, max_seq_length=config.motion_max_frames)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
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

    def forward(self, hidden: torch.Tensor, frames: int) -> torch.Tensor:
        """Return the hidden state (b·f, c, h, w)."""
        clips, (height, width) = len(hidden) // frames, hidden.shape[2:]
        tokens = self.norm(hidden).unflatten(0, (clips, frames)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        out = self.proj_out(tokens).unflatten(0, (clips, height, width)).permute(0, 3, 4, 1, 2)
        return hidden + out.contiguous().flatten(0, 1)


class Conv(nn.Module):
    """The convolution between two levels, of stride 2 on the way down."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1)


class Given(NamedTuple):
    """What a level is given beside its hidden state: `image_embed` (b, 1, d), the frames of a clip, and for each of its
    self-attentions the reference's inputs (b, h·w, c), or None."""

    image_embed: torch.Tensor
    frames: int
    reference: list[torch.Tensor] | None


class Level(nn.Module):
    """Residual blocks at one resolution, with attention and motion after each where the level has them."""

    def __init__(self, widths: list[int], out: int, config: Model, attends: bool, moves: bool) -> None:
        """Make a residual block for each input width of `widths`."""
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(wide, out, config) for wide in widths)
        self.attentions = nn.ModuleList(SpatialTransformer(out, config) for _ in widths if attends)
        self.motion_modules = nn.ModuleList(MotionModule(out, config) for _ in widths if moves)

    def after(self, number: int, hidden: torch.Tensor, given: Given, kept: list[torch.Tensor]) -> torch.Tensor:
        """Return the hidden state after attention and motion number `number`, as far as the level has them; what self-attention
        leaves behind is added to `kept`."""
        if self.attentions:
            still = None if given.reference is None else given.reference[number]
            hidden, normed = self.attentions[number](hidden, given.image_embed, still)
            kept.append(normed)
        return self.motion_modules[number](hidden, given.frames) if self.motion_modules else hidden


class DownLevel(Level):
    """A level of the way down."""

    def __init__(self, wide: int, out: int, config: Model, attends: bool, moves: bool, ends: bool) -> None:
        super().__init__([wide] + [out] * (config.layers_per_block - 1), out, config, attends, moves)
        self.downsamplers = nn.ModuleList([] if ends else [Conv(out, 2)])

    def forward(
        self, hidden: torch.Tensor, time: torch.Tensor, given: Given
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Return the hidden state, all that the way up takes from here, and what self-attentions left behind."""
        left, kept = [], []
        for number, resnet in enumerate(self.resnets):
            hidden = self.after(number, resnet(hidden, time), given, kept)
            left.append(hidden)
        for down in self.downsamplers:
            hidden = down.conv(hidden)
            left.append(hidden)
        return hidden, left, kept


class MidLevel(Level):
    """The middle: a residual block, attention, motion, a residual block."""

    def __init__(self, width: int, config: Model, moves: bool) -> None:
        super().__init__([width], width, config, attends=True, moves=moves and config.motion_mid_block)
        self.resnets.append(ResnetBlock(width, width, config))

    def forward(
        self, hidden: torch.Tensor, time: torch.Tensor, given: Given
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the hidden state, and what self-attention left behind."""
        kept: list[torch.Tensor] = []
        return self.resnets[1](self.after(0, self.resnets[0](hidden, time), given, kept), time), kept


class UpLevel(Level):
    """A level of the way up."""

    def __init__(self, widths: list[int], out: int, config: Model, attends: bool, moves: bool, ends: bool) -> None:
        super().__init__(widths, out, config, attends, moves)
        self.upsamplers = nn.ModuleList([] if ends else [Conv(out, 1)])

    def forward(
        self, hidden: torch.Tensor, time: torch.Tensor, left: list[torch.Tensor], size: list[int] | None, given: Given
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the hidden state, of `size` (height, width), and what self-attentions left behind; `left` is from the way down."""
        kept: list[torch.Tensor] = []
        for number, (resnet, skip) in enumerate(zip(self.resnets, reversed(left), strict=True)):
            hidden = self.after(number, resnet(torch.cat([hidden, skip], dim=1), time), given, kept)
        for up in self.upsamplers:
            hidden = up.conv(F.interpolate(hidden, size=size, mode="nearest"))
        return hidden, kept

    def keep(
        self, hidden: torch.Tensor, time: torch.Tensor, left: list[torch.Tensor], given: Given
    ) -> list[torch.Tensor]:
        """Return what self-attentions leave behind, and stop there: nothing of what follows is used."""
        kept: list[torch.Tensor] = []
        last = len(self.resnets) - 1
        for number, (resnet, skip) in enumerate(zip(self.resnets, reversed(left), strict=True)):
            hidden = resnet(torch.cat([hidden, skip], dim=1), time)
            if number < last:
                hidden = self.after(number, hidden, given, kept)
        return [*kept, self.attentions[last].start(hidden)[1]]


class UNet(nn.Module):
    """The layers of a UNet; `CovOG` walks through them."""

    def __init__(self, config: Model, moves: bool, predicts: bool) -> None:
        """Make the layers, with motion modules (`moves`) and with a prediction at the end (`predicts`)."""
        super().__init__()
        widths, count = config.block_out_channels, config.layers_per_block
        channels = config.latent_channels
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0])
        ends = [level == len(widths) - 1 for level in range(len(widths))]
        # The coarsest level has no attention.
        self.down_blocks = nn.ModuleList(
            DownLevel(wide, out, config, not end, moves, end)
            for wide, out, end in zip([widths[0], *widths], widths, ends, strict=False)
        )
        self.mid_block = MidLevel(widths[-1], config, moves)
        self.up_blocks = nn.ModuleList()
        before = widths[-1]
        for level, out in enumerate(reversed(widths)):
            # A level takes its own outputs of the way down, and last the input that it had there.
            skips = [out] * count + [widths[max(len(widths) - 2 - level, 0)]]
            inputs = [a + b for a, b in zip([before] + [out] * count, skips, strict=True)]
            self.up_blocks.append(UpLevel(inputs, out, config, level > 0, moves, ends[level]))
            before = out
        if predicts:
            self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[0], eps=config.norm_epsilon)
            self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)
            if config.differences:
                # No difference at first.
                nn.init.zeros_(self.conv_out.weight)
                nn.init.zeros_(self.conv_out.bias)

    def embed_time(self, timesteps: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the activated embedding (b, c) of timesteps (b,), as residual blocks take it."""
        return F.silu(self.time_embedding(self.time_proj(timesteps).to(dtype)))

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the prediction (n, c, h, w) of the last hidden state."""
        return self.conv_out(F.silu(self.conv_norm_out(hidden)))


def as_picture(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return tokens (n, h·w, c) as (n, c, h, w), channel after channel in memory: group norms convert any other order, and
    torch's backward pass of them on a CPU ends in a segmentation fault with it (2.13)."""
    return tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous()


def _beside(own: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    frames = len(own) // len(shared)
    both = own.unflatten(0, (len(shared), frames)), shared[:, None].expand(-1, frames, -1, -1)
    return torch.cat(both, dim=2).flatten(0, 1)
