"""What the command lines in `scripts/` do with their arguments, where that is more than one call."""

import re
from argparse import Namespace
from dataclasses import replace

import torch

from covog import config, convert
from covog import generate as making
from covog.towers import Towers
from talking import media, store
from talking.errors import InputError


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator_of(weights, settings: config.Config) -> making.Generator:
    """Return a generator from a weights file."""
    model = convert.read_model(weights)
    towers = Towers(settings.towers, model.config.cross_attention_dim)
    return making.Generator(model, towers, settings.noise, settings.generation, device())


def turns(who: list[str]) -> list[tuple[int, int, int]]:
    """Return (person, start, end) of texts like `1:0-50`; raises InputError that quotes one that is not."""
    found = [re.fullmatch(r"(\d+):(\d+)-(\d+)", text) for text in who]
    for text, match in zip(who, found, strict=True):
        if match is None:
            raise InputError(f"--who {text}: write person:start-end in frames, for example 1:0-50.")
    return [tuple(map(int, match.groups())) for match in found]


def generate(arguments: Namespace) -> None:
    """Run `scripts/generate.py`."""
    settings = config.load(arguments.config)
    loose = [arguments.reference, arguments.poses, arguments.sound, arguments.scores]
    samples = media.sound(arguments.audio) if arguments.audio else None
    if arguments.clip:
        heard = store.Clip(arguments.sound_clip or arguments.clip)
        script = making.script_of(store.Clip(arguments.clip), heard, arguments.reference_frame)
        samples = heard.samples() if samples is None else samples
    elif all(loose):
        script = making.script_of_files(*loose)
    else:
        raise InputError("give --clip, or all of --reference, --poses, --sound and --scores.")
    if arguments.who:
        script = replace(script, people=making.spoken_by(script.people, turns(arguments.who)))
    if arguments.frames is not None:
        if not 1 <= arguments.frames <= script.frames:
            raise InputError(f"--frames is {arguments.frames}; there is material for 1 to {script.frames} frames.")
        script = replace(script, sound=script.sound[: arguments.frames])
    size = (settings.data.width, settings.data.height)
    made = making.write(arguments.out, generator_of(arguments.weights, settings), script, size, samples, arguments.seed)
    print(f"{arguments.out}: {made} frames.")
