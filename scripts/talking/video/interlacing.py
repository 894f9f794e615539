"""Interlaced pictures: whether a video has them, by its flags and its pictures, and deinterlacing.

A flag alone is not trusted: many files are flagged interlaced whose two fields are of one moment, and many conversions
have lost the flag of pictures whose fields are not. Fields are compared by ffmpeg's idet and each first field is completed
by bwdif (the w3fdif of BBC R&D for what moves, the other field's own lines for what does not).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import av
import av.filter

_FIRST = "lavfi.idet.single.current_frame"
# Of the pictures looked at, at least so many and such a fraction must be interlaced in one order of fields.
_LEAST_SEEN, _LEAST_FRACTION = 3, 0.1
_FEW = 0.1
# Interlaced pictures among those that are either one; below that, an odd texture looks so.
_LEAST_OF_CERTAIN = 0.25
# To leave pictures alone that are flagged interlaced.
_LEAST_PROGRESSIVE = 10


def look(runs: Iterable[list[av.VideoFrame]]) -> Counter[str]:
    """Return how many pictures of some runs of successive ones are "tff", "bff" (interlaced, this field first), "progressive" or
    "undetermined", the last being what does not move."""
    found: Counter[str] = Counter()
    for run in runs:
        # At its own threshold of 1.04 patterns that move by single lines look interlaced.
        fields = Fields("idet", "intl_thres=1.1")
        for frame in run:
            found.update(picture.metadata.get(_FIRST, "undetermined") for picture in fields.take(frame))
        found.update(picture.metadata.get(_FIRST, "undetermined") for picture in fields.rest())
    return found


def order_of_fields(is_flagged: bool, seen: Counter[str]) -> str:
    """Return which field of each picture is the earlier one: "tff", "bff", "auto" (as flagged), or "" for progressive pictures."""
    order = max("tff", "bff", key=lambda kind: seen[kind])
    interlaced = seen["tff"] + seen["bff"]
    one_order = seen[order] >= _LEAST_SEEN and interlaced - seen[order] <= _FEW * seen[order]
    if is_flagged:
        if seen["progressive"] >= _LEAST_PROGRESSIVE and interlaced <= _FEW / 4 * seen["progressive"]:
            return ""
        return order if one_order else "auto"
    is_sure = (
        one_order
        and seen[order] >= _LEAST_FRACTION * sum(seen.values())
        and interlaced >= _LEAST_OF_CERTAIN * (interlaced + seen["progressive"])
    )
    return order if is_sure else ""


def deinterlacer(order: str) -> Fields:
    """Return the deinterlacing filters, which keep the frame rate, for an order of `order_of_fields`."""
    return Fields("bwdif", f"mode=send_frame:parity={order}:deint=all")


class Fields:
    """A filter that looks at the pictures before and after each, so that it gives each picture later than it took it."""

    def __init__(self, name: str, arguments: str) -> None:
        self._filter, self._kind, self._graph = (name, arguments or None), None, None

    def take(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the pictures that are finished by the next one, which must have a time stamp."""
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            yield from self.rest()
            self._graph, self._kind = self._built(frame), kind
        self._graph.vpush(frame)
        yield from self._finished()

    def rest(self) -> Iterator[av.VideoFrame]:
        """Yield the pictures that are still held back."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._finished()
        self._graph = self._kind = None

    def _finished(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                yield self._graph.vpull()
            except (BlockingIOError, av.error.EOFError):
                return

    def _built(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        first = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
        graph.link_nodes(first, graph.add(*self._filter), graph.add("buffersink")).configure()
        return graph
