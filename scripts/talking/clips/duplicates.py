"""Find clips that show the same: published twice, cut out of each other, re-encoded.

Candidates are pairs whose sounds share rare fingerprints at one offset; what decides is how much of both sounds and pictures is
alike there. Of the fingerprints one in four is looked up, the same ones in every clip, so that a data set of a million clips fits
in memory.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.clips import fingerprints
from talking.core import cli, tables
from talking.video import media

# A fingerprint of more clips than this is ignored (a jingle, a hum).
_MOST_SHARED = 50
# Looked-up fingerprints that two clips must share at an offset (or the next one) to be compared.
_LEAST_SHARED = 2
_LOOKED_UP = 4
# Fingerprints are compared in so many shards, one after the other.
_SHARDS = 16
# Clips of a video start anywhere, its pictures are compared where they lie at most half a second apart.
_PICTURE_FRAMES = media.FPS


@dataclass
class Settings:
    """Settings of finding duplicates."""

    min_overlap_share: float = cli.setting(
        0.5, "fraction of the shorter of two clips that the other must show to be a duplicate", minimum=0, maximum=1
    )
    max_sound_bit_error: float = cli.setting(
        0.35,
        "fraction of differing fingerprint bits up to which sounds are the same; by chance it is 0.5",
        minimum=0,
        maximum=0.5,
    )
    max_picture_bits: float = cli.setting(
        16.0, "differing bits, of 64, up to which pictures are the same; by chance there are 32", minimum=0, maximum=64
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
    shards, owner, first = _index(videos, read)
    rows, originals = [], {}
    for later, earlier, offset in _pairs(shards):
        if later in originals or earlier in originals:
            continue
        here, there = (read(videos[owner[clip]]) for clip in (later, earlier))
        a, b = later - first[owner[later]], earlier - first[owner[earlier]]
        found = _compare((here.sounds[a], here.pictures[a]), (there.sounds[b], there.pictures[b]), offset)
        if _is_same(found, settings):
            originals[later] = earlier
            rows.append({"video": videos[owner[later]], "clip": here.clips[a], "duplicate_of": there.clips[b], **found})
    return pd.DataFrame(rows) if rows else tables.empty("duplicates")


# Looked-up fingerprints: clip (n,), frame (n,) and bits (n,).
_Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def _index(videos: list[str], read: Callable[[str], Prints]) -> tuple[list[list[_Rows]], np.ndarray, np.ndarray]:
    """Return the looked-up fingerprints in shards by their bits, of each clip its video, and of each video its first clip."""
    shards: list[list[_Rows]] = [[] for _ in range(_SHARDS)]
    owner, first = [], []
    for number, video in enumerate(tqdm(videos, desc="fingerprints")):
        first.append(len(owner))
        sounds = read(video).sounds
        if sounds:
            clip = np.repeat(np.arange(len(sounds), dtype=np.int32) + len(owner), [sound.size for sound in sounds])
            frame = np.concatenate([np.arange(sound.size, dtype=np.int32) for sound in sounds])
            bits = np.concatenate(sounds).astype(np.uint32)
            mixed = _mixed(bits)
            wanted = (bits > 0) & (mixed % _LOOKED_UP == 0)
            for shard, rows in enumerate(shards):
                own = wanted & (mixed // _LOOKED_UP % _SHARDS == shard)
                rows.append((clip[own], frame[own], bits[own]))
        owner += [number] * len(sounds)
    return shards, np.array(owner, dtype=int), np.array(first, dtype=int)


def _mixed(sound: np.ndarray) -> np.ndarray:
    """Return numbers in which every bit of a fingerprint counts: those that are looked up must not be alike."""
    return (sound * np.uint32(2654435761)) >> np.uint32(16)


def _pairs(shards: list[list[_Rows]]) -> list[tuple[int, int, int]]:
    """Return (later clip, earlier clip, offset) of clips that share fingerprints, in the order of the later, the likeliest earlier first.

    The offset is the earlier one's frame at which the later one begins. The shards are emptied.
    """
    found = [np.zeros((0, 3), np.int64)]
    while shards:
        rows = shards.pop()
        if rows:
            found += _meetings(*(np.concatenate([part[k] for part in rows]) for k in range(3)))
    pairs, count = np.unique(np.concatenate(found), axis=0, return_counts=True)
    # Sorted by offset last, so the next offset of the same two clips is the next row.
    is_next = (np.diff(pairs, axis=0) == [0, 0, 1]).all(axis=1)
    near = count + np.append(np.where(is_next, count[1:], 0), np.zeros(min(1, count.size), int))
    likely = near >= _LEAST_SHARED
    later, earlier, offset = pairs[likely].T
    order = np.lexsort((offset, earlier, -near[likely], later))
    return list(zip(later[order].tolist(), earlier[order].tolist(), offset[order].tolist(), strict=True))


def _meetings(clip: np.ndarray, frame: np.ndarray, bits: np.ndarray) -> list[np.ndarray]:
    """Return rows (later clip, earlier clip, offset), one for each two frames of different clips with the same rare fingerprint."""
    order = np.argsort(bits, kind="stable")
    size = np.unique(bits, return_counts=True)[1]
    order = order[np.repeat((size > 1) & (size <= _MOST_SHARED), size)]
    clip, frame, bits = clip[order], frame[order].astype(np.int64), bits[order]
    found = []
    # The rows with the same bits lie together, in the order of the clips: one and the next, one and the one after the next, ...
    for apart in range(1, min(_MOST_SHARED, bits.size)):
        same = bits[apart:] == bits[:-apart]
        if not same.any():
            break
        at = np.flatnonzero(same & (clip[apart:] != clip[:-apart]))
        found.append(np.stack([clip[at + apart], clip[at], frame[at] - frame[at + apart]], axis=1).astype(np.int64))
    return found


def _compare(
    here: tuple[np.ndarray, np.ndarray], there: tuple[np.ndarray, np.ndarray], offset: int
) -> dict[str, float]:
    """Return how alike two clips' (sound, pictures) are in their common frames, if `here` begins at frame `offset` of `there`."""
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
