"""Reference attention: the reference UNet leaves its self-attention inputs behind, the denoising UNet attends to them.

Source: Animate Anyone (Hu et al., 2023). Everything is passed as arguments, nothing is stored between calls, so that
gradient checkpointing may run a block twice.
"""

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import Attention


class SpatialAttention:
    """Attention processor of the spatial transformers of both UNets.

    Self-attention number `layer` appends its input to `kept` if that is given and attends to `reference[layer]`
    besides itself if that is given. Cross-attention (`layer` None) has the picture's one token as context.
    """

    def __init__(self, layer: int | None) -> None:
        self.layer = layer

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        kept: list[torch.Tensor] | None = None,
        reference: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the attention's output for rows (b·f, tokens, c); context and reference have b rows."""
        if self.layer is None:
            # The weights of a softmax over one token are 1 whatever the query: its value is the answer everywhere.
            value = attn.to_out[0](attn.to_v(encoder_hidden_states))
            rows = hidden_states.shape[0] // value.shape[0]
            return value.repeat_interleave(rows, dim=0).expand(-1, hidden_states.shape[1], -1)
        if kept is not None:
            kept.append(hidden_states)
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if reference is not None:
            still = reference[self.layer]
            rows = hidden_states.shape[0] // still.shape[0]
            # Projected once a clip, then repeated over its frames.
            key = torch.cat([key, attn.to_k(still).repeat_interleave(rows, dim=0)], dim=1)
            value = torch.cat([value, attn.to_v(still).repeat_interleave(rows, dim=0)], dim=1)
        out = F.scaled_dot_product_attention(*(_heads(x, attn.heads) for x in (query, key, value)))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def set_processors(unet: UNet2DConditionModel | UNetMotionModel) -> None:
    """Give every spatial attention of a UNet its processor, numbered down, mid, up; the temporal ones keep theirs."""
    layer = 0
    for block in [*unet.down_blocks, unet.mid_block, *unet.up_blocks]:
        for transformer in getattr(block, "attentions", []):
            for inner in transformer.transformer_blocks:
                inner.attn1.set_processor(SpatialAttention(layer))
                inner.attn2.set_processor(SpatialAttention(None))
                layer += 1


def _heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)
