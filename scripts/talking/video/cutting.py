"""Cut clips out of `media/` videos at any frame, copying all that can be copied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.video import encoding, media, splice
from talking.video.encoding import Mp4
from talking.video.media import FPS, MOST_DELAY

# Decoders of sound need a little of what comes before to be exact.
_WARM_UP_S = 0.2


def cut_all(
    video: str | Path, wav: str | Path, cuts: Sequence[tuple[int, int, str | Path, str | Path]], crf: int = 20
) -> None:
    """Write several spans (start, end, mp4, wav) of a `media/` video as clips of exactly end - start frames.

    Pictures are copied as they are from the span's first key frame on; only those before it, and those after the last
    that stands for itself, are decoded and encoded, so a clip takes hardly more time than copying and hardly more bytes
    than its piece of the video (`splice`). The clip's wav has samples [640 n, 640 (n + 1)) of `wav` for frame n, its mp4
    the video's own sound, at its rate and in one or two channels, as AAC. Raises InputError if a span does not lie inside
    the video.
    """
    length = media.size_and_length(video)[2]
    for start, end, *_ in cuts:
        if not 0 <= start < end <= length:
            raise InputError(
                f"{video} has {length} frames, so [{start}, {end}) cannot be cut; delete the clip's tables."
            )
    index = _index(video) if cuts else None
    for start, end, out_mp4, out_wav in cuts:
        samples = media.sound(wav, start, end)
        encoding.write_sound(out_wav, samples)
        with atomic_write(out_mp4) as aside:
            _cut(video, index, start, end, _sound(video, start, end, samples), aside, crf)


@dataclass(frozen=True)
class _Sound:
    """The sound of a clip: samples (channels, n) at `rate` a second."""

    samples: np.ndarray
    rate: int

    def of(self, frame: int) -> np.ndarray:
        """Return the samples (channels, k) of a frame of the clip."""
        first, end = (round(n * self.rate / FPS) for n in (frame, frame + 1))
        return self.samples[:, first:end]


@dataclass(frozen=True)
class _Index:
    """The packets of a video in the order stored: frame number, and whether it is a key frame at which copying may begin."""

    numbers: np.ndarray
    keys: np.ndarray
    parameters: splice.Parameters | None


def _index(path: str | Path) -> _Index:
    numbers, keys = [], []
    with media.opened(path) as container:
        stream = container.streams.video[0]
        parameters = splice.parameters_of(stream.codec_context.extradata)
        if stream.codec_context.name != "h264" or (parameters and parameters.profile is None):
            parameters = None
        zero = stream.start_time or 0
        for packet in container.demux(stream):
            if not packet.size:
                continue
            numbers.append(round((packet.pts - zero) * stream.time_base * FPS))
            keys.append(bool(parameters and packet.is_keyframe and splice.is_key(memoryview(packet))))
            if keys[-1] and splice.brings_new_sets(memoryview(packet), parameters):
                parameters = None
    return _Index(np.array(numbers), np.array(keys) & (parameters is not None), parameters)


def _sound(path: str | Path, start: int, end: int, samples: np.ndarray) -> _Sound:
    """Return the sound of frames [start, end) of a video; of one without a sound track `samples` (n,), which its wav has there.

    Sound that cannot be decoded is silence.
    """
    with media.opened(path) as container:
        if not container.streams.audio:
            return _Sound(samples[None], media.SOUND_HZ)
        stream, zero = container.streams.audio[0], _zero_s(container)
        first, last = (round(n * stream.rate / FPS) for n in (start, end))
        layout = "mono" if stream.channels == 1 else "stereo"
        found = np.zeros((1 if layout == "mono" else 2, last - first), dtype=np.float32)
        as_floats = av.AudioResampler("fltp", layout, stream.rate)
        if (begin_s := zero + start / FPS - _WARM_UP_S) > 0:
            container.seek(int(begin_s / stream.time_base), stream=stream)
        for frame in _heard(container, stream):
            at = round((frame.time - zero) * stream.rate) - first
            if at >= found.shape[1]:
                break
            piece = np.concatenate([part.to_ndarray() for part in as_floats.resample(frame)], axis=1)[:, max(-at, 0) :]
            place = found[:, max(at, 0) :][:, : piece.shape[1]]
            place[:] = piece[:, : place.shape[1]]
        return _Sound(found, stream.rate)


def _zero_s(container: av.container.InputContainer) -> float:
    """Return the time of a video's first picture, in seconds."""
    stream = container.streams.video[0]
    return float((stream.start_time or 0) * stream.time_base)


def _heard(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _cut(path: str | Path, index: _Index, start: int, end: int, sound: _Sound, out_path: Path, crf: int) -> None:
    plan = splice.plan(index.numbers, index.keys, start, end)
    with media.opened(path) as container, Mp4(out_path) as out:
        stream = container.streams.video[0]
        if plan.first == plan.last:
            out.add_pictures(stream.width, stream.height, crf=crf, colours=encoding.Colours.of(stream))
            out.add_sound(sound.rate, len(sound.samples))
            for number, frame in enumerate(media.decoded(path, start, end)):
                out.picture(frame)
                out.sound(sound.of(number))
            return
        parameters = index.parameters
        pieces = []
        for first, last in ((plan.start, plan.copy_start), (plan.copy_end, plan.end)):
            data: list[bytes] = []
            if first < last:
                number = parameters.free_number()
                data, own = splice.encoded(media.decoded(path, first, last), stream, parameters, number, crf)
                parameters = parameters.joined(own)
            pieces.append(data)
        copied = [bytes(packet) for packet in _stored(container, stream, index, plan)]
        data = [*pieces[0], *copied, *pieces[1]]
        numbers = np.arange(end - start)
        numbers[len(pieces[0]) : len(pieces[0]) + len(copied)] = index.numbers[plan.first : plan.last] - start
        keys = np.zeros(len(data), dtype=bool)
        keys[len(pieces[0]) : len(pieces[0]) + len(copied)] = index.keys[plan.first : plan.last]
        keys[[0, (plan.copy_end - start) % len(data)]] = True
        out.add_pieces(stream, parameters.head())
        out.add_sound(sound.rate, len(sound.samples))
        delay = int(np.max(np.arange(len(data)) - numbers))
        for place, (number, is_key, piece) in enumerate(zip(numbers.tolist(), keys.tolist(), data, strict=True)):
            out.piece(piece, number, place - delay, is_key)
            out.sound(sound.of(place))


def _stored(
    container: av.container.InputContainer, stream: av.VideoStream, index: _Index, plan: splice.Plan
) -> Iterator[av.Packet]:
    """Yield the packets that a plan copies."""
    zero = stream.start_time or 0
    container.seek(zero + int(Fraction(max(0, plan.copy_start - MOST_DELAY), FPS) / stream.time_base), stream=stream)
    missing = plan.last - plan.first
    for packet in container.demux(stream):
        is_begun = missing < plan.last - plan.first
        if is_begun or round((packet.pts - zero) * stream.time_base * FPS) == plan.copy_start:
            yield packet
            missing -= 1
            if not missing:
                return
