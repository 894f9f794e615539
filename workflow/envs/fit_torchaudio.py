"""Remove torchaudio's native libraries where torch is a CPU build: the registry's wheels are CUDA builds and would not load.

What is used of torchaudio (resampling, mel features) is pure torch and works without them.
"""

import importlib.util
from pathlib import Path

import torch

if torch.version.cuda is None:
    for library in Path(importlib.util.find_spec("torchaudio").origin).parent.joinpath("lib").glob("*.so"):
        library.unlink()
