"""Read the weights of a CTranslate2 model file, and make a Whisper encoder of them as a transformers module.

The file is little-endian: version, name of the specification and its revision, number of variables, and for each its
name, rank, shape, type and bytes (CTranslate2's model serialisation, version 6).
"""

import struct
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from talking.core.errors import InputError

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Return a model file's variables by name; raises InputError if it is not such a file of version 6."""
    data = Path(path).read_bytes()
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + kind, data, at)
        at += struct.calcsize("<" + kind)
        return value

    def text() -> str:
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode()

    if len(data) < 4 or number("I") != 6:
        raise InputError(f"{path} is not a CTranslate2 model of version 6; reinstall its package.")
    text(), number("I")
    variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = np.dtype(_TYPES[number("B")]), number("I")
        variables[name] = np.frombuffer(data, kind, size // kind.itemsize, at).reshape(shape)
        at += size
    return variables


def whisper_encoder(path: str | Path) -> WhisperEncoder:
    """Return the encoder of a Whisper model file in float32, ready to be called."""
    variables = {k.removeprefix("encoder/"): v for k, v in read(path).items() if k.startswith("encoder/")}

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(variables[name].astype(np.float32))

    width, mels = variables["conv1/weight"].shape[:2]
    layers = len({name.split("/")[0] for name in variables if name.startswith("layer_") and name[6].isdigit()})
    weights = {"embed_positions.weight": tensor("position_encodings/encodings")}
    named = {"layer_norm": "layer_norm"}
    for i in range(layers):
        here, there = f"layer_{i}", f"layers.{i}"
        named |= {
            f"{here}/self_attention/layer_norm": f"{there}.self_attn_layer_norm",
            f"{here}/ffn/layer_norm": f"{there}.final_layer_norm",
        }
        for source, target in (
            ("self_attention/linear_1", "self_attn.out_proj"),
            ("ffn/linear_0", "fc1"),
            ("ffn/linear_1", "fc2"),
        ):
            for part in ("weight", "bias"):
                weights[f"{there}.{target}.{part}"] = tensor(f"{here}/{source}/{part}")
        # One matrix holds queries, keys and values, one below the other; keys have no bias.
        for part in ("weight", "bias"):
            blocks = tensor(f"{here}/self_attention/linear_0/{part}").split(width)
            for target, block in zip(("q_proj", "k_proj", "v_proj"), blocks, strict=True):
                if (target, part) != ("k_proj", "bias"):
                    weights[f"{there}.self_attn.{target}.{part}"] = block
    for source, target in named.items():
        weights |= {f"{target}.weight": tensor(f"{source}/gamma"), f"{target}.bias": tensor(f"{source}/beta")}
    for conv in ("conv1", "conv2"):
        weights |= {f"{conv}.{part}": tensor(f"{conv}/{part}") for part in ("weight", "bias")}
    # Whisper's heads are 64 wide in every size.
    config = WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=width // 64,
        encoder_ffn_dim=weights["layers.0.fc1.weight"].shape[0],
        num_mel_bins=mels,
    )
    encoder = WhisperEncoder(config).eval()
    encoder.load_state_dict(weights)
    return encoder
