"""Looks: what a pose model has found of one face in single frames, kept beside the poses so that no frame is looked at twice.

A face's frames are divided into pieces, at fixed frames of the video. A model follows a face through a piece from its first frame
on, so that what it finds depends on the piece alone and on no clip. Looks are kept by the piece with a checksum of all that they
depend on. The store is a cache: it may be deleted, and what is of another video, model or face is not used.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from talking.core import arrays
from talking.core.errors import InputError

# Frames of a block: a face's pieces end where one ends. Long, as a body is searched for where a piece begins; a multiple of many distances between looks.
BLOCK = 480
# Steps to which coordinates and scores are rounded: far below any model's error, and the files are half as large.
PIXEL_STEPS, SCORE_STEPS = 16, 256
# Seconds of work after which finished pieces are written, so that a killed job loses no more than this.
SHARD_S = 120.0
# The file that is left at the end.
_FINAL = "000000.npz"
# Raised when a model or the way it is used changes, so that kept looks are not those of the new way.
_VERSION = 3


@dataclass(frozen=True)
class Face:
    """One face in one frame: box (4,) px and points (68, 2) px (NaN: lost).

    `window` (4,) px, whole numbers, is the part of the picture that shows the person; a model looks nowhere else. `others` (n, 4) px
    are the boxes of other people's faces.
    """

    box: np.ndarray
    points: np.ndarray
    window: np.ndarray
    others: np.ndarray


@dataclass(eq=False)
class Piece:
    """Successive frames of one face, from `start` on: boxes (n, 4) px, points (n, 68, 2) px and others (n, m, 4) px.

    `found` holds for each frame that was looked at keypoints (133, 2) px and scores (133,); all scores are 0 if there was no body.
    `state` is what the model needs to go on after the last frame looked at. `goal` is the last frame to look at.
    """

    track: int
    start: int
    boxes: np.ndarray
    points: np.ndarray
    window: np.ndarray
    others: np.ndarray
    found: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    state: np.ndarray = field(default_factory=lambda: np.zeros(0))
    goal: int = -1

    @property
    def end(self) -> int:
        """One past the last frame."""
        return self.start + len(self.boxes)

    def face(self, frame: int) -> Face:
        """Return the face in a frame."""
        k = frame - self.start
        there = self.others[k][~np.isnan(self.others[k]).any(-1)]
        return Face(self.boxes[k], self.points[k], self.window, there)

    def is_main(self, frame: int, every: int) -> bool:
        """Return whether a frame is looked at whatever happens: every so many frames of the video, and the piece's ends."""
        return frame % every == 0 or frame in (self.start, self.end - 1)

    def main_from(self, frame: int, every: int) -> int:
        """Return the first frame not before `frame` that is looked at whatever happens."""
        return min(max(frame + -frame % every, self.start), self.end - 1)

    def next(self) -> int:
        """Return the first frame that has not been passed yet."""
        return max(self.found, default=self.start - 1) + 1

    def add(self, frame: int, points: np.ndarray, scores: np.ndarray) -> None:
        """Take what was found in a frame: keypoints (133, 2) px and scores (133,), rounded as they are kept."""
        self.found[frame] = rounded(points, scores)

    def digest(self) -> np.ndarray:
        """Return a checksum (32,) of all that its looks up to the last one depend on."""
        made, seen = hashlib.sha256(), self.next() - self.start
        others = self.others[:seen]
        # Whoever is in none of these frames leaves no trace.
        others = others[:, ~np.isnan(others).all((0, 2))]
        for array in (self.boxes[:seen], self.points[:seen], self.window, others):
            made.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return np.frombuffer(made.digest(), np.uint8)

    def filled(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (n, 133, 2) and scores (n, 133) in frames of the piece: between two looks on the line that joins them.

        A point that only one of the two has found is absent between them.
        """
        looked = np.array(sorted(self.found))
        points = np.stack([self.found[frame][0] for frame in looked.tolist()]).astype(float)
        scores = np.stack([self.found[frame][1] for frame in looked.tolist()]).astype(float)
        after = np.searchsorted(looked, frames).clip(0, len(looked) - 1)
        before = np.where(looked[after] == frames, after, (after - 1).clip(0))
        part = (frames - looked[before]) / np.maximum(looked[after] - looked[before], 1)
        both = (scores[before] > 0) & (scores[after] > 0)
        between = (1 - part)[:, None] * scores[before] + part[:, None] * scores[after]
        place = (1 - part)[:, None, None] * points[before] + part[:, None, None] * points[after]
        return np.where(both[..., None], place, 0), np.where(both, between, 0)


def rounded(points: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (..., 2) and scores (...) as they are kept; a keypoint of score 0 is 0."""
    scores = np.round(scores * SCORE_STEPS) / SCORE_STEPS
    points = np.where(scores[..., None] > 0, np.round(points * PIXEL_STEPS) / PIXEL_STEPS, 0)
    return points.astype(np.float32), scores.astype(np.float32)


class Store:
    """The looks of one video in a folder of npz files, of which a later one replaces pieces of earlier ones.

    While a job works it adds a file every few minutes; at the end there is one.
    """

    def __init__(self, folder: Path | None, of: dict[str, object]) -> None:
        """Open the folder; `of` is what all its looks depend on. Files of anything else are deleted, as are damaged ones.

        Without a folder nothing is kept.
        """
        self._folder = folder
        self._header = json.dumps({"version": _VERSION, "block": BLOCK, **of}, sort_keys=True)
        self._files = [file for file in self._found() if self._is_ours(file)]
        self._open = {file: arrays.opened(file) for file in self._files}
        self._place: dict[str, Path] = {}
        for file, named in self._open.items():
            self._place.update({_of_part(name): file for name in named if name != "header"})
        self._waiting: list[tuple[str, dict[str, np.ndarray]]] = []
        self._written = time.monotonic()
        self._is_less = False

    def load(self, piece: Piece) -> None:
        """Give a piece the looks that are kept of it."""
        kept = self._read(_name(piece.track, piece.start, piece.end))
        if kept is None:
            return
        found = {
            frame: (value[:, :2], value[:, 2])
            for frame, value in zip(kept["frames"].tolist(), kept["values"], strict=True)
        }
        piece.found = found
        if (piece.digest() == kept["digest"]).all():
            piece.state = kept["state"]
        else:
            piece.found = {}

    def save(self, piece: Piece) -> None:
        """Keep the looks of a piece; they are written with others, after some minutes or at the end."""
        frames = sorted(piece.found)
        values = np.stack([np.column_stack(piece.found[frame]) for frame in frames])
        self._add(
            _name(piece.track, piece.start, piece.end),
            {"frames": np.array(frames, np.int32), "values": values, "state": piece.state, "digest": piece.digest()},
        )

    def windows(self, shot: tuple[int, int], faces: np.ndarray) -> np.ndarray | None:
        """Return the windows (n, 4) of faces (n, 4) in a shot, if they are kept."""
        kept = self._read(f"{_windows_name(*shot)}/{_digest_of(faces)}")
        return None if kept is None else kept["windows"]

    def save_windows(self, shot: tuple[int, int], faces: np.ndarray, found: np.ndarray) -> None:
        """Keep the windows (n, 4) of faces (n, 4) in a shot."""
        self._add(f"{_windows_name(*shot)}/{_digest_of(faces)}", {"windows": found})

    def keep_only(self, pieces: Iterable[tuple[int, int, int]], shots: Iterable[tuple[int, int]]) -> None:
        """Forget what is of other pieces (track, start, end) and shots (start, end): else looks at old tracks stayed for ever."""
        if self._waiting:
            self._flush()
        wanted = {_name(*piece) for piece in pieces} | {_windows_name(*shot) for shot in shots}
        place = {name: file for name, file in self._place.items() if name in wanted or name.rsplit("/", 1)[0] in wanted}
        self._is_less, self._place = len(place) < len(self._place), place

    def close(self, keep: bool) -> None:
        """Leave one file with all looks, or none if they are not to be kept."""
        if self._folder is None:
            return
        if not keep:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        if self._waiting:
            self._flush()
        final = self._folder / _FINAL
        if self._files and (self._files != [final] or self._is_less):
            arrays.write(final, self._all())
            for file in self._files:
                if file != final:
                    file.unlink()
        for named in self._open.values():
            named.close()

    def _all(self) -> Iterator[tuple[str, np.ndarray]]:
        yield self._named_header()
        # In an order that no kill changes.
        for name, file in sorted(self._place.items()):
            yield from ((f"{name}/{part}", value) for part, value in (self._parts(name, file) or {}).items())

    def _add(self, name: str, values: dict[str, np.ndarray]) -> None:
        if self._folder is None:
            return
        self._waiting.append((name, values))
        if time.monotonic() - self._written > SHARD_S:
            self._flush()

    def _flush(self) -> None:
        file = self._next_file()
        arrays.write(
            file,
            [
                self._named_header(),
                *((f"{name}/{part}", value) for name, values in self._waiting for part, value in values.items()),
            ],
        )
        self._files.append(file)
        self._open[file] = arrays.opened(file)
        self._place.update({name: file for name, _ in self._waiting})
        self._waiting, self._written = [], time.monotonic()

    def _named_header(self) -> tuple[str, np.ndarray]:
        return "header", np.frombuffer(self._header.encode(), np.uint8)

    def _next_file(self) -> Path:
        last = max((int(file.stem) for file in self._files), default=0)
        return self._folder / f"{last + 1:06d}.npz"

    def _found(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.npz")) if self._folder is not None else []

    def _is_ours(self, file: Path) -> bool:
        try:
            with arrays.opened(file) as named:
                is_ours = bytes(named["header"]).decode() == self._header
        except (InputError, KeyError, UnicodeDecodeError):
            is_ours = False
        if not is_ours:
            file.unlink()
        return is_ours

    def _read(self, name: str) -> dict[str, np.ndarray] | None:
        """Return what is kept under a name; None if nothing is, or if it is damaged."""
        return self._parts(name, self._place[name]) if name in self._place else None

    def _parts(self, name: str, file: Path) -> dict[str, np.ndarray] | None:
        parts = ("windows",) if name.startswith("windows/") else ("frames", "values", "state", "digest")
        try:
            return {part: self._open[file][f"{name}/{part}"] for part in parts}
        except (InputError, KeyError):
            return None


def _of_part(name: str) -> str:
    return name.rsplit("/", 1)[0]


def _name(track: int, start: int, end: int) -> str:
    return f"looks/{track}/{start}to{end}"


def _windows_name(start: int, end: int) -> str:
    """Return the name below which the windows of all faces that a shot was searched with are kept."""
    return f"windows/{start}to{end}"


def _digest_of(faces: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(faces, dtype="<f4").tobytes()).hexdigest()[:16]
