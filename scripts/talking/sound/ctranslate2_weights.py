"""Read the weights of a CTranslate2 model file, and make a Whisper encoder of them that gives all its hidden states.

The file is little-endian: version, name of the specification and its revision, number of variables, and for each its
name, rank, shape, type and bytes (CTranslate2's model serialisation, version 6).
"""

import struct
from pathlib import Path

import numpy as np
import torch

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


class WhisperEncoder(torch.nn.Module):
    """The encoder of Whisper (Radford et al., 2022): two convolutions and transformer layers that normalise first.

    Of torch's layers: those of transformers take three seconds to import.
    """

    def __init__(self, mels: int, positions: int, width: int, layers: int, inner: int) -> None:
        super().__init__()
        self.mels = mels
        self.conv1 = torch.nn.Conv1d(mels, width, 3, padding=1)
        self.conv2 = torch.nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(positions, width))
        # Whisper's heads are 64 wide in every size.
        layer = (width, width // 64, inner, 0.0, "gelu")
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(*layer, batch_first=True, norm_first=True) for _ in range(layers)
        )
        self.layer_norm = torch.nn.LayerNorm(width)

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return the hidden states (batch, positions, width) before the layers and after each, the last one normalised.

        `features` (batch, mels, 2 · positions) are log mel features of 30 s.
        """
        heard = torch.nn.functional.gelu(self.conv1(features))
        heard = torch.nn.functional.gelu(self.conv2(heard)).transpose(1, 2) + self.positions
        states = [heard]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return [*states[:-1], self.layer_norm(states[-1])]


def whisper_encoder(path: str | Path) -> WhisperEncoder:
    """Return the encoder of a Whisper model file in float32, ready to be called."""
    variables = {k.removeprefix("encoder/"): v for k, v in read(path).items() if k.startswith("encoder/")}
    width, mels = variables["conv1/weight"].shape[:2]
    layers = len({name.split("/")[0] for name in variables if name.startswith("layer_") and name[6].isdigit()})
    positions = variables["position_encodings/encodings"]
    named = {"layer_norm.weight": "layer_norm/gamma", "layer_norm.bias": "layer_norm/beta"}
    named |= {f"conv{i}.{part}": f"conv{i}/{part}" for i in (1, 2) for part in ("weight", "bias")}
    for i in range(layers):
        here, there = f"layers.{i}", f"layer_{i}"
        for norm, block in (("norm1", "self_attention"), ("norm2", "ffn")):
            named |= {
                f"{here}.{norm}.{ours}": f"{there}/{block}/layer_norm/{theirs}"
                for ours, theirs in (("weight", "gamma"), ("bias", "beta"))
            }
        # Both have one matrix of queries, keys and values, one below the other.
        for ours, theirs in (
            ("self_attn.in_proj_", "self_attention/linear_0/"),
            ("self_attn.out_proj.", "self_attention/linear_1/"),
            ("linear1.", "ffn/linear_0/"),
            ("linear2.", "ffn/linear_1/"),
        ):
            named |= {f"{here}.{ours}{part}": f"{there}/{theirs}{part}" for part in ("weight", "bias")}
    # torch's path for inference takes half as long again: it writes the attention of all positions to memory.
    torch.backends.mha.set_fastpath_enabled(False)
    encoder = WhisperEncoder(mels, len(positions), width, layers, len(variables["layer_0/ffn/linear_0/bias"])).eval()
    named["positions"] = "position_encodings/encodings"
    encoder.load_state_dict(
        {ours: torch.from_numpy(variables[theirs].astype(np.float32)) for ours, theirs in named.items()}
    )
    return encoder
