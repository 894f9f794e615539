"""Score face tracks with a two-stream network over windows of several lengths, exactly, in one decode and two looks.

A frame's visual features depend on few neighbours (`context`), and all window edges lie on multiples of 25 frames.
One look at the whole track and one at its separate 25-frame pieces therefore hold every feature of every window.
"""

import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from talking.core.errors import InputError
from talking.faces.tracked import in_audience
from talking.speaking import crops
from talking.video import media

WINDOWS_S = (1, 2, 3, 4, 5, 6)
_PIECE = media.FPS
_BLOCK = 4 * _PIECE
_JUDGED_TOGETHER = 64
# The score of a face that is surely silent.
_SILENT = -5.0
# Blocks of crops that a GPU sees together: about half a gigabyte each.
_TOGETHER_ON_GPU = 8
# Heads of one stream, which are in the published files but not needed for scoring.
_TRAINING_ONLY = ("lossA.", "lossV.")


class Network(Protocol):
    """Two streams: what is seen depends on `context` frames to each side at most, zeros beyond the ends."""

    context: int

    def see(self, faces: Tensor) -> Tensor: ...

    def judge(self, seen: Tensor, mfcc: Tensor) -> Tensor: ...


def load(network: torch.nn.Module, weights: str | Path) -> torch.nn.Module:
    """Fill a network from its published file (tensors only) and make it ready on the GPU if there is one.

    Raises InputError that names the file if it is missing or not that network's.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith(_TRAINING_ONLY)})
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["no content"])[0]
        raise InputError(
            f"{weights} is not a weight file of {type(network).__name__} ({reason}); download it again."
        ) from error
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def score(
    network: torch.nn.Module, video: str | Path, sound: str | Path, tracks: pd.DataFrame, at_once: int | None = None
) -> np.ndarray:
    """Return the raw score (n,) of each row of `tracks`: the second logit, averaged over windows of 1 to 6 s.

    Faces of an audience, beyond the eight largest of a picture, are not looked at and count as silent.
    On a GPU, blocks of several tracks are seen together, `at_once` of one length; on a processor one by one.
    """
    out = np.full(len(tracks), _SILENT)
    is_seen = ~in_audience(tracks)
    whole, tracks = np.flatnonzero(is_seen), tracks[is_seen]
    lengths = tracks.groupby("track")["frame"].agg(["min", "max"])
    seer = _Seer(network, at_once or (_TOGETHER_ON_GPU if next(network.parameters()).is_cuda else 1))
    looks = {track: _Look(seer, int(row["max"] - row["min"]) + 1) for track, row in lengths.iterrows()}
    unjudged: set[int] = set()
    track_of, frame_of = tracks["track"].to_numpy(), tracks["frame"].to_numpy()

    def judge() -> None:
        for track in [t for t in unjudged if looks[t].is_seen]:
            look, start = looks.pop(track), int(lengths["min"][track])
            mfcc = torch.from_numpy(crops.mfcc(sound, start, start + look.length))
            rows = track_of == track
            out[whole[rows]] = over_windows(network, *look.seen(), mfcc)[frame_of[rows] - start]
            unjudged.remove(track)

    for row, frame, face in tqdm(crops.faces(video, tracks), total=len(tracks), desc="faces", unit="face"):
        track = track_of[row]
        looks[track].add(frame - int(lengths["min"][track]), face)
        if looks[track].is_over:
            unjudged.add(track)
            judge()
    seer.see_all()
    judge()
    return out


def over_windows(network: torch.nn.Module, whole: Tensor, pieces: Tensor, mfcc: Tensor) -> np.ndarray:
    """Return scores (t,) averaged over the window lengths, from features (t, d) of the track seen whole and in pieces, and MFCCs (4 t, 13)."""
    length, device = len(whole), whole.device
    mfcc = mfcc.to(device)
    total = np.zeros(length)
    for seconds in WINDOWS_S:
        size = seconds * media.FPS
        seen = _window_features(whole, pieces, size, network.context)
        full = length // size
        parts = [(i * size, min(i + _JUDGED_TOGETHER, full) * size) for i in range(0, full, _JUDGED_TOGETHER)]
        for a, b in [*parts, (full * size, length)]:
            if a == b:
                continue
            n = max(1, (b - a) // size)
            logits = network.judge(
                seen[a:b].unflatten(0, (n, -1)), mfcc[a * crops.MFCC_RATE : b * crops.MFCC_RATE].unflatten(0, (n, -1))
            )
            total[a:b] += logits[..., 1].flatten().double().cpu().numpy()
    return total / len(WINDOWS_S)


class _Look:
    """The two looks at one track's crops as they come, a block at a time, so that memory does not grow with its length."""

    def __init__(self, seer: "_Seer", length: int) -> None:
        self.length = length
        self._seer = seer
        self._faces: list[np.ndarray] = []
        self._first = self._done = 0
        self._parts: list[tuple[Tensor, Tensor] | None] = []

    @property
    def is_over(self) -> bool:
        """Whether all crops have come; they may not all have been seen."""
        return self._done == self.length

    @property
    def is_seen(self) -> bool:
        """Whether the network has seen all crops."""
        return self.is_over and None not in self._parts

    def seen(self) -> tuple[Tensor, Tensor]:
        """Return what was seen of the whole track (t, d) and of its separate pieces (t, d), once all was."""
        whole, pieces = zip(*self._parts, strict=True)
        return torch.cat(whole), torch.cat(pieces)

    def add(self, index: int, face: np.ndarray) -> None:
        """Take the crop of one frame of the track; a frame without one repeats the last."""
        missing = index + 1 - self._first - len(self._faces)
        self._faces += [self._faces[-1] if self._faces else face] * (missing - 1) + [face]
        context = self._seer.context
        while (
            self._first + len(self._faces) >= min(self._done + _BLOCK + context, self.length)
            and self._done < self.length
        ):
            end = min(self._done + _BLOCK, self.length)
            self._parts.append(None)
            block = np.stack(self._faces), self._done - self._first, end - self._first
            self._seer.take(*block, functools.partial(self._parts.__setitem__, len(self._parts) - 1))
            self._done = end
            keep = max(0, end - context - self._first)
            self._faces, self._first = self._faces[keep:], self._first + keep


