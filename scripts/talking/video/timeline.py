"""Put a video's pictures and sound on one time line, frame n at n / 25 s and sample k at k / 16000 s, by its time stamps.

Pictures are decoded, changed and encoded (`Pictures`) or copied (`PictureCopy`); sound is laid by `SoundTrack`.
"""

import math
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import soundfile
import soxr

from talking.video import colours, first_picture, interlacing, listening, media, probing
from talking.video.encoding import Mp4

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_TICKS_PER_S = 12_800
# With these, x264's fastest preset begins shots with key frames and at CRF 22 comes as near to the source (PSNR), in as many
# bytes, as `veryfast` at CRF 20 in twice the time; docs/benchmarks.md has the figures.
_PARAMETERS = {"ultrafast": "subme=1:bframes=3:scenecut=40"}


class Pictures:
    """Pictures that are decoded, put at 25 a second by their time stamps, changed as planned and encoded."""

    def __init__(
        self,
        out: Mp4,
        video: av.VideoStream,
        first: first_picture.First,
        total: int,
        crf: int,
        preset: str,
        threads: int,
    ) -> None:
        video.thread_count, video.thread_type = threads, "AUTO"
        out.add_pictures(
            first.width,
            first.height,
            crf=crf,
            preset=preset,
            parameters=_PARAMETERS.get(preset, ""),
            colours=first.colours,
            threads=threads,
        )
        self.decoded = self.damaged = 0
        self.damaged_at: float | None = None
        self.last = first.time
        self._out, self._first, self._total = out, first, total
        self._step = 1 / float(video.average_rate or media.FPS)
        self._shown: av.VideoFrame | None = None
        self._is_changed = False
        self._fields = interlacing.deinterlacer(first.fields) if first.fields else None
        self._change = _Change(first)

    @property
    def done(self) -> int:
        """How many frames are written."""
        return self._out.frames

    def take(self, packet: av.Packet) -> None:
        """Decode a packet and write the frames that it completes."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
            self._mark(packet.pts, packet.time_base)
        for frame in frames:
            if frame.pts is None:
                frame.time_base = Fraction(1, _TICKS_PER_S)
                frame.pts = round((self.last + self._step) * _TICKS_PER_S)
            self.decoded += 1
            if frame.is_corrupt:
                self._mark(frame.pts, frame.time_base)
            self.last = max(self.last, float(frame.time))
            for whole in [frame] if self._fields is None else self._fields.take(frame):
                self._show(whole)

    def close(self) -> None:
        """Write the frames to the end."""
        for whole in [] if self._fields is None else self._fields.rest():
            self._show(whole)
        self._write_until(self._total)
        self._change.close()

    def _show(self, frame: av.VideoFrame) -> None:
        # A time stamp a little before the middle of a frame counts as the middle: stamps are rounded.
        self._write_until(math.floor((float(frame.time) - self._first.time + probing.ROUNDING_S) * media.FPS + 0.5))
        self._shown, self._is_changed = frame, False

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
    """The planned filters, rebuilt whenever the pictures change size or format midway."""

    def __init__(self, first: first_picture.First) -> None:
        self._first, self._graph, self._input = first, None, None
        self._folder = tempfile.TemporaryDirectory(prefix="colours")
        self._table: Path | None = None
        if first.hdr:
            self._table = Path(self._folder.name) / "table.cube"
            colours.write_table(first.hdr, first.peak, self._table)

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        kind = (frame.width, frame.height, frame.format.name)
        is_right = kind == (self._first.width, self._first.height, "yuv420p") and self._first.is_tv
        if is_right and not self._first.turns and self._table is None:
            return frame
        if kind != self._input:
            self._graph, self._input = self._built(frame), kind
        self._graph.vpush(frame)
        return self._graph.vpull()

    def close(self) -> None:
        """Forget the table of colours."""
        self._folder.cleanup()

    def _built(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
        ]
        nodes += [graph.add(name, arguments or None) for name, arguments in self._first.filters(self._table)]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


class PictureCopy:
    """Pictures copied as they are, with time stamps made exact."""

    def __init__(self, out: Mp4, video: av.VideoStream, scan: probing.Scan, zero: float) -> None:
        self.damaged, self.damaged_at, self.last = 0, None, scan.end
        self.decoded = len(scan.times)
        self.done = 0
        self._out, self._stream, self._zero = out, out.add_copy(video), zero
        self._delay = scan.delay

    def take(self, packet: av.Packet) -> None:
        """Write a packet's picture."""
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


