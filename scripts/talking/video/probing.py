"""Read films as people bring them: check the file, scan its packets, decode its first picture and plan how pictures change.

Nothing is believed that the file says of itself where its packets tell better.
"""

import math
import os
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from talking.core.errors import InputError
from talking.video import colours, encoding, interlacing, listening, media

# Kinds of file that hold their own pictures and sound; play lists, scripts and devices are not among them.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,obu,flv,asf,ogg,mxf,dv,rm,nut,wtv,"
    "yuv4mpegpipe,gif,apng,wav,mp3,aac,ac3,flac,aiff,amr,caf"
)
HALF_FRAME_S = 0.5 / media.FPS
# Containers round time stamps to a millisecond or so; stamps this close are taken as equal.
ROUNDING_S = 0.002
_MAX_READ_FAILURES = 20
_MAX_PIXELS = 8192 * 8192
_FULL_RANGE = 2
# What is looked at for interlaced pictures and for the brightest: runs of successive pictures, the first one longer. Where no
# flag makes it likely they are no more than this fraction of all.
_RUNS, _RUN, _FIRST_RUN, _LOOKED_AT = 8, 12, 36, 0.06
_SMALLEST_INTERLACED = 240
_BT709 = 1
# A still may last, but a film without picture and sound for so long has damaged time stamps.
_LONGEST_HOLE_S = 600
# Kinds that state their length where it survives the loss of their end.
_DECLARING_FORMATS = ("matroska", "flv", "asf")


def check_file(source: Path) -> None:
    """Raise InputError if a path is no file that can be read, or an empty one."""
    try:
        status = source.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{source} does not exist; correct its path in the sheet or put the file there.") from None
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror}); correct its path or its permissions.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{source} is a folder or a device, not a file; correct its path in the sheet.")
    if status.st_size == 0:
        raise InputError(f"{source} is empty; fetch it again.")
    if not os.access(source, os.R_OK):
        raise InputError(f"{source} may not be read; give yourself the permission to.")


@dataclass
class Scan:
    """What the packets say without being decoded; times in seconds on the file's own clock."""

    format: str
    codec: str
    times: np.ndarray  # of each picture, in the order shown
    end: float
    picture_bytes: int
    copyable: bool  # whole H.264 pictures of which none is hidden by an edit list
    delay: int  # pictures by which the order stored runs ahead of the order shown
    lost: list[tuple[float, float]]  # where pictures are missing, and for how many seconds
    sound: int | None  # index of the stream of the chosen sound track
    sound_track: str  # which it is, where there are several
    mix: listening.Mix
    sound_copyable: bool
    sound_start: float
    sound_end: float


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


