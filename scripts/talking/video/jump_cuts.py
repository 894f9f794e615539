"""Find jump cuts: a piece of time is cut out, the framing and the people stay.

At a jump cut everything that moves jumps at once, for one frame: what changes from a picture to the next changes far more than
in the frames about it, and it does not come back. A gesture is fast for several frames, a flash is over at once, and light that
is switched changes the whole picture alike. What editors lay over a picture (captions, stickers, pictures) appears suddenly too:
such parts fill their rectangle, or are writing, of far finer contrast than people.
"""

from collections import deque

import cv2
import numpy as np

_THUMB = (64, 36)  # width and height of the pictures that are compared; upright for upright videos
_REACH = 4  # frames about a pair of pictures that its change is compared with
_CHANGE = 8  # grey levels from which a place counts as changed
_RATIO = 2.0  # a sudden change exceeds those about it by as much
_LATER = (1, 2, 4)  # frames after which a sudden change must still be there
_MIN_AREA = 0.015  # smallest fraction of the picture that jumps
_MIN_SHARE = 0.4  # fraction that jumps of all places that change about then
_MAX_ABOUT = 0.35  # change in the frames about it, over the sudden one, where anything changes
_MIN_JUMP = 12.0  # grey levels by which these places change on average, at least
_MIN_PLACES = 5  # smaller pieces of a change are noise
_FULL = 0.78  # fraction of its rectangle that a picture laid over another fills
_WRITING = 45.0  # grey levels of fine contrast that only writing has
_WRITING_RATIO = 2.0  # fine contrast before and after writing appears differs by as much
_FINE = 2.0  # pixels; contrast of smaller details than this is fine


class Finder:
    """Takes grey pictures of 180 lines one by one; `found` are the frames that begin after a jump cut."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self._greys: deque[np.ndarray] = deque(maxlen=2 * _REACH + 2)
        self._thumbs: deque[np.ndarray] = deque(maxlen=2 * _REACH + 2)
        self._changes: deque[np.ndarray] = deque(maxlen=2 * _REACH + 1)

    def take(self, number: int, grey: np.ndarray) -> None:
        """Take the picture (height, width) uint8 of the next frame."""
        size = _THUMB if grey.shape[1] >= grey.shape[0] else _THUMB[::-1]
        thumb = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._thumbs:
            self._changes.append(_change(self._thumbs[-1], thumb))
        self._greys.append(grey)
        self._thumbs.append(thumb)
        if len(self._changes) == 2 * _REACH + 1 and self._jumps():
            self.found.append(number - _REACH)

    def _jumps(self) -> bool:
        """Return True if a jump cut lies between the two pictures in the middle."""
        changes = list(self._changes)
        now, about = changes.pop(_REACH), np.max(changes, axis=0)
        sudden = now > np.maximum(_CHANGE, _RATIO * about)
        if sudden.mean() < _MIN_AREA:
            return False
        thumbs, last = list(self._thumbs), _REACH
        there = [_change(thumbs[last], thumbs[last + 1 + k]) for k in _LATER]
        back = [_change(thumbs[last + 1], thumbs[last - k]) for k in _LATER]
        sudden &= np.min(there + back, axis=0) > now / 2
        laid_over = self._laid_over(sudden)
        sudden &= ~laid_over
        changes_now = (now > _CHANGE) & ~laid_over
        changes_ever = changes_now | ((about > _CHANGE) & ~laid_over)
        return bool(
            sudden.mean() >= _MIN_AREA
            and sudden.sum() >= _MIN_SHARE * changes_ever.sum()
            and about[changes_now].sum() <= _MAX_ABOUT * now[changes_now].sum()
            and now[sudden].mean() >= _MIN_JUMP
        )

    def _laid_over(self, sudden: np.ndarray) -> np.ndarray:
        """Return where a sudden change does not belong to the scene: captions and pictures laid over it, and specks."""
        fine = [_fine_contrast(self._greys[at], sudden.shape) for at in (_REACH, _REACH + 1)]
        closed = cv2.morphologyEx(sudden.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        out = np.zeros(sudden.shape, dtype=bool)
        for piece in range(1, count):
            here, area = labels == piece, boxes[piece, cv2.CC_STAT_AREA]
            less, more = sorted(float(f[here & sudden].mean()) for f in fine)
            is_full = area > _FULL * boxes[piece, cv2.CC_STAT_WIDTH] * boxes[piece, cv2.CC_STAT_HEIGHT]
            is_writing = more > _WRITING or more > _WRITING_RATIO * less
            if area < _MIN_PLACES or is_full or is_writing:
                out |= here
        return out


def _change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return how far each place changes beyond the whole picture, in grey levels."""
    change = after - before
    return np.abs(change - np.median(change))


def _fine_contrast(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the mean contrast of small details of a picture at each place of a grid."""
    picture = grey.astype(np.float32)
    fine = cv2.absdiff(picture, cv2.GaussianBlur(picture, (0, 0), _FINE))
    return cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)
