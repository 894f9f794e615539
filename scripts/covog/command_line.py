"""What the command lines in `scripts/` do with their arguments, where that is more than one call."""

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from covog import config, convert, data, hearing, metrics, metrics_table, photo
from covog import evaluate as evaluation
from covog import generate as making
from covog.frozen_encoders import FrozenEncoders
from covog.model import CovOG
from covog.precision import DTYPES
from talking.core import tables
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import media


def device() -> torch.device:
    """Return the GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator_of(weights: Path, settings: config.Config, dataset: Path | None = None) -> making.Generator:
    """Return a generator from a weights file, with the map that training left beside it if lips are heard.

    Where that is missing, it is found again from the clips of `dataset`, or of the data set that the model was trained on.
    """
    hears = None
    if settings.data.lips == "heard" and (hears := hearing.beside(weights)) is None:
        hears = hearing.learned(data.segments(dataset or photo.data_set_of(weights), settings.data)[0])
    return _generator(convert.read_model(weights), settings, hears)


def _generator(model: CovOG, settings: config.Config, hears: hearing.Hearing | None) -> making.Generator:
    encoders = FrozenEncoders(settings.encoders, model.config)
    model.to(device(), DTYPES[settings.generation.precision])
    return making.Generator(model, encoders, settings.noise, settings.generation, device(), hears)


def turns(who: list[str]) -> list[tuple[int, int, int]]:
    """Return (person, start, end) of texts like `1:0-50`; raises InputError that quotes one that is not."""
    found = [re.fullmatch(r"(\d+):(\d+)-(\d+)", text) for text in who]
    for text, match in zip(who, found, strict=True):
        if match is None:
            raise InputError(f"--who {text}: write person:start-end in frames, for example 1:0-50.")
    return [tuple(map(int, match.groups())) for match in found]


def generate(arguments: Namespace, photographed: tuple | None = None) -> None:
    """Run `scripts/generate.py`; `photographed` is what `photo.script_of_picture` makes a script of, for --picture."""
    settings = config.load(arguments.config or arguments.weights.parent / "config.yaml")
    loose = [arguments.reference, arguments.poses, *(arguments.sound or [None]), arguments.scores]
    samples = media.sound(arguments.audio) if arguments.audio else None
    if photographed:
        random = np.random.default_rng(arguments.seed)
        library = photo.motions(arguments.dataset or photo.data_set_of(arguments.weights), random)
        script = photo.script_of_picture(*photographed, library, random)
        samples = np.clip(sum(photographed[2]), -1, 1) if samples is None else samples
    elif arguments.clip:
        heard = store.Clip(arguments.sound_clip or arguments.clip)
        script = making.script_of(store.Clip(arguments.clip), heard, arguments.reference_frame)
        samples = heard.samples() if samples is None else samples
    elif len(loose) == 4 and all(loose):
        script = making.script_of_files(*loose)
    else:
        raise InputError("give --clip, --picture and --sound, or all of --reference, --poses, --sound and --scores.")
    if arguments.who:
        script = making.spoken_by(script, turns(arguments.who))
    if arguments.frames is not None:
        if not 1 <= arguments.frames <= script.frames:
            raise InputError(f"--frames is {arguments.frames}; the inputs have 1 to {script.frames} frames.")
        script = replace(script, end=arguments.frames)
    shape = replace(settings.data, lips=arguments.lips or settings.data.lips)
    generator = generator_of(arguments.weights, replace(settings, data=shape), arguments.dataset)
    widths, found = generator.model.config, script.sound.shape[-2:]
    if widths.audio and found != (widths.audio_layers, widths.audio_channels):
        raise InputError(
            f"{arguments.weights} hears sound of {widths.audio_layers} × {widths.audio_channels} features, this sound has "
            f"{found[0]} × {found[1]}; take sound of the network that its data set has (--sound-model)."
        )
    made = making.write(arguments.out, generator, script, shape, samples, arguments.seed)
    print(f"{arguments.out}: {made} frames.")


def evaluate(arguments: Namespace) -> None:
    """Run `scripts/evaluate_covog.py`; a model called random has the widths of the one before it and its first weights, and hears
    what that hears.

    The truth and a still picture are measured beside them. An empty weights file stands for a training that had nothing to train on:
    its row says so.
    """
    settings = config.load(arguments.config)
    networks = metrics.Networks.found(arguments.weights_dir, device())
    arguments.videos.mkdir(parents=True, exist_ok=True)
    rows, widths, hears = [], settings.model, None
    for text in arguments.model:
        name, _, weights = text.partition("=")
        if weights == "random":
            if widths is None:
                continue
            torch.manual_seed(settings.seed)
            generator = _generator(CovOG(widths), settings, hears)
        elif Path(weights).exists() and Path(weights).stat().st_size == 0:
            rows.append(metrics_table.untrained_rows(name))
            widths = None
            continue
        else:
            generator = generator_of(Path(weights), settings, arguments.dataset)
            widths, hears = generator.model.config, generator.hears
        videos = arguments.videos / name
        of = name, generator, arguments.dataset, settings, videos, networks
        rows.append(evaluation.evaluate(*of))
        if weights != "random" and settings.data.lips != "drawn":
            rows.append(evaluation.with_other_sound(*of))
    if widths is not None:
        rows.append(evaluation.ends(arguments.dataset, settings, networks))
    tables.write("covog_metrics", pd.concat([*rows, metrics_table.paper_rows()]), arguments.metrics)
