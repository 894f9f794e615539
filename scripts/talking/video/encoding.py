"""Writing files of the kind of `results/media/`: H.264 pictures with AAC sound as mp4, and wav."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talking.core.atomic import atomic_write
from talking.video.media import FPS, SOUND_HZ

if TYPE_CHECKING:
    import av

_SOUND_BITS_PER_S = 64_000


_TV_RANGE = 1


_TICKS_PER_S = 12_800


# With its macroblock tree, x264's bytes for the same pictures vary, of small ones one time in two.
SAME_BYTES = "mbtree=0"


def write_sound(path: str | Path, samples: np.ndarray, rate: int = SOUND_HZ) -> None:
    """Write float samples (n,) or (n, channels) in -1..1 as 16-bit wav."""
    import soundfile

    # Written to the disk by Python, as libsndfile calls a full disk a "System error.".
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate, format="WAV", subtype="PCM_16")
    with atomic_write(path) as aside:
        aside.write_bytes(wav.getbuffer())


@dataclass(frozen=True)
class Colours:
    """Colours of pictures, by the numbers of ITU-T H.273: matrix, primaries and transfer; always in TV range."""

    colorspace: int
    color_primaries: int
    color_trc: int

    @classmethod
    def of(cls, stream: av.VideoStream) -> Colours:
        """Return the colours that a stream declares."""
        own = stream.codec_context
        return cls(own.colorspace, own.color_primaries, own.color_trc)


class Mp4:
    """An mp4 being written: H.264 pictures with a key frame at least every 2 s, and AAC sound, or packets of another file.

    Use it as a context manager, declare the streams, then give pictures and sound by turns. `frames` counts the pictures.
    """

    def __init__(self, path: str | Path) -> None:
        import av

        self.frames = 0
        self._samples = 0
        self._video: av.VideoStream | None = None
        self._audio: av.AudioStream | None = None
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})

    def __enter__(self) -> Mp4:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for stream in (self._video, self._audio):
                if stream is not None:
                    self._container.mux(stream.encode())
        self._container.close()

    def add_pictures(
        self,
        width: int,
        height: int,
        fps: int | Fraction = FPS,
        crf: int = 20,
        preset: str = "veryfast",
        parameters: str = "",
        colours: Colours | None = None,
        threads: int = 0,
    ) -> None:
        """Declare the pictures: their even size, x264's settings, and what colours they have, if known.

        `parameters` changes the preset in x264's own words (name=value:name=value).
        """
        options = {"crf": str(crf), "preset": preset, "g": str(round(2 * fps)), "threads": str(threads)}
        options["x264-params"] = ":".join(filter(None, [SAME_BYTES, parameters]))
        self._video = self._container.add_stream("libx264", rate=fps, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._time_base = 1 / Fraction(fps)
        if colours is not None:
            ours = self._video.codec_context
            ours.colorspace, ours.color_primaries = colours.colorspace, colours.color_primaries
            ours.color_trc, ours.color_range = colours.color_trc, _TV_RANGE

    def add_sound(self, rate: int = SOUND_HZ, channels: int = 1) -> None:
        """Declare sound given as samples, of one or two channels."""
        self._audio = self._container.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
        self._audio.bit_rate = _SOUND_BITS_PER_S * channels

    def add_copy(self, stream: av.stream.Stream) -> av.stream.Stream:
        """Declare a stream that comes as packets of another file's; return the stream to put on them."""
        return self._container.add_stream_from_template(stream)

    def add_pieces(self, like: av.VideoStream, head: bytes) -> None:
        """Declare pictures that come encoded, with the size and time base of another stream and this H.264 head."""
        self._copied = self._container.add_stream_from_template(like)
        self._copied.codec_context.extradata = head

    def piece(self, data: bytes, number: int, place: int, is_key: bool) -> None:
        """Write an encoded picture: its frame number, its place in decoding order, and whether it is a key frame."""
        import av

        packet = av.Packet(data)
        ticks = _TICKS_PER_S // FPS
        packet.time_base, packet.duration = Fraction(1, _TICKS_PER_S), ticks
        packet.pts, packet.dts, packet.is_keyframe = number * ticks, place * ticks, is_key
        packet.stream = self._copied
        self._container.mux(packet)
        self.frames += 1

    def packet(self, packet: av.Packet) -> None:
        """Write a packet of a stream of `add_copy`."""
        self._container.mux(packet)

    def picture(self, frame: av.VideoFrame | np.ndarray) -> None:
        """Write one picture: a yuv420p frame, or an RGB array (height, width, 3)."""
        import av

        if isinstance(frame, np.ndarray):
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        frame.pts, frame.time_base, frame.pict_type = self.frames, self._time_base, 0
        self._container.mux(self._video.encode(frame))
        self.frames += 1

    def sound(self, samples: np.ndarray) -> None:
        """Write the next samples: (n,) or (channels, n), -1..1."""
        samples = np.ascontiguousarray(np.atleast_2d(samples), dtype=np.float32)
        if not samples.size:
            return
        import av

        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono" if len(samples) == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = self._audio.rate, self._samples, Fraction(1, self._audio.rate)
        self._container.mux(self._audio.encode(frame))
        self._samples += samples.shape[1]


def encode(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    sound_samples: np.ndarray | None = None,
    fps: int | Fraction = FPS,
    crf: int = 18,
    sound_rate: int = SOUND_HZ,
) -> int:
    """Write RGB pictures (height, width, 3; even sizes) and sound (n,) in -1..1 as H.264/AAC mp4; return the number of frames.

    Without pictures it writes an empty file.
    """
    pictures = iter(pictures)
    first = next(pictures, None)
    with atomic_write(path) as aside:
        if first is None:
            return 0
        rate = sound_rate if sound_samples is not None else 0
        with Mp4(aside) as out:
            out.add_pictures(first.shape[1], first.shape[0], fps, crf)
            if rate:
                out.add_sound(rate)
            for picture in itertools.chain([first], pictures):
                out.picture(picture)
                if sound_samples is not None:
                    done, now = (int(n * rate / fps) for n in (out.frames - 1, out.frames))
                    out.sound(sound_samples[done:now])
            if sound_samples is not None:
                out.sound(sound_samples[int(out.frames * rate / fps) :])
            return out.frames
