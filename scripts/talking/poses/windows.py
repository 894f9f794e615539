"""Windows: the part of the picture that shows a person, without black bars and without the other parts of a split screen.

A split screen or a letterbox has edges that no filmed scene has: straight along a row or a column, sharp, unbroken by anybody over
the whole side of a window, in the same place for as long as the shot lasts. A window is a rectangle all of whose sides are such
edges or the picture's own, and which keeps people apart; where there is none the picture is not divided.
"""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np

# Pictures of a shot that are examined.
PICTURES = 8
# A step is a difference of so much (of 255) across three pixels; an edge has one in so many of the pictures ...
_STEP, _REACH, _STAYS = 12, 3, 0.7
# ... along so much of its length: what is on both sides may have one colour for a while.
_WHOLE = 0.9
# A face's box may reach beyond its window by this fraction of its size. Down to this, in face sizes, edges are looked for beside it.
_BEYOND, _BELOW = 0.15, 1.0
# Black is no brighter than this (of 255). A bar is black in so much of each line, and what is behind its end is not, in so much at
# least. With writing in it, it is black in so much on the whole, and has an edge along so much: dark clothes have none before black.
_BLACK, _BAR, _PICTURE = 20, 0.98, 0.15
_WRITTEN_BAR, _BAR_EDGE = 0.85, 0.5
# Edges of one side that are looked at, the nearest to the face.
_MOST = 24


def find(pictures: Sequence[np.ndarray], faces: np.ndarray) -> np.ndarray:
    """Return the windows (n, 4) in px that show the faces (n, 4) of one shot; the whole picture where nothing divides it.

    `pictures` are a few RGB pictures (height, width, 3) spread over the shot, `faces` where the faces mostly are (NaN: nowhere).
    """
    height, width = pictures[0].shape[:2]
    across, down = _staying_steps(pictures)
    dark = [_brightest(picture) <= _BLACK for picture in pictures]
    picture = _without_bars(np.array([0, 0, width, height]), dark, down)
    windows = np.tile(picture, (len(faces), 1))
    middles = (faces[:, :2] + faces[:, 2:]) / 2
    if len(faces) > 1:
        # Sums over the rows above, and over the columns to the left.
        sums = (
            np.pad(across.cumsum(axis=0, dtype=np.int32), ((1, 0), (0, 0))),
            np.pad(down.cumsum(axis=1, dtype=np.int32), ((0, 0), (1, 0))),
        )
        for i in np.flatnonzero(~np.isnan(middles).any(axis=-1)):
            window = _window(picture, *sums, faces[i], np.delete(middles, i, axis=0))
            windows[i] = _without_bars(window, dark, down)
        _keep_apart(windows, middles)
    return windows


