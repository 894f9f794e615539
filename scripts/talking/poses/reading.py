"""Pictures of a video in their order, decoded in one run and converted only where somebody looks at them."""

import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from talking.core.errors import InputError
from talking.video import media

# Frames that are decoded and not used rather than sought: a key frame is seldom nearer.
_PASSED = 50

T = TypeVar("T")


class Picture:
    """A decoded frame, converted when it is first looked at, by whichever thread."""

    def __init__(self, frame, changed, lock: threading.Lock) -> None:
        self._frame, self._changed, self._lock = frame, changed, lock
        self._rgb: np.ndarray | None = None

    def rgb(self) -> np.ndarray:
        """Return it as RGB (height, width, 3) uint8, not to be written to."""
        with self._lock:
            if self._rgb is None:
                self._rgb = self._changed(self._frame)
        return self._rgb


class Reader:
    """The pictures of a `media/` video by their frames, which are asked for in their order."""

    def __init__(self, video: str | Path) -> None:
        self._video = video
        self._next = 0
        self._frames: Iterator | None = None
        self._shown: tuple[object, Picture] | None = None
        # One scaler is used by one thread at a time.
        self._changed, self._lock = media.changer(), threading.Lock()

    def frames(self, start: int, end: int) -> Iterator[tuple[int, Picture]]:
        """Yield (frame, picture) of [start, end); raises InputError if the video ends before."""
        if self._frames is None or not 0 <= start - self._next <= _PASSED:
            self._frames, self._next = media.decoded(self._video, start, None), start
        while self._next < end:
            found = next(self._frames, None)
            if found is None:
                raise InputError(
                    f"{self._video} has fewer frames than its candidate clips; delete its tables and run again."
                )
            if self._shown is None or self._shown[0] is not found:
                self._shown = found, Picture(found, self._changed, self._lock)
            self._next += 1
            if self._next > start:
                yield self._next - 1, self._shown[1]


def ahead(items: Iterable[T], number: int) -> Iterator[T]:
    """Yield items that another thread makes, up to so many of them ahead; what it raises is raised here."""
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(number)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put((item, error), timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, StopIteration())
        except Exception as error:
            put(None, error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