def open_film(source: Path) -> av.container.InputContainer:
    """Open a film that consists of this one file; raises InputError if it is none."""
    # An absolute path is never taken for a protocol or an option; nothing but this one file may be opened.
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        return av.open(str(source.absolute()), options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(
            f"{source} is no video that can be read, or its head is missing ({error.strerror}); fetch it again or convert "
            "it to mp4."
        ) from None


def streams(container: av.container.InputContainer, source: Path) -> tuple[av.VideoStream, list[av.AudioStream]]:
    """Return the picture that a player would show and all sound tracks; raises InputError if there is no moving picture."""
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [s for s in container.streams.video if not s.disposition & cover and s.codec_context is not None]
    sounds = [s for s in container.streams.audio if s.codec_context is not None and s.rate]
    if not videos:
        raise InputError(f"{source} has no moving picture; give a video, or take the row out of the sheet.")
    default = av.stream.Disposition.default
    return max(videos, key=lambda s: (bool(s.disposition & default), s.width * s.height)), sounds


def packets(container: av.container.InputContainer, of: list[av.stream.Stream]) -> Iterator[av.Packet]:
    """Yield the packets of streams until the file ends or cannot be followed any more."""
    stored, failures = container.demux(of), 0
    while failures < _MAX_READ_FAILURES:
        try:
            yield next(stored)
        except (StopIteration, IndexError):
            # PyAV ends with an IndexError where a stream has appeared in the middle of a file.
            return
        except av.error.FFmpegError:
            failures += 1
            stored = container.demux(of)


def scan(source: Path, beat: Callable[[], None] = lambda: None) -> Scan:
    """Read all packets of a film; raises InputError if it has no picture or breaks off. `beat` is called at each packet."""
    pictures: list[tuple[float, float]] = []  # time and duration, in the order stored
    is_whole, starts_with_key, discards, picture_bytes = True, False, 0, 0
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    with open_film(source) as container, av.logging.Capture() as complaints:
        video, tracks = streams(container, source)
        sounds: dict[int, list[tuple[float, float]]] = {track.index: [] for track in tracks}
        duration_s = container.duration / av.time_base if container.duration else None
        # One channel needs no listening to.
        is_plain = len(tracks) == 1 and tracks[0].channels == 1
        listeners = {track.index: listening.Listener(track, duration_s) for track in tracks if not is_plain}
        complaints.clear()
        length_size = _length_size(video)
        for packet in packets(container, [video, *tracks]):
            beat()
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size or stamp is None:
                continue
            span = float(stamp * packet.time_base), float((packet.duration or 0) * packet.time_base)
            if packet.stream is not video:
                sounds[packet.stream.index].append(span)
                if not is_plain:
                    listeners[packet.stream.index].take(packet)
            elif packet.is_discard:
                discards += 1
            else:
                starts_with_key = starts_with_key or (not pictures and packet.is_keyframe)
                is_whole = is_whole and bool(length_size) and _has_whole_units(packet, length_size)
                pictures.append(span)
                picture_bytes += packet.size
        if not pictures:
            raise InputError(f"{source} holds no picture that can be read; fetch it again.")
        complained = bool(complaints)
        track, mix = _chosen(tracks, listeners)
        heard = sounds[track.index] if track is not None else []
        stored = np.array([time for time, _ in pictures])
        times = np.sort(stored)
        steps = np.diff(times)
        step = float(np.median(steps)) if len(times) > 1 else 1 / media.FPS
        end = float(times[-1]) + (max(pictures)[1] or step)
        _check_holes(source, np.sort([*times, *(time for time, _ in heard)]))
        _check_whole(source, container, video, end, max([end, *(sum(span) for span in heard[-1:])]))
        return Scan(
            format=container.format.name,
            codec=video.codec_context.name,
            times=times,
            end=end,
            picture_bytes=picture_bytes,
            copyable=is_whole and starts_with_key and not discards,
            # A long step may be a still, but not where the file could not be followed.
            lost=[(float(times[k]), float(steps[k] - step)) for k in np.flatnonzero(steps > 3 * step) if complained],
            delay=int(np.max(np.arange(len(stored)) - np.argsort(np.argsort(stored)))),
            sound=None if track is None else track.index,
            sound_track=_named(track, tracks) if len(tracks) > 1 else "",
            mix=mix,
            sound_copyable=track is not None and _is_whole_aac(track, heard),
            sound_start=heard[0][0] if heard else math.inf,
            sound_end=sum(heard[-1]) if heard else -math.inf,
        )


def _chosen(
    tracks: list[av.AudioStream], listeners: dict[int, listening.Listener]
) -> tuple[av.AudioStream | None, listening.Mix]:
    if not listeners:
        return (tracks[0] if tracks else None), listening.MONO
    chosen, mix = listening.choose(list(listeners.values()))
    return chosen.stream, mix


def _named(track: av.AudioStream, tracks: list[av.AudioStream]) -> str:
    """Return which sound track it is, and what its file says about it."""
    told = [track.language or "", str(track.metadata.get("title", ""))]
    words = ", ".join(word for word in told if word not in ("", "und"))
    return f"{tracks.index(track) + 1} of {len(tracks)}{f' ({words})' if words else ''}"


def _check_holes(source: Path, times: np.ndarray) -> None:
    """Raise InputError where a film's time leaps: one damaged stamp would make hours of stills out of a second."""
    steps = np.diff(times)
    if len(steps) and steps.max() > _LONGEST_HOLE_S:
        raise InputError(
            f"{source} has neither picture nor sound for {steps.max():.0f} s after second {times[steps.argmax()]:.2f}: its "
            "time stamps are damaged; fetch it again, or convert it to an ordinary mp4."
        )


def _check_whole(
    source: Path, container: av.container.InputContainer, video: av.VideoStream, end: float, last: float
) -> None:
    size = source.stat().st_size
    breaks = None
    if container.format.name.startswith("mov"):
        missing = [e.timestamp for e in video.index_entries if e.pos + e.size > size]
        if missing:
            breaks = float(min(missing) * video.time_base)
    elif container.format.name == "avi" and video.average_rate:
        declared = float(video.frames / video.average_rate)
        if end < declared - max(0.5, 0.01 * declared):
            breaks = end
    elif container.format.name.startswith(_DECLARING_FORMATS) and container.duration:
        declared = (container.duration + max(0, container.start_time or 0)) / av.time_base
        if last < declared - max(0.5, 0.01 * declared):
            breaks = end
    if breaks is not None:
        raise InputError(
            f"{source} breaks off at second {breaks:.2f}: the rest of the file is missing; fetch it again."
        )


def _length_size(video: av.VideoStream) -> int:
    """Return how many bytes tell the length of each unit of H.264 in its packets; 0 if units are told otherwise."""
    extra = video.codec_context.extradata
    return (extra[4] & 3) + 1 if video.codec_context.name == "h264" and extra and extra[0] == 1 else 0


def _has_whole_units(packet: av.Packet, length_size: int) -> bool:
    """Return True if a packet is exactly a row of H.264 units, which a piece of another file or of zeros is not."""
    data, at = memoryview(packet), 0
    while at + length_size < len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        head = data[at + length_size]
        if not length or head & 0x80 or not head & 0x1F:
            return False
        at += length_size + length
    return at == len(data)


def _is_whole_aac(audio: av.AudioStream, times: list[tuple[float, float]]) -> bool:
    if audio.codec_context.name != "aac" or not audio.codec_context.extradata or not times:
        return False
    starts, durations = np.array(times).T
    return bool(np.all(np.abs(np.diff(starts) - durations[:-1]) < HALF_FRAME_S / 4))


def is_constant(times: np.ndarray, first: float, total: int) -> bool:
    """Return True if picture n is shown at n / 25 s for every n, none earlier, none missing."""
    wanted = first + np.arange(total) / media.FPS
    return len(times) == total and bool(np.all(np.abs(times - wanted) < ROUNDING_S))


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
            raise InputError(f"{source} has no picture that can be decoded; fetch it again or convert it to mp4.")
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


def decoded(packet: av.Packet) -> list:
    """Return a packet's pictures or pieces of sound; none if it is damaged."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []
