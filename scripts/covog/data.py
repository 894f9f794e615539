"""Samples of the data set: windows of clips with all their conditions, drawn by number.

What sample number n is depends on the seed and n alone, so that a resumed run continues exactly where it stopped.
"""

import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from covog import conditions, latents, warping
from covog.conditions import BROKEN, People, Placement, Segment
from covog.config import Data
from covog.hearing import Hearing
from talking.core.errors import InputError
from talking.dataset import store

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """One sample: frames of a clip, the frame of it that serves as reference, and whether its lips are drawn."""

    clip: Path
    frames: tuple[int, ...]
    reference: int
    lips: bool = True


def segments(dataset: Path, settings: Data) -> tuple[list[Segment], list[Segment]]:
    """Return the segments to train on and those to validate on.

    Validation has the clips of the split `val`. Where none of them holds a window, it has whole training clips that make up about
    the `held_out` part of the frames, spread over the data set; of a single clip its last `held_out` part. Training leaves them
    alone. The test splits are on neither side, so that nothing is chosen by them; nor are clips with faces too small for the model
    (`min_face_px`).
    """
    train, val = (_large_enough(store.split(dataset, part), settings) for part in ("train", "val"))
    if any(s.end >= settings.frames for s in val):
        return train, val
    enough = [s for s in train if s.end >= settings.frames]
    if len(enough) > 1 and settings.held_out > 0:
        count = min(max(1, round(len(enough) * settings.held_out)), len(enough) - 1)
        held = {enough[int((i + 0.5) * len(enough) / count)] for i in range(count)}
        return [s for s in train if s not in held], [s for s in train if s in held]
    starts = [Segment(s.clip, 0, round(s.end * (1 - settings.held_out))) for s in train]
    return starts, [Segment(s.clip, start.end, s.end) for s, start in zip(train, starts, strict=True)]


def _large_enough(clips: list[Path], settings: Data) -> list[Segment]:
    """Return the clips whose smallest face has `min_face_px` px in the pictures to train on; a face of unknown size has."""
    out = []
    for clip in map(store.Clip, clips):
        placement = Placement.fit((clip.width, clip.height), (settings.width, settings.height), settings.fit)
        face_px = (clip.meta.get("face_px") or np.inf) * min(placement.scale)
        if face_px < settings.min_face_px:
            said = "%s has a face of %.0f px at this size, less than data.min_face_px: left out"
            _log.warning(said, clip.path, face_px)
        else:
            out.append(Segment(clip.path, 0, clip.frames))
    return out


def lacking(dataset: Path, parts: tuple[list[Segment], list[Segment]], frames: int) -> str:
    """Return why a data set with these `segments` cannot be trained on, "" if it can: both sides need a clip that holds a window."""
    for what, found in zip(("train on", "validate on"), parts, strict=True):
        if not any(s.end - s.start >= frames for s in found):
            return f"{dataset} has no clip with the {frames} frames of a window to {what}"
    return ""


def long_enough(found: list[Segment], frames: int) -> list[Segment]:
    """Return the segments that hold a window; the others are named in the log."""
    enough = [s for s in found if s.end - s.start >= frames]
    for short in set(found) - set(enough):
        length = short.end - short.start
        _log.warning("%s has %d frames here, fewer than a window of %d: left out", short.clip, length, frames)
    return enough


