"""The files of `results/media/`: their frames in one decode, and their sound; `encoding` writes such files.

Input videos are opened in `ingest`; every later stage reads through this module. PyAV is imported where pictures are opened:
it is a tenth of the start of a program that only needs the sound or the rates.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from talking.core import processors
from talking.core.errors import InputError

if TYPE_CHECKING:
    import av

FPS = 25
SOUND_HZ = 16_000
SAMPLES_PER_FRAME = SOUND_HZ // FPS

_COMPARED = 3  # pictures by which it is seen whether a GPU decodes a video right
_MOST_HELD = 256  # packets that are read before it is known which of them are needed
MOST_DELAY = 16  # frames by which key frames, found by decoding time, may be stored ahead of being shown


def opened(path: str | Path, on_gpu: bool = False) -> av.container.InputContainer:
    """Open a `media/` video, decoded by NVIDIA's decoder if `on_gpu`; raises InputError that names it if it is damaged or cut off."""
    import av
    from av.codec.hwaccel import HWAccel

    _check_length(path, _boxes)
    try:
        return av.open(str(path), hwaccel=HWAccel("cuda", allow_software_fallback=True) if on_gpu else None)
    except av.error.FFmpegError as error:
        raise InputError(f"{path} cannot be read as a video ({error}); delete it and run again.") from error


@functools.cache
def _gpu_decodes(path: str) -> bool:
    """Return True if the job was given a GPU whose decoder gives a video's first pictures exactly as processors do."""
    if not processors.gpu_given():
        return False
    import av

    try:
        first = [_first_pictures(path, on_gpu) for on_gpu in (False, True)]
    except (InputError, av.error.FFmpegError):
        return False
    return len(first[0]) > 0 and np.array_equal(*first)


def _first_pictures(path: str, on_gpu: bool) -> np.ndarray:
    """Return the first pictures of a video as arrays of grey and colour values."""
    with opened(path, on_gpu) as container:
        pictures = itertools.islice(container.decode(video=0), _COMPARED)
        return np.stack([picture.reformat(format="yuv420p").to_ndarray() for picture in pictures])


def _check_length(path: str | Path, declared: Callable[[IO[bytes]], int]) -> None:
    """Raise InputError if a file is shorter than it declares, which its readers would ignore."""
    with open(path, "rb") as file:
        if declared(file) > file.seek(0, os.SEEK_END):
            raise InputError(f"{path} cannot be read: its end is missing; delete it and run again.")


def _boxes(file: IO[bytes]) -> int:
    """Return where the last box of an mp4 ends (ISO/IEC 14496-12); 0 if the file is none."""
    end = 0
    while len(head := file.read(16)) >= 8:
        if end == 0 and head[4:8] != b"ftyp":
            return 0
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size == 0:
            return end
        end += max(size, 8)
        file.seek(end)
    return end


def _riff(file: IO[bytes]) -> int:
    """Return where a wav says that it ends; 0 if it is none."""
    head = file.read(8)
    return int.from_bytes(head[4:], "little") + 8 if head[:4] == b"RIFF" else 0


def frames(
    path: str | Path,
    start: int = 0,
    end: int | None = None,
    height: int | None = None,
    pixel_format: str = "rgb24",
    fast: bool = False,
) -> Iterator[np.ndarray]:
    """Yield the pictures of frames [start, end) of a constant-rate `media/` video, in one decode.

    Pictures are (height, width, 3) uint8 ("rgb24", "bgr24") or (height, width) ("gray"), scaled to `height` if given.
    Exactly as many as the file declares come out: one that cannot be decoded is its predecessor repeated. `fast` leaves
    out the deblocking of H.264, for measurements on small pictures. An empty file, which stands for a video that
    could not be read, has no frames. A job that was given a GPU decodes on it, where that gives the same pictures.
    """
    changed = changer(pixel_format, **_resizing(path, height))
    shown: tuple[av.VideoFrame, np.ndarray] | None = None
    for frame in decoded(path, start, end, fast):
        if shown is None or shown[0] is not frame:
            shown = frame, changed(frame)
        yield shown[1]