def inside(points: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return which points (..., k, 2) lie in their windows (..., 4)."""
    return ((points >= windows[..., None, :2]) & (points <= windows[..., None, 2:] - 1)).all(-1)


def _staying_steps(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (height, width) of the places where the picture steps in most pictures, towards the right and downwards.

    A step at x lies between x - 1 and x + 2.
    """
    counts = [np.zeros(pictures[0].shape[:2], np.uint8) for _ in range(2)]
    for picture in pictures:
        for count, later, earlier, middle in (
            (counts[0], picture[:, _REACH:], picture[:, :-_REACH], np.s_[:, 1 : 1 - _REACH]),
            (counts[1], picture[_REACH:], picture[:-_REACH], np.s_[1 : 1 - _REACH]),
        ):
            count[middle] += _brightest(cv2.absdiff(later, earlier)) > _STEP
    return tuple(count >= _STAYS * len(pictures) for count in counts)


def _brightest(picture: np.ndarray) -> np.ndarray:
    red, green, blue = cv2.split(picture)
    return cv2.max(cv2.max(red, green), blue)


def _window(
    picture: np.ndarray, across: np.ndarray, down: np.ndarray, face: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return the window (4,) of a face (4,): the picture (4,) unless a smaller one keeps the middles (n, 2) of others out.

    `across` (height + 1, width) and `down` (height, width + 1) are the sums of steps along columns and rows. Of windows that keep
    equally many out the one that is narrowest and ends soonest below the face is taken, as high as it goes.
    """
    size = face[2:] - face[:2]
    near = np.concatenate([face[:2] + _BEYOND * size, face[2:] - _BEYOND * size]).round().astype(int)
    near = np.clip(near, np.tile(picture[:2], 2), np.tile(picture[2:], 2) - 1)
    chest = int(np.clip(face[3] + _BELOW * size[1], near[1] + 1, picture[3]))
    columns = np.flatnonzero(across[chest] - across[near[1]] >= _WHOLE * (chest - near[1]))
    rows = np.flatnonzero(down[:, near[2]] - down[:, near[0]] >= _WHOLE * (near[2] - near[0]))
    left, right = _sides(columns, near[0], near[2], picture[0], picture[2])
    top, bottom = _sides(rows, near[1], near[3], picture[1], picture[3])
    x1, y1, x2, y2 = (side.ravel() for side in np.meshgrid(left, top, right, bottom, indexing="ij"))
    whole = np.ones(len(x1), dtype=bool)
    # Beside an edge the window begins where the edge is over, three pixels after its middle.
    for sums, sides, first, last in ((across, (x1, x2), y1, y2), (down.T, (y1, y2), x1, x2)):
        axis = 0 if sums is across else 1
        for at, is_end in ((sides[0], False), (sides[1], True)):
            line = np.clip(at if is_end else at - 1, 0, sums.shape[1] - 1)
            share = (sums[last, line] - sums[first, line]) / np.maximum(last - first, 1)
            whole &= (share >= _WHOLE) | (at == picture[axis + 2 * is_end])
    x1, y1, x2, y2 = (side[whole] for side in (x1, y1, x2, y2))
    x, y = others[:, 0][:, None], others[:, 1][:, None]
    kept_in = ((x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)).sum(axis=0)
    in_picture = ((picture[:2] <= others) & (others < picture[2:])).all(axis=-1).sum()
    if not len(x1) or kept_in.min() == in_picture:
        return picture
    best = np.lexsort((y1, (x2 - x1) * (y2 - face[1]), kept_in))[0]
    return np.array([x1[best], y1[best], x2[best], y2[best]])


def _keep_apart(windows: np.ndarray, middles: np.ndarray) -> None:
    """Cut off windows (n, 4) at those of others that lie inside them, in place: graphics may hide a side of a window."""
    for i, j in itertools.permutations(range(len(windows)), 2):
        outer, inner, at = windows[i], windows[j], middles[i]
        if (
            (outer == inner).all()
            or (outer[:2] > inner[:2]).any()
            or (outer[2:] < inner[2:]).any()
            or np.isnan(at).any()
        ):
            continue
        # How far the face lies beyond each side of the other's window.
        beyond = np.concatenate([inner[:2] - at, at - inner[2:]])
        side = int(beyond.argmax())
        if beyond[side] > 0:
            outer[(side + 2) % 4] = inner[side]


def _sides(lines: np.ndarray, low: int, high: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where a window around [low, high) may begin, and where it may end: at lines or at the ends of [first, last)."""
    before, after = lines[(lines >= first) & (lines < low)], lines[(lines >= high) & (lines < last)]
    # Successive lines are one edge: a window lies on this side of all of them.
    begins = before[np.append(np.diff(before) > 1, True)[: len(before)]] + 1
    ends = after[np.insert(np.diff(after) > 1, 0, True)[: len(after)]]
    return np.append(begins[-_MOST:], first), np.append(ends[:_MOST], last)


def _without_bars(part: np.ndarray, dark: list[np.ndarray], down: np.ndarray) -> np.ndarray:
    """Return a part (4,) of the picture without the black bars at its sides, those above and below with writing or without."""
    part = part.copy()
    for axis in (1, 0):
        x1, y1, x2, y2 = part
        black = np.stack([d[y1:y2, x1:x2].mean(axis=axis) for d in dark])
        edges = down[y1:y2, x1:x2].mean(axis=1) >= _BAR_EDGE if axis else np.zeros(black.shape[1], dtype=bool)
        low, high = _bar(black, edges), _bar(black[:, ::-1], edges[::-1])
        if low + high < black.shape[1]:
            part[axis] += low
            part[axis + 2] -= high
    return part


def _bar(black: np.ndarray, edges: np.ndarray) -> int:
    """Return how many lines from the first on are a bar, given how much of each is black (pictures, lines) and where edges are."""
    of_lines = black.min(axis=0)
    lit = np.flatnonzero(of_lines < _BAR)
    if not lit.size:
        return 0
    plain = int(lit[0]) if of_lines[lit[0] : lit[0] + _REACH + 1].min() <= 1 - _PICTURE else 0
    written = [
        line + 1 for line in np.flatnonzero(edges) if line and black[:, :line].mean(axis=1).min() >= _WRITTEN_BAR
    ]
    return max(plain, *written) if written else plain
