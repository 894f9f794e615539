"""Turn a film as people bring it into what every stage reads: constant 25 fps H.264, 16 kHz sound, and a probe.

Time 0 is the first picture that can be shown. Frame n is the last picture that begins before n / 25 s plus half a frame, so
no picture is more than half a frame off its own time, and sample k belongs to second k / 16000: pictures and sound are
placed by the file's own time stamps all along, never by counting. Pictures that are constant 25 fps H.264 of fitting size
already are copied as they are, and so is whole AAC sound.
"""

import hashlib
import json
import math
import multiprocessing
import os
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import av
import av.filter
import numpy as np
import soundfile
import soxr

from talking import cli, media
from talking.aside import written_aside
from talking.errors import InputError
from talking.media import Mp4

# Kinds of file that hold their own pictures and sound; play lists, scripts and devices are not among them.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,obu,flv,asf,ogg,mxf,dv,rm,nut,wtv,"
    "yuv4mpegpipe,gif,apng,wav,mp3,aac,ac3,flac,aiff,amr,caf"
)
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_HALF_FRAME_S = 0.5 / media.FPS
# Containers round time stamps to a millisecond or so; stamps this close are taken as equal.
_ROUNDING_S = 0.002
_TICKS_PER_S = 12_800
_OPEN_LIMIT_S = 300
_MAX_READ_FAILURES = 20
_MAX_PIXELS = 8192 * 8192
_FULL_RANGE = 2
# With these, x264's fastest preset begins shots with key frames and at CRF 22 comes as near to the source (PSNR), in as many
# bytes, as `veryfast` at CRF 20 in twice the time; docs/benchmarks.md has the figures.
_PARAMETERS = {"ultrafast": "subme=1:bframes=3:scenecut=40"}
# Kinds that state their length where it survives the loss of their end.
_DECLARING_FORMATS = ("matroska", "flv", "asf")


@dataclass
class Settings:
    """How a film is read and written."""

    crf: int = cli.setting(22, "quality of pictures that must be encoded anew: H.264 CRF, lower is better")
    preset: str = cli.setting("ultrafast", "x264 preset: slower ones make smaller files")
    max_lines: int = cli.setting(1080, "shorter side of larger pictures after scaling, in pixels")
    max_damage_s: float = cli.setting(0.5, "seconds of undecodable pictures above which a film counts as broken")
    max_seconds_per_second: float = cli.setting(60.0, "time allowed for each second of film before it is given up")


@dataclass
class Probe:
    """What is known about a film and its `media/` files; written as `media/{video}.json`."""

    status: str = "failed"
    reason: str = ""
    path: str = ""
    sha256: str = ""
    fps: int = media.FPS
    frames: int = 0
    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    reencoded: bool | None = None
    rotation: int = 0
    sound_offset_s: float | None = None
    source_format: str = ""
    source_codec: str = ""
    source_pixel_format: str = ""
    source_width: int = 0
    source_height: int = 0
    source_fps: float = 0.0
    source_frames: int = 0
    source_bit_rate: int = 0
    variable_frame_rate: bool | None = None
    damaged_frames: int = 0
    sound_codec: str = ""
    sound_rate: int = 0
    sound_channels: int = 0
    sound_s: float = 0.0


def ingest(
    source: Path,
    mp4: Path,
    wav: Path,
    probe: Path,
    settings: Settings,
    sha256: str = "",
    reason: str = "",
    threads: int = 2,
) -> Probe:
    """Write a film's `media/` files; one that cannot be used gives an mp4 and a wav of no bytes and a probe that says why.

    `sha256` is the checksum that the file must have, if any; `reason` why it could not even be downloaded, if so.
    """
    result = Probe(path=str(source))
    with written_aside(mp4) as mp4_aside, written_aside(wav) as wav_aside:
        try:
            if reason:
                raise InputError(reason)
            _check_file(source)
            with source.open("rb") as file:
                result.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 and result.sha256 != sha256.lower():
                raise InputError(
                    f"{source} has the SHA-256 {result.sha256}, not the sheet's; fetch it again or correct the sheet."
                )
            result = _in_child(_convert, source, mp4_aside, wav_aside, settings, threads, result)
        except InputError as error:
            result = Probe(reason=str(error), path=str(source), sha256=result.sha256)
            for aside in (mp4_aside, wav_aside):
                aside.write_bytes(b"")
    with written_aside(probe) as aside:
        aside.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def _check_file(source: Path) -> None:
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


