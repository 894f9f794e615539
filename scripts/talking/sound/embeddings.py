"""Sound features of clips by a speech network: one row of layers × channels for each frame, at the frame's time.

Embedded model: the encoder of Whisper tiny.en (Radford et al., 2022), 5 hidden states × 384. The paper's (CovOG) is
wav2vec2-base-960h (Baevski et al., 2020), 12 layers × 768.

With `sound_mode: per_person` each person has separate rows: those of the mix where that person speaks, and of silence
elsewhere.

A clip is embedded from its own sound alone, nothing before or after it, so that its rows can be computed from the
data set's `audio.wav`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from tqdm import tqdm

from talking.core import cli
from talking.video import media

# A longer clip is processed in overlapping windows; each frame's row comes from the window in which it lies farther inside.
WINDOW_FRAMES = 30 * media.FPS
OVERLAP_FRAMES = 4 * media.FPS
_FADE_SAMPLES = media.SOUND_HZ // 100

# A model: from samples (frames · 640,) to rows (frames, layers, channels).
Model = Callable[[np.ndarray], np.ndarray]


@dataclass
class Settings:
    """Settings of the sound embedding."""

    model: str = cli.setting(
        "whisper_tiny_en", "network that computes the sound features", choices=["whisper_tiny_en", "wav2vec2"]
    )
    sound_mode: str = cli.setting(
        "mixed",
        "mixed: one row of features a frame; per_person: one a person and frame, from the sound in which that person speaks",
        choices=["mixed", "per_person"],
    )
    weights: str = cli.setting(
        "", "folder of facebook/wav2vec2-base-960h (config.json, model.safetensors), for model wav2vec2"
    )
    separation: str = cli.setting(
        "none",
        "network that removes music and noise before the sound features are computed",
        choices=["none", "hdemucs"],
    )
    separation_weights: str = cli.setting("", "file of Hybrid Demucs (hdemucs_high_trained.pt), for separation hdemucs")


def embed(
    sound: str | Path, candidates: pd.DataFrame, settings: Settings, speaking: pd.DataFrame | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `{clip}/sound` float16 for each candidate clip of a `media/` wav: (frames, layers, channels), or
    (frames, people, layers, channels) with `sound_mode` per_person, for which the table `speaking` is needed.

    Where the wav ends before the clip, silence is used. Raises InputError if the model's weights are missing.
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
            spoken = _spoken(speaking, clip.person_tracks, clip.start_frame, clip.end_frame)
            yield f"{clip.clip}/sound", np.stack([rows(model, gated(samples, mask)) for mask in spoken.T], axis=1)


def opened(settings: Settings) -> Model:
    """Return the model that the settings choose, after voice separation if they ask for it.

    Raises InputError if its weights are missing.
    """
    # Imported here: with torch they take seconds, and a video without candidates needs none.
    from talking.sound import models, separation

    model = models.MODELS[settings.model](settings)
    if settings.separation == "none":
        return model
    voices = separation.MODELS[settings.separation](settings.separation_weights)
    return lambda samples: model(voices(samples))


def gated(samples: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return samples (frames · 640,) where frames are `spoken` (frames,) and silence elsewhere, faded over 10 ms so as not to click."""
    gate = np.repeat(spoken.astype(np.float32), media.SAMPLES_PER_FRAME)
    return samples * scipy.ndimage.uniform_filter1d(gate, _FADE_SAMPLES, mode="nearest")


def _spoken(speaking: pd.DataFrame, people: Sequence[Sequence[int]], start: int, end: int) -> np.ndarray:
    """Return which of people, each given by its tracks, speaks in frames [start, end), (frames, people) bool."""
    said = speaking[speaking["speaking"] & speaking["frame"].between(start, end - 1)]
    spoken = np.zeros((end - start, len(people)), dtype=bool)
    for person, tracks in enumerate(people):
        spoken[said.loc[said["track"].isin(tracks), "frame"].to_numpy() - start, person] = True
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


def at_frames(states: np.ndarray, frames: int) -> np.ndarray:
    """Return the means (frames, …) over each frame's 40 ms of states (n, …), of which state j hears the time around 20·j ms.

    Frame i lasts from 40·i to 40·i + 40 ms, that is from state 2i over its centre, state 2i + 1, to state 2i + 2.
    """
    needed = np.pad(states, [(0, max(0, 2 * frames + 1 - len(states)))] + [(0, 0)] * (states.ndim - 1), mode="edge")
    begin, centre, end = (needed[k : k + 2 * frames : 2] for k in range(3))
    return begin / 4 + centre / 2 + end / 4
