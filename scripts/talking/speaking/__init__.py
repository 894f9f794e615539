"""Which visible face speaks: active-speaker models of one signature, chosen by the key `model`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import cli, tables
from talking.core.arrays import opened
from talking.core.errors import InputError
from talking.speaking import calibration, lip_sync
from talking.video import parts


@dataclass
class Settings:
    """Settings of the active-speaker score."""

    model: str = cli.setting("lip_sync", "active-speaker model", choices=["lip_sync", "light_asd", "lr_asd", "talknet"])
    weights: str = cli.setting("", "published weight file of the model; not for lip_sync")


@dataclass(frozen=True)
class Inputs:
    """Inputs of a model: paths of the `media/` files, the tables `tracks` and `voice`, the arrays of `landmarks/`."""

    media: Path
    sound: Path
    tracks: pd.DataFrame
    landmarks: dict[str, np.ndarray]
    voice: pd.DataFrame


def _lip_sync(inputs: Inputs, settings: Settings) -> np.ndarray:
    return lip_sync.score(inputs.tracks, inputs.landmarks["points"], inputs.voice, inputs.sound)


def _light_asd(inputs: Inputs, settings: Settings) -> np.ndarray:
    from talking.speaking.light_asd import LightASD

    return _by_network(LightASD, inputs, settings)


def _lr_asd(inputs: Inputs, settings: Settings) -> np.ndarray:
    from talking.speaking.lr_asd import LRASD

    return _by_network(LRASD, inputs, settings)


def _talknet(inputs: Inputs, settings: Settings) -> np.ndarray:
    from talking.speaking.talknet import TalkNet

    return _by_network(TalkNet, inputs, settings)


def _by_network(of: type, inputs: Inputs, settings: Settings) -> np.ndarray:
    from talking.speaking import network

    if not settings.weights:
        raise InputError(f"speaking.model {settings.model} needs speaking.weights: name its published weight file.")
    model = network.load(of(), settings.weights)
    raw = network.score(model, inputs.media, inputs.sound, inputs.tracks)
    return calibration.apply(calibration.load()[settings.model]["score"], {"raw": raw})


MODELS: dict[str, Callable[[Inputs, Settings], np.ndarray]] = {
    "lip_sync": _lip_sync,
    "light_asd": _light_asd,
    "lr_asd": _lr_asd,
    "talknet": _talknet,
}


def read_inputs(media: Path, sound: Path, tracks: Path, landmarks: Path, voice: Path, part: str = "") -> Inputs:
    """Read the models' inputs, those of one part of the video if it is named; raises InputError if the landmarks are not those of the tracks."""
    table = tables.read("tracks", tracks)
    with opened(landmarks) as arrays:
        marks = {name: arrays[name] for name in ("track", "frame", "points")}
    if not (np.array_equal(marks["track"], table["track"]) and np.array_equal(marks["frame"], table["frame"])):
        raise InputError(f"{landmarks} does not hold the landmarks of {tracks}; delete it and run again.")
    mine = parts.rows_of(part, table)
    marks = {name: values[mine] for name, values in marks.items()}
    return Inputs(media, sound, table[mine].reset_index(drop=True), marks, tables.read("voice", voice))


def score(inputs: Inputs, settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `asd`: a finite score for every row of `tracks`, in its order."""
    settings = settings or Settings()
    out = inputs.tracks[["track", "frame"]].copy()
    out["score"] = MODELS[settings.model](inputs, settings) if len(out) else np.zeros(0)
    return out
