"""Read input videos: check the file, scan its packets, decode its first picture and plan how pictures change.

Its packets are trusted more than its header.
"""

import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from talking.core.errors import InputError
from talking.video import listening, media

# Kinds of file that hold their own pictures and sound; playlists, scripts and devices are not among them.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,obu,flv,asf,ogg,mxf,dv,rm,nut,wtv,"
    "yuv4mpegpipe,gif,apng,wav,mp3,aac,ac3,flac,aiff,amr,caf"
)
HALF_FRAME_S = 0.5 / media.FPS
# Containers round time stamps to a millisecond or so; stamps this close are taken as equal.
ROUNDING_S = 0.002
_MAX_READ_FAILURES = 20
# A still may last, but a video without picture and sound for so long has damaged time stamps.
_LONGEST_HOLE_S = 600
# Kinds that state their length where it survives the loss of their end.
_DECLARING_FORMATS = ("matroska", "flv", "asf")


def check_file(source: Path) -> None:
    """Raise InputError if a path is no file that can be read, or an empty one."""
    try:
        status = source.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{source} does not exist; correct its path in the sample sheet or put the file there."
        ) from None
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror}); correct its path or its permissions.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{source} is a folder or a device, not a file; correct its path in the sample sheet.")
    if status.st_size == 0:
        raise InputError(f"{source} is empty; get it again.")
    if not os.access(source, os.R_OK):
        raise InputError(f"{source} may not be read; correct its permissions.")


@dataclass
class Scan:
    """What undecoded packets show; times in seconds on the file's clock."""

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


def open_film(source: Path) -> av.container.InputContainer:
    """Open a video that consists of this one file; raises InputError if it is none."""
    # An absolute path is never taken for a protocol or an option; nothing but this one file may be opened.
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        return av.open(str(source.absolute()), options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(
            f"{source} is no video that can be read, or its header is missing ({error.strerror}); get it again or convert "
            "it to mp4."
        ) from None


def streams(container: av.container.InputContainer, source: Path) -> tuple[av.VideoStream, list[av.AudioStream]]:
    """Return the picture that a player would show and all sound tracks; raises InputError if there is no moving picture."""
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [s for s in container.streams.video if not s.disposition & cover and s.codec_context is not None]
    sounds = [s for s in container.streams.audio if s.codec_context is not None and s.rate]
    if not videos:
        raise InputError(f"{source} has no moving picture; give a video, or remove the row from the sample sheet.")
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
    """Read all packets of a video; raises InputError if it has no picture or breaks off. `beat` is called at each packet."""
    pictures: list[tuple[float, float]] = []  # time and duration, in the order stored
    is_whole, starts_with_key, discards, picture_bytes = True, False, 0, 0
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    with open_film(source) as container, av.logging.Capture() as complaints:
        video, tracks = streams(container, source)
        sounds: dict[int, list[tuple[float, float]]] = {track.index: [] for track in tracks}
        duration_s = container.duration / av.time_base if container.duration else None
        # A single channel needs no choice.
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
            raise InputError(f"{source} holds no picture that can be read; get it again.")
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
    """Raise InputError where a video's time leaps: one damaged stamp would make hours of stills out of a second."""
    steps = np.diff(times)
    if len(steps) and steps.max() > _LONGEST_HOLE_S:
        raise InputError(
            f"{source} has neither picture nor sound for {steps.max():.0f} s after second {times[steps.argmax()]:.2f}: its "
            "time stamps are damaged; get it again, or convert it to an ordinary mp4."
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
        raise InputError(f"{source} breaks off at second {breaks:.2f}: the rest of the file is missing; get it again.")


def _length_size(video: av.VideoStream) -> int:
    """Return how many bytes give the length of each unit of H.264 in its packets; 0 if units are separated otherwise."""
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


def decoded(packet: av.Packet) -> list:
    """Return a packet's pictures or pieces of sound; none if it is damaged."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []
