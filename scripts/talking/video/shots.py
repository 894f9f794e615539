"""Find the shots of a video, by hard cuts and by dissolves and fades, and measure how camera and picture move.

PySceneDetect's adaptive detector proposes hard cuts, generously. A proposal stands if hardly any detail of the picture before
it is found again after it (pyramidal Lucas-Kanade flow there and back, then the correlation of the details): after a flash,
a fast gesture or somebody who walks past the camera, the background is found again. A dissolve or a fade is a segment in
which every picture is a mixture of the pictures at its two ends, in growing parts. Where the picture turns white or black for a moment,
what is before is compared with what is after: only a flash leaves the same. Jump cuts, of which the background tells
nothing, are found by what moves (`jump_cuts`).
"""

import itertools
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector
from tqdm import tqdm

from talking.core import cli, tables
from talking.video import jump_cuts, media

_SHORT_SIDE = 180  # pixels of the pictures that details are looked for in
_THUMB = (32, 18)  # width and height of the pictures that mixtures are looked for in
_WINDOW = 2  # neighbours on each side that a content value is compared with
_BRIDGE = (0, 2, 5)  # frames after a proposed cut at which the old picture may be back
_STILL_PX = 4  # pixels that anything may move within a frame
_MOVING_PX = 0.5  # pixels a frame from which a picture moves as a whole
_BLANK_CHANGE = 20  # grey levels by which a cut from or to a picture without details differs
_PATCH = 15  # pixels a side of a detail
_CAMERA_STEP = 5  # frames; the camera is measured at every fifth
_STRETCHES = (14, 20, 30, 44, 64, 90)  # frames tried for dissolves, clear frames at both ends included
_BLACK_FRAMES = 13  # frames; black that is shorter than this between two fades makes them one
_DIP_FRAMES = 12  # frames on each side of a white or black moment within which the picture is clear
_DIP = 0.2  # fraction of the contrast about such a moment that is left in it
_CLEAR = 0.9  # fraction of the contrast from which on a picture beside it is clear
_ALIKE = 0.8  # correlation of neighbours from which on they may be one picture, more or less of it
_FLASH_FRAMES = 3  # frames for which a flash leaves hardly any contrast, at most
_FLAT = 8  # grey levels; a picture with less contrast is hardly one
_PURE_REST, _PURE_SAME = (
    0.1,
    0.7,
)  # a mixture with less besides leaves more details: only light changes a picture as a whole
_FLOW = {"winSize": (_PATCH, _PATCH), "maxLevel": 3, "criteria": (3, 20, 0.03)}


@dataclass
class Settings:
    """Settings of the shot detection."""

    min_content: float = cli.setting(
        4.0, "PySceneDetect content value (0-255) above which a frame is examined as a possible cut"
    )
    min_ratio: float = cli.setting(
        2.0, "ratio of the content value to its neighbours' mean above which a frame is examined as a possible cut"
    )
    max_same: float = cli.setting(
        0.2,
        "fraction (0-1) of details that are found again after a possible cut, above which it is no cut; twice that where the picture is still",
    )
    min_mixture: float = cli.setting(10.0, "grey levels (0-255) by which a dissolve or fade must change the picture")
    min_shot_frames: int = cli.setting(
        5,
        "shortest shot in frames; a shorter piece between two cuts belongs to the shot before it, but not to its clear frames",
    )


@dataclass
class _Boundary:
    frame: int
    mixed_from: int
    clear_from: int
    kind: str


def detect(path: str | Path, settings: Settings) -> pd.DataFrame:
    """Return the shots of a `media/` video as a `shots` table, which covers every frame once; no rows for an empty file."""
    width, height, length = media.size_and_length(path)
    if not length:
        return _table([], 0, np.zeros(0), np.zeros(0))
    scale = min(1.0, _SHORT_SIDE / min(width, height))
    lines = max(2, 2 * round(height * scale / 2))
    finder = _Finder(settings)
    camera, picture = np.full(length, np.nan), np.zeros(length)
    before: np.ndarray | None = None
    small_before: np.ndarray | None = None
    pictures = media.frames(path, height=lines, pixel_format="bgr24", fast=True)
    for number, colour in enumerate(tqdm(pictures, total=length, unit="frame", desc="shots")):
        grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(colour, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        small_grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        if before is not None:
            picture[number] = cv2.absdiff(small_grey, small_before).mean() / 255
            if number % _CAMERA_STEP == 0:
                camera[number] = background_speed(before, grey) * media.FPS
        finder.take(number, small, grey)
        before, small_before = grey, small_grey
    return _table(finder.close(), length, camera, picture)


def background_speed(before: np.ndarray, after: np.ndarray) -> float:
    """Return how far the background moves between two grey pictures, in picture heights; NaN where nothing can be followed.

    Five regions are looked at along the upper edge and the upper sides, where people who talk are seldom. A camera moves them
    all, a person one or two: the lower quartile of the regions' median motions counts.
    """
    height, width = before.shape
    points = _details(before)
    found, seen = _follow(before, after, points)
    points, moved = points[seen], np.linalg.norm(found[seen] - points[seen], axis=1)
    x, y = points[:, 0] / width, points[:, 1] / height
    is_top, is_side = y < 0.25, (y >= 0.25) & (y < 0.75)
    regions = [
        is_top & (x < 0.33),
        is_top & (x >= 0.33) & (x < 0.67),
        is_top & (x >= 0.67),
        is_side & (x < 0.18),
        is_side & (x > 0.82),
    ]
    medians = [np.median(moved[region]) for region in regions if region.sum() >= 2]
    return float(np.percentile(medians, 25)) / height if medians else float("nan")


def share_found_again(before: np.ndarray, after: np.ndarray, reach: float = math.inf) -> float:
    """Return the fraction (0-1) of a grey picture's details that another shows within `reach` pixels; NaN if it has hardly any."""
    points = _details(before)
    if len(points) < 6:
        return float("nan")
    # Light may change between the two: the flow takes equal brightness for granted.
    gain = min(4.0, max(1.0, float(before.std())) / max(1.0, float(after.std())))
    after = np.clip((after - after.mean()) * gain + before.mean(), 0, 255).astype(np.uint8)
    found, seen = _follow(before, after, points)
    seen &= np.linalg.norm(found - points, axis=1) <= reach
    alike = 0
    for old, new in zip(points[seen], found[seen], strict=True):
        patches = [
            cv2.getRectSubPix(picture, (_PATCH, _PATCH), tuple(map(float, at))).astype(np.float32).ravel()
            for picture, at in ((before, old), (after, new))
        ]
        a, b = (patch - patch.mean() for patch in patches)
        alike += float(a @ b) > 0.8 * float(np.sqrt((a @ a) * (b @ b))) > 0
    return alike / len(points)


class _Finder:
    """Takes the pictures one by one and remembers only the last few seconds of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._detector = AdaptiveDetector(
            adaptive_threshold=settings.min_ratio,
            min_scene_len=1,
            window_width=_WINDOW,
            min_content_val=settings.min_content,
        )
        self._proposed: list[int] = []
        self._boundaries: list[_Boundary] = []
        self._greys: deque[np.ndarray] = deque(maxlen=max(_STRETCHES) + 1)
        self._thumbs: deque[np.ndarray] = deque(maxlen=max(_STRETCHES) + 1)
        self._contrasts: deque[float] = deque(maxlen=2 * _DIP_FRAMES + 1)
        # Spans in which a flash alone changes the picture, both ends included.
        self._flashes: list[tuple[int, int]] = []
        self._jumps = jump_cuts.Finder()
        self._number = -1

    def take(self, number: int, small: np.ndarray, grey: np.ndarray) -> None:
        self._number = number
        self._greys.append(grey)
        self._jumps.take(number, grey)
        self._contrasts.append(float(grey.std()))
        self._thumbs.append(cv2.resize(grey, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32).ravel())
        self._proposed += [
            t.frame_num for t in self._detector.process_frame(FrameTimecode(number, float(media.FPS)), small)
        ]
        while self._proposed and self._proposed[0] + max(_BRIDGE) <= number:
            self._judge(self._proposed.pop(0))
        if number % 2 == 0:
            self._look_for_mixture()
        self._look_for_dip()

    def close(self) -> list[_Boundary]:
        """Return the boundaries in order."""
        for proposed in self._proposed:
            self._judge(proposed)
        fades = sorted((b for b in self._boundaries if b.kind == "fade"), key=lambda b: b.frame)
        joined: list[_Boundary] = []
        for fade in fades:
            if joined and fade.mixed_from - joined[-1].clear_from < _BLACK_FRAMES:
                # Down to black and up again is one boundary, in the middle of the black.
                joined[-1].frame = (joined[-1].clear_from + fade.mixed_from) // 2
                joined[-1].clear_from = fade.clear_from
            else:
                joined.append(fade)
        no_cuts = self._flashes + [(f.mixed_from, f.clear_from) for f in joined]
        cuts = [b for b in self._boundaries if b.kind == "cut" and not any(a <= b.frame <= z for a, z in no_cuts)]
        least = self._settings.min_shot_frames
        kept = _without_short(sorted(joined + cuts, key=lambda b: b.frame), least)
        jumps = [
            _Boundary(frame, frame, frame, "jump_cut")
            for frame in self._jumps.found
            if not any(b.mixed_from - least < frame < b.clear_from + least for b in kept)
        ]
        return sorted(kept + jumps, key=lambda b: b.frame)

    def _grey(self, number: int) -> np.ndarray | None:
        place = number - self._number - 1 + len(self._greys)
        return self._greys[place] if 0 <= place < len(self._greys) else None

    def _judge(self, cut: int) -> None:
        # A cut from far to near of the same scene shows the same details too, but not where motion could have taken them.
        speed = self._speed_about(cut - 1, cut)
        for first, second in itertools.product((cut - 1, cut - 3), (cut + ahead for ahead in _BRIDGE)):
            before, after = self._grey(first), self._grey(second)
            if before is None or after is None:
                continue
            if self._is_same(before, after, speed, second - first):
                return
        self._boundaries.append(_Boundary(cut, cut, cut, "cut"))

    def _is_same(self, before: np.ndarray, after: np.ndarray, speed: float, frames: int) -> bool:
        """Return whether a picture shows enough of what another did so many frames before, at a motion in pixels a frame."""
        share = share_found_again(before, after, _STILL_PX + 3 * speed * frames)
        if math.isnan(share):
            return float(cv2.absdiff(before, after).mean()) < _BLANK_CHANGE
        return share > self._most_same(speed)

    def _most_same(self, speed: float) -> float:
        """Return the largest fraction of details that a cut leaves: what moves is lost without a cut too, what stands still is not."""
        return self._settings.max_same * (1 + max(0.0, 1 - speed / _MOVING_PX))

    def _speed_about(self, last: int, first: int) -> float:
        """Return the faster of the motions up to one picture and from a later one on, in pixels a frame."""
        return max(self._speed(last - 2, last), self._speed(first, first + 2))

    def _speed(self, first: int, second: int) -> float:
        """Return the median motion between two pictures in pixels a frame, 0 if one is missing."""
        before, after = self._grey(first), self._grey(second)
        if before is None or after is None:
            return 0.0
        points = _details(before)
        found, seen = _follow(before, after, points)
        moved = np.linalg.norm(found[seen] - points[seen], axis=1)
        return float(np.median(moved)) / (second - first) if len(moved) else 0.0

    def _look_for_mixture(self) -> None:
        for stretch in _STRETCHES:
            if len(self._thumbs) <= stretch:
                return
            found = self._parts(stretch)
            if found is None:
                continue
            parts, rest = found
            first = self._number - stretch
            middle = first + int(np.argmax(parts >= 0.5))
            mixed_from, clear_from = first + int(np.argmax(parts > 0.06)), first + int(np.argmax(parts >= 0.94))
            if any(
                b.mixed_from < clear_from and mixed_from < b.clear_from for b in self._boundaries if b.kind != "cut"
            ):
                continue
            ends = self._grey(mixed_from - 1), self._grey(clear_from)
            dark = [float(end.mean()) < 24 and float(end.std()) < 8 for end in ends]
            speed = self._speed_about(mixed_from - 1, clear_from)
            reach = _STILL_PX + 3 * speed * (clear_from - mixed_from + 1)
            most_same = max(self._most_same(speed), _PURE_SAME if rest < _PURE_REST else 0)
            if not any(dark) and share_found_again(*ends, reach) > most_same:
                continue
            self._boundaries.append(_Boundary(middle, mixed_from, clear_from, "fade"))
            return

    def _look_for_dip(self) -> None:
        """Decide whether a picture that is white or black, or nearly, for too short a time to be the end of a mixture hides a boundary.

        Light that rises and falls within a few frames changes neighbours too much, or too evenly, to be compared.
        """
        contrasts = np.array(self._contrasts)
        if len(contrasts) <= 2 * _DIP_FRAMES or contrasts.argmin() != _DIP_FRAMES:
            return
        # Each side outwards from the dip.
        outwards = slice(_DIP_FRAMES - 1, None, -1), slice(_DIP_FRAMES + 1, None)
        least = _DIP * min(contrasts[side].max() for side in outwards)
        if contrasts[_DIP_FRAMES] > least:
            return
        pictures = np.array(list(self._thumbs)[-len(contrasts) :])
        sides = [contrasts[side][: _up_to_cut(contrasts[side], pictures[side], max(_FLAT, least))] for side in outwards]
        clear = [side >= max(_FLAT, _CLEAR * side.max()) for side in sides]
        if not all(side.any() for side in clear):
            return
        middle = self._number - _DIP_FRAMES
        mixed_from = middle - int(np.argmax(clear[0]))
        clear_from = middle + 1 + int(np.argmax(clear[1]))
        if any(b.mixed_from <= clear_from and mixed_from <= b.clear_from for b in self._boundaries if b.kind != "cut"):
            return
        speed = self._speed_about(mixed_from - 1, clear_from)
        before, after = self._grey(mixed_from - 1), self._grey(clear_from)
        if not self._is_same(before, after, speed, clear_from - mixed_from + 1):
            self._boundaries.append(_Boundary(middle, mixed_from, clear_from, "fade"))
        elif self._grey(middle).mean() > before.mean() and (contrasts <= least).sum() <= _FLASH_FRAMES:
            # What turns black, or stays white, was cut so.
            self._flashes.append((mixed_from, clear_from))

    def _parts(self, stretch: int) -> tuple[np.ndarray, float] | None:
        """Return how much of the last picture is in each of the last `stretch` + 1, if they are mixtures, else None.

        The second value is what they hold besides, at most, over the change from the first to the last.
        """
        change = self._thumbs[-1] - self._thumbs[-stretch - 1]
        energy = float(change @ change)
        if energy < self._settings.min_mixture**2 * change.size:
            return None
        pictures = np.stack(list(itertools.islice(self._thumbs, len(self._thumbs) - stretch - 1, None)))
        parts = (pictures - pictures[0]) @ change / energy
        steps = np.diff(parts)
        # Clear pictures at both ends, or it is a piece of a mixture, or of anything.
        clear = max(3, stretch // 8 + 1)
        if np.abs(parts[:clear]).max() > 0.06 or np.abs(1 - parts[-clear:]).max() > 0.06:
            return None
        if steps.min() < -0.05 or steps.max() > 0.35:
            return None
        besides = pictures - pictures[0] - parts[:, None] * change
        rest = float(np.sqrt((besides**2).sum(axis=1).max() / energy))
        return (parts, rest) if rest <= 0.3 else None


def _without_short(boundaries: list[_Boundary], min_frames: int) -> list[_Boundary]:
    """Return boundaries at least `min_frames` apart: of nearer ones the last, with what lies between among its mixed frames.

    So no cut lies between the clear frames of a shot. The first and the last piece of a video may be short.
    """
    kept: list[_Boundary] = []
    for boundary in boundaries:
        before = kept.pop() if kept and boundary.frame - kept[-1].frame < min_frames else boundary
        mixed_from = min(before.mixed_from, boundary.mixed_from)
        kept.append(_Boundary(boundary.frame, mixed_from, max(before.clear_from, boundary.clear_from), boundary.kind))
    return kept


def _up_to_cut(contrasts: np.ndarray, pictures: np.ndarray, least: float) -> int:
    """Return how many pictures (n, pixels) outwards from a dip come before a cut to one of more contrast, n if there is no cut.

    Pictures of less than the least contrast are the dip's own. Light alone changes how much is seen, not what.
    """
    for n in np.flatnonzero((contrasts[:-1] > least) & (contrasts[1:] * _CLEAR > contrasts[:-1])):
        if np.corrcoef(pictures[n], pictures[n + 1])[0, 1] < _ALIKE:
            return int(n) + 1
    return len(contrasts)


def _details(picture: np.ndarray) -> np.ndarray:
    """Return the strongest corner (x, y) of each of 60 equal cells that has any, (n, 2) float32."""
    height, width = picture.shape
    # Corners are found on the whole picture at once; a cell keeps its strongest.
    strength = cv2.cornerMinEigenVal(picture, 5)
    rows, columns = (6, 10) if width >= height else (10, 6)
    tall, wide = height // rows, width // columns
    if not tall or not wide:
        return np.zeros((0, 2), np.float32)
    cells = strength[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide).swapaxes(1, 2)
    cells = cells.reshape(rows * columns, tall * wide)
    best = cells.argmax(axis=1)
    cell = np.arange(rows * columns)
    points = np.stack([cell % columns * wide + best % wide, cell // columns * tall + best // wide], axis=1)
    values = cells[cell, best]
    return points[values > max(1e-4, 0.01 * np.median(values))].astype(np.float32)


def _follow(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where points (n, 2) have gone and whether the way back leads to where they were."""
    if not len(points):
        return points, np.zeros(0, dtype=bool)
    there, gone, _ = cv2.calcOpticalFlowPyrLK(before, after, points[:, None], None, **_FLOW)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **_FLOW)
    astray = np.linalg.norm(back[:, 0] - points, axis=1)
    return there[:, 0], (gone[:, 0] > 0) & (returned[:, 0] > 0) & (astray < 1)