def copy_sound(out: Mp4, packet: av.Packet, stream: av.AudioStream, zero: float, end: float) -> None:
    """Write a packet of sound, if any of it lies between the seconds `zero` and `end` of the file's clock."""
    time, duration = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.duration))
    if time + duration <= zero or time >= end:
        return
    shift = round(zero / packet.time_base)
    packet.pts, packet.dts = packet.pts - shift, packet.pts - shift
    packet.stream = stream
    out.packet(packet)


class SoundTrack:
    """Sound laid on the pictures' time line by its time stamps: written as 16 kHz mono wav and, if `out` is given, into the mp4.

    The wav has what `mix` makes of the channels, the mp4 what it keeps of them. Gaps become silence and what overlaps is left
    out once sound is half a frame off its place; the end is padded or cut. `heard` counts the samples, `loudest` is the largest
    of the voices' (0-1).
    """

    def __init__(
        self, wav: Path, audio: av.AudioStream | None, mix: listening.Mix, zero: float, total: int, out: Mp4 | None
    ) -> None:
        self.rate = media.SOUND_HZ
        if audio is not None:
            self.rate = audio.rate if audio.rate in _AAC_RATES else 48_000
        self.start: float | None = None
        self.heard, self.loudest = 0, 0.0
        self._mix = mix
        self._zero, self._wav_left = zero, total * media.SAMPLES_PER_FRAME
        self._laid, self._total = 0, math.ceil(total / media.FPS * self.rate)
        self._to_16k = soxr.ResampleStream(self.rate, media.SOUND_HZ, 1, dtype="float32")
        self._file = soundfile.SoundFile(wav, "w", media.SOUND_HZ, 1, "PCM_16")
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple | None = None
        self._next: int | None = None
        self._out = out
        if out is not None:
            out.add_sound(self.rate, mix.channels)

    def __enter__(self) -> "SoundTrack":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._lay_silence_to(self._total)
            self._write(self._to_16k.resample_chunk(np.zeros(0, np.float32), last=True))
            self._write(np.zeros(self._wav_left, np.float32))
        self._file.close()

    def take(self, packet: av.Packet) -> None:
        """Decode a packet and lay its sound where its time stamps say."""
        for frame in probing.decoded(packet):
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != self._kind:
                # Channels of another number than those listened to are mixed as usual.
                is_known = frame.layout.nb_channels == len(self._mix.weights)
                usual = "mono" if self._mix.channels == 1 else "stereo"
                self._resampler = av.AudioResampler("flt", frame.layout.name if is_known else usual, self.rate)
                self._kind = kind
            if frame.pts is not None:
                time = float(frame.time)
                self.start = time if self.start is None else min(self.start, time)
                wanted = round((time - self._zero) * self.rate)
                if self._next is None or abs(wanted - self._next) > probing.HALF_FRAME_S * self.rate:
                    self._next = wanted
            if self._next is None:
                self._next = self._laid
            for piece in self._resampler.resample(frame):
                self._lay_silence_to(self._next)
                samples = listening.channels_of(piece)
                fresh = samples[:, max(0, self._laid - self._next) :]
                voices, kept = self._mixed(fresh)
                self.loudest = max(self.loudest, float(np.abs(voices).max(initial=0)))
                self.heard += self._lay(voices, kept)
                self._next += samples.shape[1]

    def lay_silence(self, frames: int) -> None:
        """Lay silence up to a frame, for a video without sound."""
        self._lay_silence_to(round(frames / media.FPS * self.rate))

    def _mixed(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the voices (1, n) and what is kept (channels, n) of samples (channels of the file, n)."""
        if len(samples) == len(self._mix.weights):
            return self._mix.mono(samples), self._mix.kept(samples)
        return samples.mean(axis=0, keepdims=True), samples

    def _lay_silence_to(self, place: int) -> None:
        while self._laid < min(place, self._total):
            count = min(place - self._laid, self.rate)
            self._lay(np.zeros((1, count), np.float32), np.zeros((self._mix.channels, count), np.float32))

    def _lay(self, voices: np.ndarray, kept: np.ndarray) -> int:
        """Write samples (1, n) and (channels, n) at the end of what is laid, up to the pictures' end; return how many were."""
        room = self._total - self._laid
        voices, kept = voices[:, :room], kept[:, :room]
        if voices.shape[1]:
            self._laid += voices.shape[1]
            self._write(self._to_16k.resample_chunk(voices[0]))
            if self._out is not None:
                self._out.sound(kept)
        return voices.shape[1]

    def _write(self, samples: np.ndarray) -> None:
        samples = samples[: self._wav_left]
        self._file.write(np.clip(samples, -1, 1))
        self._wav_left -= len(samples)