class _Seer:
    """Looks at blocks of crops, `at_once` of one shape together, and hands the features of each to who gave it."""

    def __init__(self, network: torch.nn.Module, at_once: int) -> None:
        self._network, self._at_once = network, at_once
        self.context = network.context
        self._waiting: dict[tuple[int, int, int], list[tuple[np.ndarray, Callable]]] = {}

    def take(self, faces: np.ndarray, start: int, end: int, give: Callable[[tuple[Tensor, Tensor]], None]) -> None:
        """Take a block (t, 112, 112) of which the features of [start, end) are wanted, seen whole and in pieces."""
        shape = len(faces), start, end
        self._waiting.setdefault(shape, []).append((faces, give))
        if len(self._waiting[shape]) == self._at_once:
            self._see(shape)
        # Blocks of rare shapes do not pile up.
        elif sum(map(len, self._waiting.values())) > 4 * self._at_once:
            self.see_all()

    def see_all(self) -> None:
        """Look at all that waits."""
        for shape in list(self._waiting):
            self._see(shape)

    def _see(self, shape: tuple[int, int, int]) -> None:
        blocks, (_, start, end) = self._waiting.pop(shape), shape
        faces = torch.from_numpy(np.stack([faces for faces, _ in blocks])).to(next(self._network.parameters()).device)
        whole = self._network.see(faces)[:, start:end]
        own = faces[:, start:end]
        full = own.shape[1] // _PIECE * _PIECE
        pieces = []
        if full:
            apart = own[:, :full].unflatten(1, (-1, _PIECE)).flatten(0, 1)
            pieces.append(self._network.see(apart).unflatten(0, (len(blocks), -1)).flatten(1, 2))
        if full < own.shape[1]:
            pieces.append(self._network.see(own[:, full:]))
        for (_, give), seen in zip(blocks, zip(whole, torch.cat(pieces, dim=1), strict=True), strict=True):
            give(seen)


def _window_features(whole: Tensor, pieces: Tensor, size: int, context: int) -> Tensor:
    """Return features (t, d) as if each window of `size` frames had been seen alone."""
    at = torch.arange(len(whole), device=whole.device)
    to_start = at % size
    end = torch.clamp(at - to_start + size, max=len(whole))
    # Near a window's edge the piece that begins or ends there is right, but at the end of the track its short last
    # piece is too short to look back, while the look at the whole ends there too.
    near = (to_start < context) | ((end - at <= context) & (end < len(whole)))
    return torch.where(near[:, None], pieces, whole)