def frames_at(
    path: str | Path,
    numbers: Iterable[int],
    height: int | None = None,
    pixel_format: str = "rgb24",
    fast: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, picture) of some frames of a `media/` video, in their order, each once; pictures are those of `frames`.

    For few frames of many: it jumps to the key frame before the next one, leaves out pictures that no other needs, and
    converts only the needed ones to arrays. A picture that cannot be decoded is its predecessor; numbers outside the video
    are left out.
    """
    changed = changer(pixel_format, **_resizing(path, height))
    for number, frame in _decoded_at(path, numbers, fast):
        yield number, changed(frame)


def parts_at(path: str | Path, numbers: Iterable[int]) -> Iterator[tuple[int, Parts]]:
    """Yield (frame number, `Parts`) as `frames_at` does, for who needs small parts of the pictures."""
    changed = changer("rgb24")
    for number, frame in _decoded_at(path, numbers):
        yield number, Parts(frame, changed)


class Parts:
    """A decoded picture that becomes RGB part by part: to convert all of it takes as long as to decode it."""

    def __init__(self, frame: av.VideoFrame, changed: Callable[[av.VideoFrame], np.ndarray]) -> None:
        self.width, self.height = frame.width, frame.height
        self._frame, self._changed, self._whole = frame, changed, None

    def rgb(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """Return the part (bottom - top, right - left, 3) uint8, which lies in the picture and begins at even numbers."""
        from av.video.frame import VideoFrame

        if self._frame.format.name != "yuv420p":
            self._whole = self._changed(self._frame) if self._whole is None else self._whole
            return np.ascontiguousarray(self._whole[top:bottom, left:right])
        # Half as many colours as grey values in each direction: an odd side has one more.
        width, height = _even_above(right - left), _even_above(bottom - top)
        part = VideoFrame(width, height, "yuv420p")
        part.colorspace, part.color_range = self._frame.colorspace, self._frame.color_range
        for i, half in enumerate((1, 2, 2)):
            source, to = _plane(self._frame, i), _plane(part, i)
            rows, columns = height // half, width // half
            inside = source[top // half : top // half + rows, left // half : left // half + columns]
            to[: inside.shape[0], : inside.shape[1]] = inside
        return np.ascontiguousarray(self._changed(part)[: bottom - top, : right - left])


def _plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    """Return a plane of a picture as an array (lines, bytes a line), writable where the picture is."""
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width]


def _even_above(value: int) -> int:
    return value + value % 2


def _decoded_at(path: str | Path, numbers: Iterable[int], fast: bool = False) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (frame number, decoded picture) of some frames, in their order, each once."""
    length = size_and_length(path)[2]
    wanted = sorted({int(number) for number in numbers if 0 <= number < length})
    if not wanted:
        return
    with opened(path) as container:
        stream = container.streams.video[0]
        zero, entries = stream.start_time or 0, stream.index_entries
        stored = [round((e.timestamp - zero) * stream.time_base * FPS) for e in entries if e.is_keyframe]
    # Frames between the same two key frames, and between the next two, come from one run of the decoder.
    stretch = np.searchsorted(stored, np.array(wanted) - MOST_DELAY, side="right")
    for run in np.split(np.array(wanted), np.flatnonzero(np.diff(stretch) > 1) + 1):
        asked = frozenset(run.tolist())
        for number, frame in enumerate(decoded(path, min(asked), max(asked) + 1, fast, asked), start=min(asked)):
            if number in asked:
                yield number, frame


def key_frames_before(path: str | Path, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, RGB picture) of the key frames of a `media/` video that are the last ones before `numbers`, each once.

    No other picture is decoded. One that is damaged is left out.
    """
    import av

    changed, given = changer(), set()
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        zero = stream.start_time or 0
        for number in sorted(numbers):
            container.seek(zero + int(Fraction(number, FPS) / stream.time_base), stream=stream)
            packet = next((p for p in container.demux(stream) if p.is_keyframe and p.pts is not None), None)
            if packet is None or packet.pts in given:
                continue
            given.add(packet.pts)
            try:
                # Without more packets the decoder gives what it has when it is told that this was the last.
                pictures = [*packet.decode(), *stream.codec_context.decode(None)]
            except av.error.FFmpegError:
                continue
            for frame in pictures[:1]:
                yield round((frame.pts - zero) * stream.time_base * FPS), changed(frame)


def shown_frames(fps: Fraction, frames: int) -> list[int]:
    """Return which of the `frames` of a video of steady rate `fps` is seen in each frame at 25 fps."""
    return [min(round(index * fps / FPS), frames - 1) for index in range(int(frames * FPS / fps))]


def batches(items: Iterable, size: int) -> Iterator[list]:
    """Yield lists of up to `size` successive items."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def size_and_length(path: str | Path) -> tuple[int, int, int]:
    """Return width, height and number of frames of a `media/` video, as its container declares them (0, 0, 0 if empty)."""
    if Path(path).stat().st_size == 0:
        return 0, 0, 0
    with opened(path) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, stream.frames


def sound(path: str | Path, start: int = 0, end: int | None = None) -> np.ndarray:
    """Return samples of frames [start, end) of a `media/` wav as float32 in -1..1 (16 kHz mono, 640 a frame).

    An empty file has no samples.
    """
    import soundfile

    if Path(path).stat().st_size == 0:
        return np.zeros(0, dtype=np.float32)
    _check_length(path, _riff)
    try:
        samples, rate = soundfile.read(
            path,
            start=start * SAMPLES_PER_FRAME,
            stop=None if end is None else end * SAMPLES_PER_FRAME,
            dtype="float32",
        )
    except (soundfile.SoundFileError, ValueError) as error:
        raise InputError(f"{path} cannot be read as sound ({error}); delete it and run again.") from error
    if rate != SOUND_HZ or samples.ndim != 1:
        raise InputError(f"{path} is not {SOUND_HZ} Hz mono; delete it and run again.")
    return samples


def decoded(
    path: str | Path, start: int, end: int | None, fast: bool = False, only: frozenset[int] | None = None
) -> Iterator[av.VideoFrame]:
    """Yield the pictures of frames [start, end); with `only`, any earlier picture may stand for frames that are not in it."""
    if Path(path).stat().st_size == 0:
        return
    # A GPU cannot leave out the deblocking.
    with opened(path, not fast and _gpu_decodes(str(path))) as container:
        stream = container.streams.video[0]
        end = stream.frames if end is None else min(end, stream.frames)
        if end <= start:
            return
        stream.thread_count, stream.thread_type = processors.threads_given(), "AUTO"
        if fast:
            stream.codec_context.options = {"skip_loop_filter": "all"}
        zero = stream.start_time or 0
        if start > MOST_DELAY:
            container.seek(zero + int(Fraction(start - MOST_DELAY, FPS) / stream.time_base), stream=stream)
        number_of = _numbering(zero, stream.time_base)
        number, shown = start, None
        for frame in _undamaged(container, stream, number_of, only):
            index = number_of(frame.pts)
            while shown is not None and number < min(index, end):
                yield shown
                number += 1
            if index >= end:
                break
            # A GPU gives grey values in one plane and colours in another.
            shown = frame if frame.format.name != "nv12" else frame.reformat(format="yuv420p")
        while shown is not None and number < end:
            yield shown
            number += 1


def _numbering(zero: int, time_base: Fraction) -> Callable[[int], int]:
    """Return a function from a time in units of `time_base` to the number of the frame that is shown then."""
    # Whole numbers, as a fraction would be reduced for each packet.
    times, over = time_base.numerator * FPS, time_base.denominator
    return lambda pts: round((pts - zero) * times / over)


def _undamaged(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    number_of: Callable[[int], int],
    only: frozenset[int] | None,
) -> Iterator[av.VideoFrame]:
    import av

    packets = container.demux(stream)
    for packet, is_shown in ((p, True) for p in packets) if only is None else _needed(packets, number_of, only):
        if only is not None:
            stream.codec_context.skip_frame = "DEFAULT" if is_shown else "NONREF"
        try:
            yield from stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            continue


def _needed(
    packets: Iterable[av.Packet], number_of: Callable[[int], int], only: frozenset[int]
) -> Iterator[tuple[av.Packet | None, bool]]:
    """Yield the packets that some frames need, each with whether it is shown in one of them; None tells the decoder that it has all.

    What follows the last of these frames up to the next key frame is left out.
    """
    asked = np.array(sorted(only))
    for group, after in itertools.pairwise(itertools.chain(_groups(packets), [[]])):
        numbers = np.array(sorted(number_of(p.pts) for p in group + after if p.pts is not None))
        if not len(numbers) or numbers[0] > asked[-1]:
            break
        # A frame without a packet shows the one before it.
        shown = set(numbers[np.searchsorted(numbers, asked[asked >= numbers[0]], side="right") - 1].tolist())
        is_shown = [p.pts is None or number_of(p.pts) in shown for p in group]
        if after and _begins_anew(after[0]):
            is_shown = is_shown[: max((place + 1 for place, value in enumerate(is_shown) if value), default=0)]
        yield from zip(group, is_shown, strict=False)
    yield None, True


def _begins_anew(packet: av.Packet) -> bool:
    """Return True if an H.264 packet holds an IDR picture, after which no earlier one is needed (ISO/IEC 14496-10, 7.4.1).

    Other key frames may be followed by pictures that are shown before them, and decoders expect all that is counted before.
    """
    data, place, kinds = bytes(packet), 0, set()
    # Units of a length in four bytes and their kind: 5 is a piece of an IDR picture.
    while place + 4 < len(data):
        kinds.add(data[place + 4] & 31)
        place += 4 + int.from_bytes(data[place : place + 4], "big")
    return packet.is_keyframe and place == len(data) and 5 in kinds


def _groups(packets: Iterable[av.Packet]) -> Iterator[list[av.Packet]]:
    """Yield lists of packets that begin with a key frame; a longer one comes in pieces."""
    group: list[av.Packet] = []
    for packet in packets:
        if group and (packet.is_keyframe or len(group) == _MOST_HELD):
            yield group
            group = []
        group.append(packet)
    yield group


def changer(pixel_format: str = "rgb24", **size: object) -> Callable[[av.VideoFrame], np.ndarray]:
    """Return a function that gives a decoded picture as an array of another format and size."""
    from av.video.reformatter import VideoReformatter

    # A scaler for all pictures: a new one each, with its threads, costs as much as the scaling.
    scaler = VideoReformatter()

    def changed(frame: av.VideoFrame) -> np.ndarray:
        picture = scaler.reformat(frame, format=pixel_format, threads=1, **size)
        # Widths that are no multiple of 32 come as a view with gaps between the lines, which C libraries refuse.
        return np.ascontiguousarray(picture.to_ndarray())

    return changed


def _resizing(path: str | Path, height: int | None) -> dict[str, object]:
    """Return the options of `changer` that bring a video's pictures to `height` lines."""
    if height is None:
        return {}
    width, full_height, _ = size_and_length(path)
    return {"height": height, "width": _even(width * height / max(1, full_height)), "interpolation": "AREA"}


def _even(value: float) -> int:
    return max(2, round(value / 2) * 2)
