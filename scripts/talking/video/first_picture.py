"""The first picture of an input video, and how its pictures are to be changed."""

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from talking.core.errors import InputError
from talking.video import colours, encoding, interlacing
from talking.video.probing import Scan, decoded, open_film, packets, streams

_MAX_PIXELS = 8192 * 8192


_FULL_RANGE = 2


# What is looked at for interlaced pictures and for the brightest: runs of successive pictures, the first one longer. Where no
# flag makes it likely they are no more than this fraction of all.
_RUNS, _RUN, _FIRST_RUN, _LOOKED_AT = 8, 12, 36, 0.06


_SMALLEST_INTERLACED = 240


_BT709 = 1


@dataclass
class First:
    """The first picture that can be decoded, and how pictures are to be changed."""

    frame: av.VideoFrame
    time: float
    width: int
    height: int
    rotation: int
    turns: list[tuple[str, str]]
    fields: str  # "" where pictures are whole, else the order of their fields, as `interlacing` calls it
    hdr: str  # "" where colours are ordinary, else what `colours` calls them
    peak: float  # the brightest light there is, in cd/m², where `hdr` says so
    colours: encoding.Colours
    is_tv: bool
    as_is: bool

    def filters(self, table: Path | None) -> list[tuple[str, str]]:
        """Return the filters that turn and scale whole pictures and bring them to ordinary colours, by their `table` if any."""
        size = f"w={self.width}:h={self.height}:flags=bicubic"
        in_range = "pc" if self.frame.color_range == _FULL_RANGE else "auto"
        ordinary = ("format", "yuv420p")
        if table is not None:
            return [
                *self.turns,
                ("scale", f"{size}:in_color_matrix=bt2020:in_range={in_range}"),
                ("format", "gbrpf32le"),
                ("lut3d", f"file={table}:interp=tetrahedral"),
                ("scale", "flags=bicubic:out_color_matrix=bt709:out_range=tv"),
                ordinary,
            ]
        matrix = ":out_color_matrix=bt709" if self.frame.format.is_rgb else ""
        return [*self.turns, ("scale", f"{size}:in_range={in_range}:out_range=tv{matrix}"), ordinary]


def first_picture(source: Path, scan: Scan, max_lines: int, beat: Callable[[], None] = lambda: None) -> First:
    """Return the first picture that can be decoded, and how to bring its shorter side to `max_lines` at most.

    Raises InputError if there is none or its size is out of bounds.
    """
    with open_film(source) as container:
        video, _ = streams(container, source)
        if video.width * video.height > _MAX_PIXELS:
            raise InputError(f"{source} is {video.width} x {video.height}, which is too large; scale it down first.")
        run = _run(container, video, beat, 1)
        if not run:
            raise InputError(f"{source} has no picture that can be decoded; get it again or convert it to mp4.")
        hdr = colours.kind_of(video, run[0])
        is_likely = bool(hdr) or run[0].interlaced_frame
        count = _RUNS if is_likely else min(_RUNS, 1 + int(_LOOKED_AT * len(scan.times)) // _RUN)
        begins = np.linspace(scan.times[0], scan.times[-1], count, endpoint=False)
        seen, peak = Counter(), 0.0
        if is_likely or run[0].height >= _SMALLEST_INTERLACED:
            for looked_at in _runs(container, video, begins, beat):
                seen += interlacing.look([looked_at])
                peak = max(peak, colours.peak(hdr, looked_at[:: _RUN - 1])) if hdr else peak
        fields = interlacing.order_of_fields(bool(run[0].interlaced_frame), seen)
        return _plan(source, video, run[0], max_lines, fields, hdr, peak)


def _run(
    container: av.container.InputContainer, video: av.VideoStream, beat: Callable[[], None], count: int
) -> list[av.VideoFrame]:
    """Return the next `count` pictures that can be decoded, fewer at the end."""
    found: list[av.VideoFrame] = []
    for packet in packets(container, [video]):
        beat()
        found += decoded(packet)
        if len(found) >= count:
            break
    return found[:count]


def _runs(
    container: av.container.InputContainer, video: av.VideoStream, begins: np.ndarray, beat: Callable[[], None]
) -> Iterator[list[av.VideoFrame]]:
    """Yield runs of successive pictures from the key frames before some seconds on, as far as the file can be searched."""
    last = -math.inf
    for begin in begins:
        try:
            container.seek(math.floor(begin / video.time_base), stream=video)
        except av.error.FFmpegError:
            return
        count = _FIRST_RUN if last == -math.inf else _RUN
        run = [frame for frame in _run(container, video, beat, count) if frame.pts is not None and not frame.is_corrupt]
        if run and run[0].time > last:
            last = run[0].time
            yield run


def _plan(
    source: Path, video: av.VideoStream, frame: av.VideoFrame, max_lines: int, fields: str, hdr: str, peak: float
) -> First:
    turns, rotation = _turns(frame)
    width, height = frame.width, frame.height
    aspect = video.sample_aspect_ratio or 1
    if Fraction(1, 20) < aspect < 20:
        width = width * aspect
    if rotation % 180:
        width, height = height, width
    scale = min(1, max_lines / min(width, height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    if frame.width < 2 or frame.height < 2:
        raise InputError(
            f"{source} is {frame.width} x {frame.height} pixels, which is too small; give a larger version."
        )
    is_same = (frame.width, frame.height, frame.format.name) == (width, height, "yuv420p") and not turns
    is_tv = video.codec_context.color_range != _FULL_RANGE
    return First(
        frame=frame,
        time=float(frame.time) if frame.pts is not None else 0.0,
        width=width,
        height=height,
        rotation=rotation,
        turns=turns,
        fields=fields,
        hdr=hdr,
        peak=peak,
        colours=_colours(video, frame, hdr),
        is_tv=is_tv,
        as_is=is_same and is_tv and not (hdr or fields or frame.interlaced_frame),
    )


def _colours(video: av.VideoStream, frame: av.VideoFrame, hdr: str) -> encoding.Colours:
    """Return the colours that the changed pictures have."""
    own = video.codec_context
    if hdr:
        return encoding.Colours(_BT709, _BT709, _BT709)
    return encoding.Colours(_BT709 if frame.format.is_rgb else own.colorspace, own.color_primaries, own.color_trc)


def _turns(frame: av.VideoFrame) -> tuple[list[tuple[str, str]], int]:
    """Return the filters that show a picture as its display matrix asks, and the degrees clockwise it is turned by."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return [], 0
    a, b, _, c, d = struct.unpack("5i", bytes(data)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        flips = [("hflip", "")] * (a < 0) + [("vflip", "")] * (d < 0)
        return flips, 180 if len(flips) == 2 else 0
    if b > 0:
        return ([("transpose", "clock")], 90) if c < 0 else ([("transpose", "cclock_flip")], 90)
    return ([("transpose", "cclock")], 270) if c > 0 else ([("transpose", "clock_flip")], 270)
