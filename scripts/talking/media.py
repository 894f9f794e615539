"""The only place where videos and sound files are opened: probe, frames of one decode, sound, cut, encode."""

import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from talking.errors import InputError
from talking.tables import written_aside

FPS = 25
SOUND_HZ = 16_000
SAMPLES_PER_FRAME = SOUND_HZ // FPS


def ffmpeg_exe() -> str:
    """Return the ffmpeg program: the one on the PATH (conda), else the one that imageio-ffmpeg carries."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def frames(
    path: str | Path, start: int = 0, end: int | None = None, height: int | None = None, pixel_format: str = "rgb24"
) -> Iterator[np.ndarray]:
    """Yield the pictures of frames [start, end) of a constant-rate `media/` video, in one decode.

    Pictures are (height, width, 3) uint8 ("rgb24", "bgr24") or (height, width) ("gray"), scaled to `height` if given.
    A file of no bytes, which stands for a video that could not be read, has no frames.
    """
    if Path(path).stat().st_size == 0 or (end is not None and end <= start):
        return
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if start > 0:
            container.seek(int(Fraction(start, FPS) / stream.time_base), stream=stream)
        size = {} if height is None else {"height": height, "width": _even(stream.width * height / stream.height)}
        offset = stream.start_time or 0
        for frame in container.decode(stream):
            index = round((frame.pts - offset) * stream.time_base * FPS)
            if index < start:
                continue
            if end is not None and index >= end:
                return
            yield frame.to_ndarray(format=pixel_format, **size)


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
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, stream.frames


def sound(path: str | Path, start: int = 0, end: int | None = None) -> np.ndarray:
    """Return samples of frames [start, end) of a `media/` wav as float32 in -1..1 (16 kHz mono, 640 a frame).

    A file of no bytes has no samples.
    """
    import soundfile

    if Path(path).stat().st_size == 0:
        return np.zeros(0, dtype=np.float32)
    samples, rate = soundfile.read(
        path,
        start=start * SAMPLES_PER_FRAME,
        stop=None if end is None else end * SAMPLES_PER_FRAME,
        dtype="float32",
    )
    if rate != SOUND_HZ or samples.ndim != 1:
        raise InputError(f"{path} is not {SOUND_HZ} Hz mono; delete it and run again.")
    return samples


def write_sound(path: str | Path, samples: np.ndarray, rate: int = SOUND_HZ) -> None:
    """Write float samples (n,) or (n, channels) in -1..1 as 16-bit wav."""
    import soundfile

    with written_aside(path) as aside:
        soundfile.write(aside, samples, rate, subtype="PCM_16")


def encode(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    sound_samples: np.ndarray | None = None,
    fps: int | Fraction = FPS,
    crf: int = 18,
    sound_rate: int = SOUND_HZ,
) -> int:
    """Write RGB pictures (height, width, 3; even sizes) and sound (n,) in -1..1 as H.264/AAC mp4; return the number of frames."""
    count = 0
    with written_aside(path) as aside, av.open(str(aside), "w", options={"movflags": "+faststart"}) as container:
        video = audio = None
        if sound_samples is not None:
            audio = container.add_stream("aac", rate=sound_rate, layout="mono")
        for picture in pictures:
            if video is None:
                video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "veryfast"})
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = count, 1 / Fraction(fps)
            container.mux(video.encode(frame))
            count += 1
        if video is not None:
            container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(sound_samples[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = sound_rate, 0, Fraction(1, sound_rate)
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return count


def _even(value: float) -> int:
    return max(2, round(value / 2) * 2)