def _in_child(work: Callable[..., Probe], *arguments: object) -> Probe:
    """Run work on a foreign file in a process of its own, so that a decoder that crashes or hangs fails one video only."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(sender, work, arguments))
    child.start()
    sender.close()
    try:
        outcome = receiver.recv()
    except EOFError:
        outcome = None
    child.join()
    source = arguments[0]
    if child.exitcode == -signal.SIGALRM:
        raise InputError(f"{source} was not converted in the time allowed; convert it to an ordinary mp4 first.")
    if child.exitcode < 0:
        raise InputError(
            f"{source} made the decoder crash (signal {-child.exitcode}); convert it to an ordinary mp4 first."
        )
    if outcome is None:
        raise RuntimeError(f"converting {source} failed; see the trace above")
    if isinstance(outcome, InputError):
        raise outcome
    return outcome


def _send(sender: Connection, work: Callable[..., Probe], arguments: tuple) -> None:
    # The default action of an alarm ends the process even inside a decoder's loop.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_OPEN_LIMIT_S)
    try:
        sender.send(work(*arguments))
    except InputError as error:
        sender.send(error)


def _convert(source: Path, mp4: Path, wav: Path, settings: Settings, threads: int, probe: Probe) -> Probe:
    scan = _scan(source)
    first = _first_picture(source, settings)
    shown = scan.times[scan.times > first.time - _ROUNDING_S]
    total = max(1, round((scan.end - first.time) * media.FPS))
    signal.alarm(_OPEN_LIMIT_S + math.ceil(settings.max_seconds_per_second * total / media.FPS))
    end = first.time + total / media.FPS
    copies_pictures = first.as_is and scan.copyable and _is_constant(scan.times, first.time, total)
    copies_sound = scan.sound_copyable and scan.sound_start < first.time + _HALF_FRAME_S and scan.sound_end > end - 0.04

    with _open(source) as container, Mp4(mp4) as out:
        video, audio = _streams(container, source)
        if copies_pictures:
            pictures: _PictureCopy | _Pictures = _PictureCopy(out, video, scan, first.time)
        else:
            pictures = _Pictures(out, video, first, total, settings, threads)
        with _SoundTrack(wav, audio, first.time, total, None if copies_sound else out) as sound:
            copied_sound = out.add_copy(audio) if copies_sound else None
            for packet in _packets(container, [s for s in (video, audio) if s is not None]):
                if packet.stream is video:
                    pictures.take(packet)
                    if audio is None:
                        sound.lay_silence(pictures.done)
                else:
                    sound.take(packet)
                    if copied_sound is not None and packet.size:
                        _copy_sound(out, packet, copied_sound, first.time, end)
            pictures.close()

    steps = np.diff(shown)
    probe.frames, probe.duration_s, probe.reencoded = total, total / media.FPS, not copies_pictures
    probe.width, probe.height, probe.rotation = first.width, first.height, first.rotation
    probe.source_format, probe.source_codec = scan.format, scan.codec
    probe.source_pixel_format = first.frame.format.name
    probe.source_width, probe.source_height = first.frame.width, first.frame.height
    probe.source_frames = len(shown)
    probe.source_fps = round(float(1 / steps.mean()) if len(steps) else media.FPS, 3)
    probe.source_bit_rate = round(8 * scan.picture_bytes / (scan.end - first.time))
    probe.variable_frame_rate = bool(len(steps) and np.ptp(steps) > 2 * _ROUNDING_S)
    lost_s = sum(seconds for _, seconds in scan.lost)
    probe.damaged_frames = max(pictures.damaged, len(shown) - pictures.decoded) + round(lost_s * probe.source_fps)
    if probe.damaged_frames / probe.source_fps > settings.max_damage_s:
        places = [time for time, _ in scan.lost] + ([] if pictures.damaged_at is None else [pictures.damaged_at])
        raise InputError(
            f"{source} is damaged from second {min(places, default=pictures.last) - first.time:.2f} on "
            f"({probe.damaged_frames} pictures cannot be had); fetch it again, or cut the damaged part away."
        )
    probe.status = "ok"
    if audio is not None and sound.heard:
        probe.sound_codec, probe.sound_rate, probe.sound_channels = audio.codec_context.name, audio.rate, audio.channels
        probe.sound_offset_s = round(sound.start - first.time, 6)
        probe.sound_s = round(sound.heard / sound.rate, 3)
    else:
        probe.status = "no_sound"
        probe.reason = f"{source} has no sound; give a version with sound if people are to be heard."
    return probe


@dataclass
class _Scan:
    """What the packets say without being decoded; times in seconds on the file's own clock."""

    format: str
    codec: str
    times: np.ndarray  # of each picture, in the order shown
    end: float
    picture_bytes: int
    copyable: bool  # whole H.264 pictures of which none is hidden by an edit list
    delay: int  # pictures by which the order stored runs ahead of the order shown
    lost: list[tuple[float, float]]  # where pictures are missing, and for how many seconds
    sound_copyable: bool
    sound_start: float
    sound_end: float


