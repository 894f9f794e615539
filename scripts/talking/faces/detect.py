"""Find the faces of every frame: boxes, confidences and five landmarks, in one pass over the video."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.core import boxes, onnx_networks, tables
from talking.core.cli import setting
from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.faces import centerface, insightface
from talking.video import media

POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")

# One detection: box, confidence, five points.
_COLUMNS = ["x1", "y1", "x2", "y2", "confidence"] + [f"{p}_{a}" for p in POINTS for a in "xy"]

# Moves of the box's sides, in box widths and heights, that make a YuNet box span the face's outline without ears, from the
# hairline to the chin, as true boxes do. YuNet's boxes reach further up.
_YUNET_MARGINS = np.array([0.015, 0.09, 0.0, -0.02])

# A known face is detected again in a square of so many times its size, scaled to so many pixels.
_LOOK_REACH = 2.0
_LOOK_SIDE = 128
# More lines find no more faces.
_MOST_LINES = 720
# A face is the same as one before if their boxes' IoU is greater.
_SAME_PLACE = 0.3
# Two boxes show one face twice if they share more than this of the smaller one.
_DOUBLE = 0.6
# When a face of this confidence is lost, the whole picture is searched at once.
_SURE = 0.5
# For so many frames, a face that was lost is searched more often.
_LOST_FRAMES = 5 * media.FPS

Detector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """Settings of the face detection."""

    model: str = setting("centerface", "face detector", choices=("centerface", "yunet", "scrfd"))
    weights: str = setting("", "ONNX file, for the models yunet and scrfd")
    search_lines: int = setting(540, "shorter side, in pixels, of the picture that is searched for faces")
    search_every: int = setting(24, "frames from one search of the whole picture to the next", minimum=1)
    search_lost_every: int = setting(
        12, "frames from one such search to the next for five seconds after a known face was lost", minimum=1
    )
    look_every: int = setting(
        4, "frames from one detection around the known faces to the next; in between, boxes are interpolated", minimum=1
    )
    smallest: float = setting(
        0.02, "smallest face that is written: its longer side, as a fraction of the picture's shorter side"
    )
    min_confidence: float = setting(0.3, "detections of lower confidence are not written (0-1)")


def detect(
    video: str | Path, settings: Settings, starts: Sequence[int] = (0,), within: Interval | None = None
) -> pd.DataFrame:
    """Return the `faces` table of a `media/` video; boxes and points are in the pixels of the video.

    `starts` are the first frames of its shots; `within`: frames [start, end) of whole shots; only these are searched. The whole picture is searched where a shot begins and every second or so; in between,
    each face is looked at again near where it was, always at the same size, so that boxes are steady. Who appears between two
    searches is followed backwards. Only the pictures of these frames are decoded, and those that they need. A face that is found in two successive pictures has a row for each frame between
    them, interpolated. Its confidence is that of the look, but no more than that of the last search that found it: only the
    whole picture shows that a piece of a hand is not a face.
    Raises InputError if the model's weights are missing.
    """
    width, height, count = media.size_and_length(video)
    detector = MODELS[settings.model](settings)
    if not width:
        return tables.empty("faces")
    lines = round(height * min(1.0, _MOST_LINES / min(width, height)))
    finder = _Finder(detector, settings)
    first, end = (0, count) if within is None else within
    edges = np.unique(np.clip([first, *starts, end], first, end))
    firsts = set(edges[:-1].tolist())
    stops = {f for a, b in itertools.pairwise(edges.tolist()) for f in (*range(a, b, settings.look_every), b - 1)}
    pictures = media.frames_at(video, stops, height=lines, pixel_format="bgr24", fast=True)
    shown = tqdm(pictures, total=len(stops), desc="faces", unit="picture", mininterval=5)
    for batch in media.batches(shown, onnx_networks.taken_together(detector)):
        finder.search_ahead(batch)
        for frame, picture in batch:
            finder.see(frame, picture, frame in firsts)
    back = np.array([width, height]) / (finder.size if finder.size else (width, height))
    rows = [_interpolated(chain) for chain in finder.chains()]
    found = np.concatenate(rows) if rows else np.zeros((0, 16))
    found = np.column_stack([found[:, 0], _resized(found[:, 1:], back)])
    found = found[np.lexsort((-found[:, 5], found[:, 0]))]
    return pd.DataFrame(found, columns=["frame", *_COLUMNS]).astype({"frame": int})


def in_picture(picture: np.ndarray, settings: Settings) -> np.ndarray:
    """Return the faces (n, 15) of one RGB picture (h, w, 3): box, confidence and five points, in its pixels.

    As in a video, a face counts that is also found from nearby. Raises InputError if the model's weights are missing.
    """
    finder = _Finder(MODELS[settings.model](settings), settings)
    finder.see(0, np.ascontiguousarray(picture[..., ::-1]), True)
    return np.array([chain.faces[-1] for chain in finder.chains()]).reshape(-1, 15)


@dataclass
class _Chain:
    """Successive detections of one face: frames, detections (15,), and the confidence of the last search that found it."""

    frames: list[int]
    faces: list[np.ndarray]
    searched: float

    def add(self, frame: int, face: np.ndarray) -> None:
        """Add a detection, no more confident than the last search."""
        face = face.copy()
        face[4] = min(face[4], self.searched)
        self.frames.append(frame)
        self.faces.append(face)


class _Finder:
    """Finds the faces of successive BGR pictures of one size and joins them into chains while they are found again."""

    def __init__(self, detector: Detector, settings: Settings) -> None:
        self._detector, self._settings = detector, settings
        self._known: list[_Chain] = []
        self._ended: list[_Chain] = []
        # The pictures since the last search, in which a face that appears is looked for backwards.
        self._since: list[tuple[int, np.ndarray]] = []
        self._searched = 0
        self._lost: int | None = None
        # What searches found before it is known whether they are needed.
        self._ahead: dict[int, np.ndarray] = {}
        self.size: tuple[int, int] | None = None

    def search_ahead(self, batch: list[tuple[int, np.ndarray]]) -> None:
        """Search several pictures at once, if the detector gains from it: which of them need a search turns out later."""
        self._ahead = {}
        if len(batch) > 1:
            found = onnx_networks.each_of(self._detector, [self._searched_size(picture) for _, picture in batch])
            self._ahead = {frame: faces for (frame, _), faces in zip(batch, found, strict=True)}

    def see(self, frame: int, picture: np.ndarray, is_first: bool) -> None:
        """Find the faces of a picture; `is_first` if a shot begins with it."""
        self.size = picture.shape[1::-1]
        if is_first:
            self._ended, self._known, self._since, self._lost = self._ended + self._known, [], [], None
        seen = self._look(picture, [chain.faces[-1] for chain in self._known])
        is_lost = any(
            face is None and chain.faces[-1][4] >= _SURE for chain, face in zip(self._known, seen, strict=True)
        )
        found, new = np.zeros((0, 15)), []
        is_search = is_first or is_lost or self._is_due(frame)
        if is_search:
            found = self._search(frame, picture)
            pairs = self._pairs(found)
            for i, chain in enumerate(self._known):
                # A face that the search of the whole picture misses continues as a weak detection.
                chain.searched = found[pairs[i], 4] if i in pairs else self._settings.min_confidence
            seen = [found[pairs[i]] if face is None and i in pairs else face for i, face in enumerate(seen)]
            new = [found[j] for j in sorted(set(range(len(found))) - set(pairs.values()))]
        self._follow(frame, seen)
        for face in new:
            # Where a known face is there is no other one; at the picture's edge its box may leap.
            if not _covers(np.array([c.faces[-1] for c in self._known]).reshape(-1, 15), face).any():
                self._begin(frame, picture, face)
        if is_search:
            self._since, self._searched = [], frame
        self._since.append((frame, picture))

    def _is_due(self, frame: int) -> bool:
        is_missing = self._lost is not None and frame - self._lost <= _LOST_FRAMES
        every = (
            min(self._settings.search_every, self._settings.search_lost_every)
            if is_missing
            else self._settings.search_every
        )
        return frame - self._searched >= every

    def _follow(self, frame: int, seen: list[np.ndarray | None]) -> None:
        """Extend each known face by its new detection; faces that are lost, or found as another one, end."""
        places = [i for i, face in enumerate(seen) if face is not None]
        kept = {places[k] for k in kept_of(np.array([seen[i] for i in places]).reshape(-1, 15))}
        for i in kept:
            self._known[i].add(frame, seen[i])
        ended = [c for i, c in enumerate(self._known) if i not in kept]
        self._lost = frame if ended else self._lost
        self._ended += ended
        self._known = [c for i, c in enumerate(self._known) if i in kept]

    def chains(self) -> list[_Chain]:
        """Return all chains there were."""
        return self._ended + self._known

    def _begin(self, frame: int, picture: np.ndarray, face: np.ndarray) -> None:
        """Begin a chain, as far back as the face is seen in the pictures since the last search.

        What a look does not show, too, only seems to be a face from one distance.
        """
        if self._look(picture, [face])[0] is None:
            return
        before = [(frame, face)]
        for earlier, shown in reversed(self._since):
            [seen] = self._look(shown, [before[-1][1]])
            if seen is None:
                break
            before.append((earlier, seen))
        chain = _Chain([], [], face[4])
        for at, found in reversed(before):
            chain.add(at, found)
        self._known.append(chain)

    def _pairs(self, found: np.ndarray) -> dict[int, int]:
        """Return known face → row of `found` of the pairs that overlap most, one to one."""
        overlap = boxes.iou_matrix(np.array([c.faces[-1][:4] for c in self._known]), found[:, :4])
        pairs = {}
        while overlap.size and overlap.max() > _SAME_PLACE:
            i, j = np.unravel_index(overlap.argmax(), overlap.shape)
            pairs[int(i)] = int(j)
            overlap[i], overlap[:, j] = 0, 0
        return pairs

    def _searched_size(self, picture: np.ndarray) -> np.ndarray:
        factor = min(1.0, self._settings.search_lines / min(picture.shape[:2]))
        return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)

    def _search(self, frame: int, picture: np.ndarray) -> np.ndarray:
        small = self._searched_size(picture)
        found = self._ahead[frame] if frame in self._ahead else self._detector(small)
        found = _resized(found, np.array(picture.shape[1::-1]) / small.shape[1::-1])
        sizes = (found[:, 2:4] - found[:, :2]).max(axis=1)
        large = sizes >= self._settings.smallest * min(picture.shape[:2])
        return without_doubles(found[large & (found[:, 4] >= self._settings.min_confidence)])

    def _look(self, picture: np.ndarray, faces: list[np.ndarray]) -> list[np.ndarray | None]:
        """Return the face (15,) that is found near where each of some was, None where there is none."""
        squares = [
            cut_square(picture, (face[:2] + face[2:4]) / 2, (face[2:4] - face[:2]).max() * _LOOK_REACH)
            for face in faces
        ]
        small = [cv2.resize(part, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA) for part, _ in squares]
        seen: list[np.ndarray | None] = []
        for face, (part, corner), found in zip(
            faces, squares, onnx_networks.each_of(self._detector, small), strict=True
        ):
            factor = len(part) / _LOOK_SIDE
            found = _resized(found, (factor, factor), corner)
            found = found[found[:, 4] >= self._settings.min_confidence]
            overlap = boxes.iou(found[:, :4], face[:4])
            seen.append(found[overlap.argmax()] if len(found) and overlap.max() > _SAME_PLACE else None)
        return seen


def cut_square(picture: np.ndarray, centre: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the square part of a picture about `centre` (x, y), and its corner (x, y) in whole pixels.

    What lies outside of the picture repeats its edge.
    """
    height, width = picture.shape[:2]
    length = max(2, math.ceil(side))
    left, top = (round(float(middle) - length / 2) for middle in centre)
    right, bottom = left + length, top + length
    part = picture[max(top, 0) : bottom, max(left, 0) : right]
    missing = [max(0, beyond) for beyond in (-top, bottom - height, -left, right - width)]
    if any(missing):
        part = cv2.copyMakeBorder(part, *missing, cv2.BORDER_REPLICATE)
    return part, np.array([left, top])


