"""Score face tracks with a two-stream network over windows of several lengths, exactly, in one decode and two looks.

A frame's visual features depend on few neighbours (`context`), and all window edges lie on multiples of 25 frames.
One look at the whole track and one at its separate 25-frame pieces therefore hold every feature of every window.
"""

import pickle
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from talking.core.errors import InputError
from talking.speaking import crops
from talking.video import media

WINDOWS_S = (1, 2, 3, 4, 5, 6)
_PIECE = media.FPS
_BLOCK = 4 * _PIECE
_JUDGED_TOGETHER = 64
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
def score(network: torch.nn.Module, video: str | Path, sound: str | Path, tracks: pd.DataFrame) -> np.ndarray:
    """Return the raw score (n,) of each row of `tracks`: the second logit, averaged over windows of 1 to 6 s."""
    out = np.zeros(len(tracks))
    lengths = tracks.groupby("track")["frame"].agg(["min", "max"])
    looks = {track: _Look(network, int(row["max"] - row["min"]) + 1) for track, row in lengths.iterrows()}
    track_of, frame_of = tracks["track"].to_numpy(), tracks["frame"].to_numpy()
    for row, frame, face in tqdm(crops.faces(video, tracks), total=len(tracks), desc="faces", unit="face"):
        track = track_of[row]
        start = int(lengths["min"][track])
        look = looks[track]
        look.add(frame - start, face)
        if look.whole is None:
            continue
        mfcc = torch.from_numpy(crops.mfcc(sound, start, start + look.length))
        scores = over_windows(network, look.whole, look.pieces, mfcc)
        rows = track_of == track
        out[rows] = scores[frame_of[rows] - start]
        looks[track] = None
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

    def __init__(self, network: torch.nn.Module, length: int) -> None:
        self.network, self.length = network, length
        self.whole: Tensor | None = None
        self.pieces: Tensor | None = None
        self._faces: list[np.ndarray] = []
        self._first = self._done = 0
        self._parts: list[tuple[Tensor, Tensor]] = []

    def add(self, index: int, face: np.ndarray) -> None:
        """Take the crop of one frame of the track; a frame without one repeats the last."""
        missing = index + 1 - self._first - len(self._faces)
        self._faces += [self._faces[-1] if self._faces else face] * (missing - 1) + [face]
        context = self.network.context
        while (
            self._first + len(self._faces) >= min(self._done + _BLOCK + context, self.length)
            and self._done < self.length
        ):
            end = min(self._done + _BLOCK, self.length)
            self._see(self._done, end)
            self._done = end
            keep = max(0, end - context - self._first)
            self._faces, self._first = self._faces[keep:], self._first + keep
        if self._done == self.length and self.whole is None:
            self.whole, self.pieces = (torch.cat(part) for part in zip(*self._parts, strict=True))
            self._faces, self._parts = [], []

    def _see(self, start: int, end: int) -> None:
        device = next(self.network.parameters()).device
        faces = torch.from_numpy(np.stack(self._faces)).to(device)
        whole = self.network.see(faces[None])[0, start - self._first : end - self._first]
        own = faces[start - self._first : end - self._first]
        full = len(own) // _PIECE * _PIECE
        pieces = [self.network.see(own[:full].unflatten(0, (-1, _PIECE))).flatten(0, 1)] if full else []
        if full < len(own):
            pieces.append(self.network.see(own[None, full:])[0])
        self._parts.append((whole, torch.cat(pieces)))


def _window_features(whole: Tensor, pieces: Tensor, size: int, context: int) -> Tensor:
    """Return features (t, d) as if each window of `size` frames had been seen alone."""
    at = torch.arange(len(whole), device=whole.device)
    to_start = at % size
    end = torch.clamp(at - to_start + size, max=len(whole))
    # Near a window's edge the piece that begins or ends there is right, but at the end of the track its short last
    # piece is too short to look back, while the look at the whole ends there too.
    near = (to_start < context) | ((end - at <= context) & (end < len(whole)))
    return torch.where(near[:, None], pieces, whole)
