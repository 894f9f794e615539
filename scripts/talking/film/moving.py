"""How people move: sway, nods with their own voice, blinks, and lips by what they say."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from talking.film.script import Utterance
from talking.film.voices import at_times


@dataclass
class Motion:
    """How one person moves over the whole video, a value a frame: angles (rad), sway (px per px of face height), mouth, eyelids."""

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    sway: np.ndarray
    blink: np.ndarray
    opening: np.ndarray
    rounding: np.ndarray


def chewing(times: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return opening and rounding of a mouth that chews: 1.2-1.6 strokes a second, a rest to swallow every few seconds."""
    rate = float(rng.uniform(1.2, 1.6))
    phase = 2 * np.pi * (rate * times + 0.15 * np.sin(2 * np.pi * 0.31 * times)) + float(rng.uniform(0, 6))
    strokes = np.clip(0.5 - 0.5 * np.cos(phase), 0, 1) ** 1.5 * (0.34 + 0.08 * np.sin(2 * np.pi * 0.23 * times))
    rests = ndimage.gaussian_filter1d((np.mod(times + float(rng.uniform(0, 4)), 4.5) > 3.6).astype(float), 4)
    return strokes * (1 - rests), 0.5 + 0.3 * np.sin(phase / 2)


def of_person(person: str, said: list[Utterance], fps: float, frames: int, rng: np.random.Generator) -> Motion:
    """Return a person's motion: slow random sway, nods with their own voice, blinks every few seconds, lips by what they say."""
    times = np.arange(frames) / fps
    opening, rounding = np.zeros(frames), np.zeros(frames)
    for utterance in said:
        if utterance.lips == person:
            mine = at_times(utterance.speech.opening, times - utterance.start_s)
            rounding = np.where(
                mine > opening, at_times(utterance.speech.rounding, times - utterance.start_s), rounding
            )
            opening = np.maximum(opening, mine)

    def slow(seconds: float, size: float) -> np.ndarray:
        # Drawn at a fixed rate, so that the same seed moves alike at any frame rate.
        knots = ndimage.gaussian_filter1d(rng.standard_normal(int(frames / fps * 10) + 20), seconds * 10, mode="wrap")
        return np.interp(times, np.arange(len(knots)) / 10, knots / knots.std() * size)

    talking = ndimage.gaussian_filter1d(np.minimum(opening * 3, 1), 0.4 * fps)
    effort = ndimage.gaussian_filter1d(opening, 0.10 * fps) - ndimage.gaussian_filter1d(opening, 0.5 * fps)
    blink = np.zeros(frames)
    clock = float(rng.uniform(0.5, 3))
    while clock < times[-1]:
        since = times - clock
        blink = np.maximum(blink, np.clip(np.minimum(since / 0.07, (0.24 - since) / 0.12), 0, 1))
        clock += float(rng.uniform(1.8, 5.5))
    livelier = 0.6 + 0.6 * talking
    return Motion(
        yaw=slow(0.6, 0.06) * livelier,
        pitch=slow(0.5, 0.035) * livelier + 0.12 * effort,
        roll=slow(0.8, 0.022) * livelier,
        sway=slow(1.2, 0.035),
        blink=blink,
        opening=opening,
        rounding=rounding,
    )