def without_doubles(found: np.ndarray) -> np.ndarray:
    """Return the detections (n, 15), most confident first, less those that a more confident one mostly covers."""
    return found[kept_of(found)]


def kept_of(found: np.ndarray) -> list[int]:
    """Return the rows of detections (n, 15), most confident first, that no more confident one mostly covers."""
    kept: list[int] = []
    for i in np.argsort(-found[:, 4], kind="stable").tolist():
        if not _covers(found[kept], found[i]).any():
            kept.append(i)
    return kept


def _covers(found: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return for each of some detections (n, 15) whether it and a face share most of the smaller one's box."""
    shared = boxes.area(boxes.intersection(found[:, :4], face[:4]))
    return shared > _DOUBLE * np.minimum(boxes.area(found[:, :4]), boxes.area(face[:4]))


def _interpolated(chain: _Chain) -> np.ndarray:
    """Return a row (frame, and a detection's 15 columns) for every frame of a chain, as (n, 16)."""
    frames = np.arange(chain.frames[0], chain.frames[-1] + 1)
    faces = np.array(chain.faces)
    return np.column_stack([frames, *(np.interp(frames, chain.frames, column) for column in faces.T)])


def _yunet(settings: Settings) -> Detector:
    """YuNet (Wu et al., Machine Intelligence Research 2023) from an ONNX file, run by OpenCV."""
    if not Path(settings.weights).is_file():
        raise InputError(
            f"faces: the model yunet needs its weights: {settings.weights or 'no file'} was not found; "
            "set faces: weights: to the path of an ONNX file of YuNet or use the model centerface."
        )
    net = cv2.FaceDetectorYN.create(settings.weights, "", (320, 320), 0.3, 0.3, 1000)

    def detector(picture: np.ndarray) -> np.ndarray:
        net.setInputSize((picture.shape[1], picture.shape[0]))
        found = net.detect(picture)[1]
        found = np.zeros((0, 15)) if found is None else found.astype(float)
        return _face_spans(found[:, [0, 1, 2, 3, 14, *range(4, 14)]])

    return detector


MODELS: dict[str, Callable[[Settings], Detector]] = {
    "centerface": lambda _: centerface.CenterFace(),
    "yunet": _yunet,
    "scrfd": lambda settings: insightface.scrfd(settings.weights),
}


def _face_spans(found: np.ndarray) -> np.ndarray:
    """Return detections (n, 15) whose boxes, given as x, y, width, height, span the faces as corners."""
    size = np.tile(found[:, 2:4], 2)
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    return np.concatenate([corners + size * _YUNET_MARGINS, found[:, 4:]], axis=1)


def _resized(found: np.ndarray, factor: Sequence[float], shift: Sequence[float] = (0.0, 0.0)) -> np.ndarray:
    """Return detections (n, 15) with x and y multiplied by `factor` (2,), then moved by `shift` (2,)."""
    out = found.copy()
    for axis in (0, 1):
        places = [axis, 2 + axis, *range(5 + axis, 15, 2)]
        out[:, places] = found[:, places] * factor[axis] + shift[axis]
    return out