@dataclass
class _First:
    """The first picture that can be decoded, and how pictures are to be changed."""

    frame: av.VideoFrame
    time: float
    width: int
    height: int
    rotation: int
    filters: list[tuple[str, str]]
    as_is: bool


def _open(source: Path) -> av.container.InputContainer:
    # An absolute path is never taken for a protocol or an option; nothing but this one file may be opened.
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        return av.open(str(source.absolute()), options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(
            f"{source} is no video that can be read, or its head is missing ({error.strerror}); fetch it again or convert "
            "it to mp4."
        ) from None


def _streams(container: av.container.InputContainer, source: Path) -> tuple[av.VideoStream, av.AudioStream | None]:
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [s for s in container.streams.video if not s.disposition & cover and s.codec_context is not None]
    sounds = [s for s in container.streams.audio if s.codec_context is not None and s.rate]
    if not videos:
        raise InputError(f"{source} has no moving picture; give a video, or take the row out of the sheet.")
    default = av.stream.Disposition.default
    video = max(videos, key=lambda s: (bool(s.disposition & default), s.width * s.height))
    audio = max(sounds, key=lambda s: (bool(s.disposition & default), s.channels)) if sounds else None
    return video, audio


def _packets(container: av.container.InputContainer, streams: list[av.stream.Stream]) -> Iterator[av.Packet]:
    """Yield packets until the file ends or cannot be followed any more."""
    packets, failures = container.demux(streams), 0
    while failures < _MAX_READ_FAILURES:
        try:
            yield next(packets)
        except (StopIteration, IndexError):
            # PyAV ends with an IndexError where a stream has appeared in the middle of a file.
            return
        except av.error.FFmpegError:
            failures += 1
            packets = container.demux(streams)


def _scan(source: Path) -> _Scan:
    pictures: list[tuple[float, float]] = []  # time and duration, in the order stored
    sounds: list[tuple[float, float]] = []
    is_whole, starts_with_key, discards, picture_bytes = True, False, 0, 0
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    with _open(source) as container, av.logging.Capture() as complaints:
        video, audio = _streams(container, source)
        complaints.clear()
        length_size = _length_size(video)
        for packet in _packets(container, [s for s in (video, audio) if s is not None]):
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size or stamp is None:
                continue
            span = float(stamp * packet.time_base), float((packet.duration or 0) * packet.time_base)
            if packet.stream is audio:
                sounds.append(span)
            elif packet.is_discard:
                discards += 1
            else:
                starts_with_key = starts_with_key or (not pictures and packet.is_keyframe)
                is_whole = is_whole and bool(length_size) and _has_whole_units(packet, length_size)
                pictures.append(span)
                picture_bytes += packet.size
        if not pictures:
            raise InputError(f"{source} holds no picture that can be read; fetch it again.")
        stored = np.array([time for time, _ in pictures])
        times = np.sort(stored)
        steps = np.diff(times)
        step = float(np.median(steps)) if len(times) > 1 else 1 / media.FPS
        end = float(times[-1]) + (max(pictures)[1] or step)
        _check_whole(source, container, video, end, max([end, *(sum(span) for span in sounds[-1:])]))
        return _Scan(
            format=container.format.name,
            codec=video.codec_context.name,
            times=times,
            end=end,
            picture_bytes=picture_bytes,
            copyable=is_whole and starts_with_key and not discards,
            # A long step may be a still, but not where the file could not be followed.
            lost=[(float(times[k]), float(steps[k] - step)) for k in np.flatnonzero(steps > 3 * step) if complaints],
            delay=int(np.max(np.arange(len(stored)) - np.argsort(np.argsort(stored)))),
            sound_copyable=audio is not None and _is_whole_aac(audio, sounds),
            sound_start=sounds[0][0] if sounds else math.inf,
            sound_end=sum(sounds[-1]) if sounds else -math.inf,
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
    """Tell whether a packet is exactly a row of H.264 units, which a piece of another file or of zeros is not."""
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
    return bool(np.all(np.abs(np.diff(starts) - durations[:-1]) < _HALF_FRAME_S / 4))


def _is_constant(times: np.ndarray, first: float, total: int) -> bool:
    """Tell whether picture n is shown at n / 25 s for every n, none earlier, none missing."""
    wanted = first + np.arange(total) / media.FPS
    return len(times) == total and bool(np.all(np.abs(times - wanted) < _ROUNDING_S))


def _first_picture(source: Path, settings: Settings) -> _First:
    with _open(source) as container:
        video, _ = _streams(container, source)
        if video.width * video.height > _MAX_PIXELS:
            raise InputError(f"{source} is {video.width} x {video.height}, which is too large; scale it down first.")
        for packet in _packets(container, [video]):
            for frame in _decoded(packet):
                return _plan(source, video, frame, settings)
    raise InputError(f"{source} has no picture that can be decoded; fetch it again or convert it to mp4.")


def _plan(source: Path, video: av.VideoStream, frame: av.VideoFrame, settings: Settings) -> _First:
    turns, rotation = _turns(frame)
    width, height = frame.width, frame.height
    aspect = video.sample_aspect_ratio or 1
    if Fraction(1, 20) < aspect < 20:
        width = width * aspect
    if rotation % 180:
        width, height = height, width
    scale = min(1, settings.max_lines / min(width, height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    if frame.width < 2 or frame.height < 2:
        raise InputError(
            f"{source} is {frame.width} x {frame.height} pixels, which is too small; give a larger version."
        )
    filters = []
    if frame.interlaced_frame:
        filters.append(("estdif", "mode=frame:deint=interlaced"))
    filters += turns
    turned = (frame.height, frame.width) if rotation % 180 else (frame.width, frame.height)
    if turned != (width, height) or frame.format.name != "yuv420p":
        filters.append(("scale", f"w={width}:h={height}:flags=bicubic:out_range=tv"))
        filters.append(("format", "yuv420p"))
    time = float(frame.time) if frame.pts is not None else 0.0
    is_tv = video.codec_context.color_range != _FULL_RANGE
    return _First(frame, time, width, height, rotation, filters, as_is=not filters and is_tv)


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


def _decoded(packet: av.Packet) -> list:
    """Return a packet's pictures or pieces of sound; none if it is damaged."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []


class _Pictures:
    """Pictures that are decoded, put at 25 a second by their time stamps, changed as planned and encoded."""

    def __init__(
        self, out: Mp4, video: av.VideoStream, first: _First, total: int, settings: Settings, threads: int
    ) -> None:
        video.thread_type = "AUTO"
        out.add_pictures(
            first.width,
            first.height,
            crf=settings.crf,
            preset=settings.preset,
            parameters=_PARAMETERS.get(settings.preset, ""),
            colours=video,
            threads=threads,
        )
        self.decoded = self.damaged = 0
        self.damaged_at: float | None = None
        self.last = first.time
        self._out, self._first, self._total = out, first, total
        self._step = 1 / float(video.average_rate or media.FPS)
        self._shown: av.VideoFrame | None = None
        self._is_changed = False
        self._change = _Change(first)

    @property
    def done(self) -> int:
        return self._out.frames

    def take(self, packet: av.Packet) -> None:
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            frames = []
            self._mark(packet.pts, packet.time_base)
        for frame in frames:
            time = float(frame.time) if frame.pts is not None else self.last + self._step
            self.decoded += 1
            if frame.is_corrupt:
                self._mark(frame.pts, frame.time_base)
            self.last = max(self.last, time)
            # A time stamp a little before the middle of a frame counts as the middle: stamps are rounded.
            self._write_until(math.floor((time - self._first.time + _ROUNDING_S) * media.FPS + 0.5))
            self._shown, self._is_changed = frame, False

    def close(self) -> None:
        self._write_until(self._total)

    def _write_until(self, slot: int) -> None:
        while self._shown is not None and self._out.frames < min(slot, self._total):
            if not self._is_changed:
                self._shown, self._is_changed = self._change(self._shown), True
            self._out.picture(self._shown)

    def _mark(self, pts: int | None, time_base: Fraction) -> None:
        if self.decoded:
            self.damaged += 1
            if self.damaged_at is None:
                self.damaged_at = self.last if pts is None else float(pts * time_base)


class _Change:
    """The planned filters, built anew whenever the pictures change size or format midway."""

    def __init__(self, first: _First) -> None:
        self._first, self._graph, self._input = first, None, None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        kind = (frame.width, frame.height, frame.format.name)
        planned = (self._first.frame.width, self._first.frame.height, self._first.frame.format.name)
        if not self._first.filters and kind == planned:
            return frame
        if kind != self._input:
            self._graph, self._input = self._built(frame), kind
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _built(self, frame: av.VideoFrame) -> av.filter.Graph:
        size = ("scale", f"w={self._first.width}:h={self._first.height}:flags=bicubic:out_range=tv")
        filters = [f for f in self._first.filters if f[0] not in ("scale", "format")] + [size, ("format", "yuv420p")]
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
        ]
        nodes += [graph.add(name, arguments or None) for name, arguments in filters]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


class _PictureCopy:
    """Pictures copied as they are, with time stamps made exact."""

    def __init__(self, out: Mp4, video: av.VideoStream, scan: _Scan, zero: float) -> None:
        self.damaged, self.damaged_at, self.last = 0, None, scan.end
        self.decoded = len(scan.times)
        self.done = 0
        self._out, self._stream, self._zero = out, out.add_copy(video), zero
        self._delay = scan.delay

    def take(self, packet: av.Packet) -> None:
        if not packet.size:
            return
        stamp = packet.dts if packet.pts is None else packet.pts
        number = round((float(stamp * packet.time_base) - self._zero) * media.FPS)
        packet.time_base = Fraction(1, _TICKS_PER_S)
        step = _TICKS_PER_S // media.FPS
        packet.pts, packet.dts, packet.duration = number * step, (self.done - self._delay) * step, step
        packet.stream = self._stream
        self._out.packet(packet)
        self.done += 1

    def close(self) -> None:
        """Nothing is held back."""


def _copy_sound(out: Mp4, packet: av.Packet, stream: av.AudioStream, zero: float, end: float) -> None:
    time, duration = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.duration))
    if time + duration <= zero or time >= end:
        return
    shift = round(zero / packet.time_base)
    packet.pts, packet.dts = packet.pts - shift, packet.pts - shift
    packet.stream = stream
    out.packet(packet)


class _SoundTrack:
    """Sound laid on the pictures' time line by its time stamps: written as 16 kHz mono wav and, if `out` is given, into the mp4.

    Gaps become silence and what overlaps is left out once sound is half a frame off its place; the end is padded or cut.
    """

    def __init__(self, wav: Path, audio: av.AudioStream | None, zero: float, total: int, out: Mp4 | None) -> None:
        self.rate = media.SOUND_HZ
        if audio is not None:
            self.rate = audio.rate if audio.rate in _AAC_RATES else 48_000
        self.start: float | None = None
        self.heard = 0
        self._zero, self._wav_left = zero, total * media.SAMPLES_PER_FRAME
        self._laid, self._total = 0, math.ceil(total / media.FPS * self.rate)
        self._channels = 1 if audio is None or audio.channels == 1 else 2
        self._to_16k = soxr.ResampleStream(self.rate, media.SOUND_HZ, 1, dtype="float32")
        self._file = soundfile.SoundFile(wav, "w", media.SOUND_HZ, 1, "PCM_16")
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple | None = None
        self._next: int | None = None
        self._out = out
        if out is not None:
            out.add_sound(self.rate, self._channels)

    def __enter__(self) -> "_SoundTrack":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._lay_silence_to(self._total)
            self._write(self._to_16k.resample_chunk(np.zeros(0, np.float32), last=True))
            self._write(np.zeros(self._wav_left, np.float32))
        self._file.close()

    def take(self, packet: av.Packet) -> None:
        """Decode a packet and lay its sound where its time stamps say."""
        for frame in _decoded(packet):
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != self._kind:
                self._resampler = av.AudioResampler("fltp", "mono" if self._channels == 1 else "stereo", self.rate)
                self._kind = kind
            if frame.pts is not None:
                time = float(frame.time)
                self.start = time if self.start is None else min(self.start, time)
                wanted = round((time - self._zero) * self.rate)
                if self._next is None or abs(wanted - self._next) > _HALF_FRAME_S * self.rate:
                    self._next = wanted
            if self._next is None:
                self._next = self._laid
            for piece in self._resampler.resample(frame):
                self._lay_silence_to(self._next)
                samples = piece.to_ndarray()
                fresh = samples[:, max(0, self._laid - self._next) :]
                self.heard += self._lay(fresh)
                self._next += samples.shape[1]

    def lay_silence(self, frames: int) -> None:
        """Lay silence up to a frame, for a film without sound."""
        self._lay_silence_to(round(frames / media.FPS * self.rate))

    def _lay_silence_to(self, place: int) -> None:
        while self._laid < min(place, self._total):
            count = min(place - self._laid, self.rate)
            self._lay(np.zeros((self._channels, count), np.float32))

    def _lay(self, samples: np.ndarray) -> int:
        """Write samples (channels, n) at the end of what is laid, up to the pictures' end; return how many were."""
        samples = samples[:, : self._total - self._laid]
        if samples.shape[1]:
            self._laid += samples.shape[1]
            self._write(self._to_16k.resample_chunk(samples.mean(axis=0)))
            if self._out is not None:
                self._out.sound(samples)
        return samples.shape[1]

    def _write(self, samples: np.ndarray) -> None:
        samples = samples[: self._wav_left]
        self._file.write(np.clip(samples, -1, 1))
        self._wav_left -= len(samples)
