"""Find clips that show the same: published twice, cut out of each other, encoded anew.

Candidates are pairs whose sounds share rare fingerprints at one offset; what decides is how much of both sounds and pictures is
alike there. Of the fingerprints one in four is looked up, the same ones in every clip, so that a data set of a million clips fits
in memory.
"""

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking import cli, fingerprints, media, tables

# A fingerprint that more clips than this have tells nothing (a jingle, a hum).
_MOST_SHARED = 50
# Looked-up fingerprints that two clips must share at an offset (or the next one) to be compared.
_LEAST_SHARED = 2
_LOOKED_UP = 4
# Clips of a video start anywhere, its pictures are compared where they lie at most half a second apart.
_PICTURE_FRAMES = media.FPS


@dataclass
class Settings:
    """What counts as the same."""

    min_overlap_share: float = cli.setting(
        0.5, "how much of the shorter of two clips the other must show to be the same", minimum=0, maximum=1
    )
    max_sound_bit_error: float = cli.setting(
        0.35,
        "share of differing fingerprint bits up to which sounds are the same; by chance it is 0.5",
        minimum=0,
        maximum=0.5,
    )
    max_picture_bits: float = cli.setting(
        16.0, "differing bits, of 64, up to which pictures are the same; by chance it is 32", minimum=0, maximum=64
    )


@dataclass
class Prints:
    """The kept clips of a video: their names and, of each, the fingerprints of its sound and pictures."""

    clips: list[str]
    sounds: list[np.ndarray]
    pictures: list[np.ndarray]


def find(videos: Iterable[str], read: Callable[[str], Prints], settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `duplicates` of videos in order; `read` gives the kept clips of one, and may be asked again.

    Of clips that show the same, the first is the original; a clip is the duplicate of an original only.
    """
    settings = settings or Settings()
    videos = list(videos)
    read = functools.lru_cache(maxsize=64)(read)
    index, owner, first = _index(videos, read)
    rows, originals = [], {}
    for later, earlier, offset in _pairs(index):
        if later in originals or earlier in originals:
            continue
        here, there = (read(videos[owner[clip]]) for clip in (later, earlier))
        a, b = later - first[owner[later]], earlier - first[owner[earlier]]
        found = _compare((here.sounds[a], here.pictures[a]), (there.sounds[b], there.pictures[b]), offset)
        if _is_same(found, settings):
            originals[later] = earlier
            rows.append({"video": videos[owner[later]], "clip": here.clips[a], "duplicate_of": there.clips[b], **found})
    return pd.DataFrame(rows) if rows else tables.empty("duplicates")


def _index(videos: list[str], read: Callable[[str], Prints]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the looked-up fingerprints (clip, frame, bits), of each clip its video, and of each video its first clip."""
    parts, owner, first = [], [], []
    for number, video in enumerate(tqdm(videos, desc="fingerprints")):
        first.append(len(owner))
        for sound in read(video).sounds:
            frames = np.flatnonzero((sound > 0) & (_mixed(sound) % _LOOKED_UP == 0))
            parts.append((np.full(frames.size, len(owner), np.int32), frames.astype(np.int32), sound[frames]))
            owner.append(number)
    clip, frame, bits = (np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, int) for k in range(3))
    return pd.DataFrame({"clip": clip, "frame": frame, "bits": bits}), np.array(owner, int), np.array(first, int)


def _mixed(sound: np.ndarray) -> np.ndarray:
    """Return numbers in which every bit of a fingerprint counts: those that are looked up must not be alike."""
    return (sound * np.uint32(2654435761)) >> np.uint32(16)


def _pairs(index: pd.DataFrame) -> list[tuple[int, int, int]]:
    """Return (later clip, earlier clip, offset) of clips that share fingerprints, in the order of the later, the likeliest earlier first.

    The offset is the earlier one's frame at which the later one begins.
    """
    index = index.sort_values(["bits", "clip", "frame"], kind="stable", ignore_index=True)
    size = index.groupby("bits")["bits"].transform("size").to_numpy()
    shared = index[(size > 1) & (size <= _MOST_SHARED)]
    counts: dict[tuple[int, int, int], int] = {}
    for _, group in shared.groupby("bits", sort=False):
        seen = list(zip(group["clip"].tolist(), group["frame"].tolist(), strict=True))
        for (earlier, then), (later, now) in itertools.combinations(seen, 2):
            if earlier != later:
                key = (later, earlier, then - now)
                counts[key] = counts.get(key, 0) + 1
    near = {key: n + counts.get((key[0], key[1], key[2] + 1), 0) for key, n in counts.items()}
    likely = sorted((later, -n, earlier, offset) for (later, earlier, offset), n in near.items() if n >= _LEAST_SHARED)
    return [(later, earlier, offset) for later, _, earlier, offset in likely]


def _compare(
    here: tuple[np.ndarray, np.ndarray], there: tuple[np.ndarray, np.ndarray], offset: int
) -> dict[str, float]:
    """Return how alike two clips' (sound, pictures) are where both are, if `here` begins at frame `offset` of `there`."""
    (a, a_pictures), (b, b_pictures) = here, there
    start, end = max(0, -offset), min(a.size, b.size - offset)
    if end <= start:
        return {"offset_frames": offset, "overlap_share": 0.0, "sound_bit_error": np.nan, "picture_bits": np.nan}
    frames = np.arange(a_pictures.size) * _PICTURE_FRAMES
    nearest = np.round((frames + offset) / _PICTURE_FRAMES).astype(int)
    both = (frames >= start) & (frames < end) & (nearest >= 0) & (nearest < b_pictures.size)
    return {
        "offset_frames": offset,
        "overlap_share": (end - start) / min(a.size, b.size),
        "sound_bit_error": fingerprints.sound_bit_error(a[start:end], b[start + offset : end + offset]),
        "picture_bits": fingerprints.picture_bits(a_pictures[both], b_pictures[nearest[both]]),
    }


def _is_same(found: dict[str, float], settings: Settings) -> bool:
    return (
        found["overlap_share"] >= settings.min_overlap_share
        and found["sound_bit_error"] <= settings.max_sound_bit_error
        and found["picture_bits"] <= settings.max_picture_bits
    )
