#!/usr/bin/env bash
# Of the second only the model inside is read. whisperx pins torch to 2.8, Resemblyzer wants a C compiler for webrtcvad.
set -euo pipefail
python -m pip install --quiet --no-deps \
  whisperx==3.8.6 \
  Resemblyzer==0.1.4
# pyannote.audio brings torchcodec, which nothing here reads with and whose CUDA build does not load beside a CPU torch.
python -m pip uninstall --quiet --yes torchcodec
# As in fit_torch.py, which is not at hand here: the native libraries of a CUDA torchaudio do not load beside a CPU torch.
python - <<'PYTHON'
import importlib.util
from pathlib import Path

import torch

if torch.version.cuda is None:
    for library in Path(importlib.util.find_spec("torchaudio").origin).parent.joinpath("lib").glob("*.so"):
        library.unlink()
PYTHON