def _table(boundaries: list[_Boundary], length: int, camera: np.ndarray, picture: np.ndarray) -> pd.DataFrame:
    edges = [_Boundary(0, 0, 0, "start"), *boundaries] if length else []
    rows = []
    for shot, edge in enumerate(edges):
        after = edges[shot + 1] if shot + 1 < len(edges) else _Boundary(length, length, length, "")
        # The first frame's difference is to another shot.
        inside = slice(edge.frame + 1, after.frame)
        speeds = camera[inside][~np.isnan(camera[inside])]
        seconds = max(1, media.FPS // _CAMERA_STEP)
        means = np.convolve(speeds, np.ones(seconds) / seconds, "valid") if len(speeds) >= seconds else speeds
        rows.append(
            {
                "shot": shot,
                "start_frame": edge.frame,
                "end_frame": after.frame,
                "clear_start_frame": min(edge.clear_from, after.frame),
                "clear_end_frame": max(after.mixed_from, edge.frame),
                "transition": edge.kind,
                "camera_motion": float(np.median(speeds)) if len(speeds) else 0.0,
                "camera_motion_peak": float(means.max()) if len(speeds) else 0.0,
                "picture_motion": float(picture[inside].mean()) if after.frame - edge.frame > 1 else 0.0,
            }
        )
    return tables.of_rows("shots", rows)