def draw(segment: Segment, frames: int, settings: Data, random: np.random.Generator) -> Window:
    """Draw a window of `frames` frames and its reference from a segment.

    A still's reference is at least `reference_distance` frames away where the segment allows, else as far away as possible.
    """
    length = segment.end - segment.start
    stride = int(random.integers(1, max(1, min(settings.max_stride, (length - 1) // max(frames - 1, 1))) + 1))
    first = int(random.integers(0, length - (frames - 1) * stride))
    window = first + stride * np.arange(frames)
    others = np.arange(length)
    if frames == 1:
        away = np.abs(others - first)
        others = others[away >= min(settings.reference_distance, away.max())]
    reference = int(random.choice(others))
    lips = settings.lips == "drawn" or (settings.lips == "random" and random.random() < 0.5)
    return Window(segment.clip, tuple(int(f) + segment.start for f in window), reference + segment.start, lips)


class Samples(Dataset):
    """Training samples: number n is a window drawn from the n-th clip of an order that is shuffled in each round.

    A broken sample is logged by name and replaced, `max_broken` times in all; then its InputError is returned in its
    place, as errors raised in a loading process would reach the user with a foreign trace.
    """

    # The map from sound to lips, where lips are heard.
    hearing: Hearing | None = None

    def __init__(self, found: list[Segment], frames: int, settings: Data, seed: int, cache: Path | None = None) -> None:
        self.segments, self.frames = long_enough(found, frames), frames
        self.settings, self.seed, self.cache = settings, seed, cache
        self.broken = 0

    def window(self, number: int, attempt: int = 0) -> Window:
        """Return the window of sample `number`, or its replacement at a further attempt."""
        rounds, place = divmod(number, len(self.segments))
        order = np.random.default_rng([self.seed, rounds]).permutation(len(self.segments))
        random = np.random.default_rng([self.seed, number, attempt])
        chosen = order[place] if attempt == 0 else random.integers(len(order))
        return draw(self.segments[chosen], self.frames, self.settings, random)

    def __getitem__(self, number: int) -> dict[str, Any] | InputError:
        for attempt in itertools.count():
            window = self.window(number, attempt)
            try:
                return load(window, self.settings, self.cache, self.hearing)
            except BROKEN as error:
                self.broken += 1
                _log.warning("sample %d, %s, is broken and replaced: %s", number, window.clip, error)
                if self.broken > self.settings.max_broken:
                    return InputError(
                        f"more than {self.settings.max_broken} samples (data.max_broken) are broken, the last one "
                        f"{window.clip}: {error}"
                    )


class FixedSamples:
    """Validation samples: the same windows every time."""

    # As of `Samples`.
    hearing: Hearing | None = None

    def __init__(
        self, found: list[Segment], frames: int, count: int, settings: Data, cache: Path | None = None
    ) -> None:
        found, random = long_enough(found, frames), np.random.default_rng(0)
        self.windows = [draw(found[i % len(found)], frames, settings, random) for i in range(count)]
        self.settings, self.cache = settings, cache

    def batch(self, number: int) -> dict[str, Any]:
        """Return a sample as a batch of one. Raises InputError that names its clip if that is broken."""
        window = self.windows[number]
        try:
            return collate([load(window, self.settings, self.cache, self.hearing)])
        except BROKEN as error:
            raise InputError(f"validation sample {number}, {window.clip}, is broken: {error}") from error


def load(window: Window, settings: Data, cache: Path | None = None, hearing: Hearing | None = None) -> dict[str, Any]:
    """Return a window as arrays: what `conditions.steer` gives, lips where the sound says if there is a map that hears them, and
    the pictures; with a `mouth_weight` also the latents' `loss_weights` (f, h / 8, w / 8), `warped` the `flow` (f, h, w, 2).

    Pictures are `pictures` (f, h, w, 3) and `reference_picture` (h, w, 3) uint8; with a cache they are latents instead:
    `mean` and `std` (f, c, h / 8, w / 8), `reference_mean`, `reference_std` and the reference's `image_embed` (d,).
    """
    clip = store.Clip(window.clip)
    frames, size = np.array(window.frames), (settings.width, settings.height)
    placement = Placement.fit((clip.width, clip.height), size, settings.fit)
    people = People.of(clip)
    shown = still = people if window.lips else conditions.without_lips(people)
    if hearing is not None:
        shown, still = hearing.heard(people, clip.sound, frames, people, window.reference), people
    sample = conditions.steer(people, clip.sound, frames, window.reference, placement, shown)
    if settings.mouth_weight != 1:
        mouths = conditions.face_masks(conditions.mouth_boxes(people, frames, placement), size)[0]
        sample["loss_weights"] = 1 + (settings.mouth_weight - 1) * mouths.max(axis=0, initial=0)
    if settings.warped:
        sample["flow"] = warping.flow(shown, frames, placement, still, window.reference, placement)
    if cache is not None:
        return sample | latents.read(cache, window.clip, (*size, settings.fit), frames, window.reference)
    pictures = [placement.picture(p) for p in clip.pictures_at(np.array([*window.frames, window.reference]))]
    return sample | {"pictures": np.stack(pictures[:-1]), "reference_picture": pictures[-1]}


def collate(samples: list[dict[str, Any] | InputError]) -> dict[str, Any] | InputError:
    """Return a batch as the model takes it, persons padded to the most of any clip; an InputError instead if there is one."""
    for sample in samples:
        if isinstance(sample, InputError):
            return sample

    def padded(arrays: Iterable[np.ndarray]) -> Tensor:
        return pad_sequence([torch.from_numpy(np.ascontiguousarray(a)) for a in arrays], batch_first=True)

    batch: dict[str, Any] = {name: padded(s[name] for s in samples) for name in samples[0].keys() - {"face_masks"}}
    batch["face_masks"] = [padded(level) for level in zip(*(s["face_masks"] for s in samples), strict=True)]
    batch["present"] = padded(np.ones(len(s["scores"]), dtype=bool) for s in samples)
    for name in {"pose", "pictures", "reference_pose", "reference_picture"} & batch.keys():
        batch[name] = batch[name].movedim(-1, 1)
    return batch
