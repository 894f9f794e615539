"""Networks of the published kinds, small and with random weights, for tests of what surrounds them."""

from pathlib import Path

import torch


def wav2vec2(folder: Path) -> Path:
    """Write a wav2vec2 with the base model's convolutions (its 20 ms step) and a small transformer; return its folder."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=[16] * 7,
        num_conv_pos_embedding_groups=4,
        num_conv_pos_embeddings=16,
        layerdrop=0.9,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder
