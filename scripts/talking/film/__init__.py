"""Synthetic videos of conversations with known truth: people from photographs with synthesised voices, moved by their sound."""

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from talking.core import processors
from talking.core.cli import setting
from talking.core.errors import InputError
from talking.film import lines, photographs, scene, script, truth, voices
from talking.video import encoding, media

_USUAL_CAST = ["P001", "P005", "P008", "P003", "P009", "P002", "P007", "P010", "P004", "P006"]
_USUAL_VOICES = ["heart", "deep", "alto", "bright", "kumo"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What film to make."""

    seed: int = setting(0, "random seed; the same seed and options give the same video")
    seconds: float = setting(60.0, "length in seconds, if no shots are listed", minimum=0.04)
    width: int = setting(1280, "width of the picture in px, even", minimum=32)
    height: int = setting(720, "height of the picture in px, even", minimum=32)
    fps: str = setting("25", "frames a second; 23.976, 29.97 and 59.94 mean the exact NTSC rates")
    people: int = setting(3, "people of the cast, 1-4", minimum=1, maximum=4)
    cast: list[str] = setting(
        [], "people by their names in openpeople (P001-P010); empty: the default ones", choices=photographs.PEOPLE
    )
    voices: list[str] = setting(
        [],
        f"a voice for each person and one for off screen ({', '.join(voices.VOICES)}); empty: the default ones",
        choices=list(voices.VOICES),
    )
    shots: list[str] = setting(
        [],
        "shots as PEOPLE:SECONDS:FRAMING:CASES, such as 1,2:8:medium:mimic; empty: random ones",
        pattern=script.SHOT_PATTERN,
    )
    shot_seconds: float = setting(8.0, "mean length of random shots in seconds")
    turn_seconds: float = setting(3.5, "mean length of a turn in seconds")
    overlap: float = setting(0.05, "fraction of the speech during which two people talk")
    hard: list[str] = setting(
        [], f"hard cases, one random shot each: {', '.join(script.HARD)}", choices=list(script.HARD)
    )
    sound_snr_db: float = setting(35.0, "level of the voices above the noise of the room, in dB")
    grain: float = setting(2.0, "standard deviation of the picture's noise, in grey levels of 255")


def film(settings: Settings, out: Path) -> None:
    """Write a synthetic video to `out` (.mp4) and its true labels beside it (`truth.SUFFIXES`).

    Raises InputError if an option makes no sense.
    """
    _check(settings)
    fps = rate(settings.fps)
    cast = settings.cast or _USUAL_CAST[: settings.people]
    names = [*settings.voices, *(v for v in _USUAL_VOICES if v not in settings.voices)]
    voice_of = dict(zip([*cast, lines.OFFSCREEN], names, strict=False))
    rng = np.random.default_rng([settings.seed, 1])
    shots = script.plan_shots(settings, rng)
    frames = max(1, round(shots[-1].end_s * fps))
    said = script.write_dialogue(settings, shots, cast, voice_of, rng)
    stages = scene.stage_shots(settings, shots, cast, said, float(fps), frames)
    made = scene.Film(settings, stages)
    sound = mix(said, round(frames / fps * voices.RATE), settings, np.random.default_rng([settings.seed, 6]))
    pictures = tqdm(_drawn(made, frames), total=frames, desc=out.name, unit=" frames", mininterval=5)
    encoding.encode(out, pictures, sound, fps=fps, sound_rate=voices.RATE)
    options = dataclasses.asdict(settings) | {"cast": cast, "voices": voice_of}
    truth.write(out, made, stages, said, fps, frames, options)


def mix(said: list[script.Utterance], samples: int, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Return the video's sound (samples,) at `voices.RATE`: the voices and the noise of the room."""
    sound = np.zeros(samples, np.float32)
    for utterance in said:
        start = round(utterance.start_s * voices.RATE)
        if utterance.heard and start < samples:
            piece = utterance.speech.samples[: samples - start]
            sound[start : start + len(piece)] += piece
    sound += voices.room_tone(samples, rng) * (0.09 * 10 ** (-settings.sound_snr_db / 20))
    return np.clip(sound, -1, 1)


def rate(fps: str) -> Fraction:
    """Return a frame rate as an exact fraction; 23.976 is 24000/1001. Raises InputError if it is none."""
    try:
        value = Fraction(fps)
    except (ValueError, ZeroDivisionError):
        raise InputError(f'fps is "{fps}"; write a number such as 25 or 29.97.') from None
    if not 1 <= value <= 120:
        raise InputError(f"fps is {fps}; choose a rate from 1 to 120.")
    ntsc = Fraction(round(value) * 1000, 1001)
    return ntsc if value.denominator > 1 and abs(value - ntsc) < Fraction(1, 200) else value


def _drawn(made: scene.Film, frames: int) -> Iterator[np.ndarray]:
    """Yield all pictures in order; drawn in threads, as OpenCV works outside Python's lock."""
    cv2.setNumThreads(1)
    workers = processors.threads_given() or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for batch in media.batches(range(frames), 8 * workers):
            yield from pool.map(made.draw, batch)


def _check(settings: Settings) -> None:
    if not 1 <= settings.people <= 4:
        raise InputError(f"people is {settings.people}; choose 1 to 4.")
    if settings.width < 32 or settings.height < 32 or settings.width % 2 or settings.height % 2:
        raise InputError(
            f"The size {settings.width}×{settings.height} is impossible; choose even numbers of at least 32."
        )
    if settings.seconds <= 0:
        raise InputError(f"seconds is {settings.seconds}; choose a length above 0.")
    if settings.cast and len(set(settings.cast)) != settings.people:
        raise InputError(
            f"cast names {', '.join(settings.cast)}, but people is {settings.people}; name each person once."
        )
    for person in settings.cast:
        if person not in photographs.PEOPLE:
            raise InputError(f"There is no person {person}; the cast is chosen from {', '.join(photographs.PEOPLE)}.")
    for voice in settings.voices:
        if voice not in voices.VOICES:
            raise InputError(f'There is no voice "{voice}"; choose from {", ".join(voices.VOICES)}.')
    script.check_hard(settings.hard)
