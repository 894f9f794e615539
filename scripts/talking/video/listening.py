"""Which of a video's sound tracks has the voices, and in which of its channels they are.

A part of each track is examined: all of a short video. A commentary, an audio description or a silent track is not chosen
if there is another. Channels are added up as usual unless that would lose or cover the voice: if they are each other's
inverse, one is inverted, and if one channel has the voice (the centre of surround sound, one microphone of two), that one is
taken alone.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from talking.video import media

# Examined parts of each track: its beginning, and then a little at regular intervals.
_BEGINNING_S, _PIECE_S, _PIECES, _LEAST_INTERVAL_S = 30.0, 3.0, 30, 15.0
# Sound that stays below is silence (-80 dB).
SILENT = 1e-4
# A channel so far below the loudest one (45 dB) carries only what leaks into it.
_LEAKS = 0.0056
_ALIKE = 0.6
# Fractions of the time with a voice: what counts as some, and how much less than another's counts as none.
_SOME_VOICE, _NO_VOICE_TRACK, _NO_VOICE_CHANNEL = 0.02, 0.15, 0.05
_CENTRE_SUFFICES = 0.7
_SURROUND_ONLY = ("LFE", "LFE2")
_ADDED = re.compile(
    r"comment|kommentar|descri|deskription|hörfilm|hoerfilm|visually impaired|narrat|karaoke|\bAD\b|\bDVS\b", re.I
)
_ORIGINAL_LANGUAGES, _NO_LANGUAGES = ("qaa", "qao"), ("zxx", "qad", "nar")
_WINDOW, _CONTEXT = 512, 64


@dataclass(frozen=True)
class Mix:
    """How the channels of a sound track become one: the `weights` of each, and what that is called."""

    name: str
    weights: tuple[float, ...]

    @property
    def is_mean(self) -> bool:
        """Whether all channels count the same, as a player of one loudspeaker adds them up."""
        return len(set(self.weights)) == 1

    @property
    def channels(self) -> int:
        """How many channels of the sound are kept beside the voice: two of stereo, else one."""
        return 2 if len(self.weights) == 2 and abs(self.weights[0]) == abs(self.weights[1]) else 1

    def kept(self, samples: np.ndarray) -> np.ndarray:
        """Return the sound (channels, n) to keep of samples (all channels, n)."""
        if self.channels == 1:
            return self.mono(samples)
        return samples * np.sign(self.weights, dtype=np.float32)[:, None]

    def mono(self, samples: np.ndarray) -> np.ndarray:
        """Return the sound (1, n) in which voices are heard of samples (all channels, n)."""
        return np.asarray(self.weights, dtype=np.float32)[None] @ samples


MONO = Mix("mono", (1.0,))


class Listener:
    """Listens to parts of one sound track; packets are given as they come, all of them."""

    def __init__(self, stream: av.AudioStream, duration_s: float | None) -> None:
        self.stream = stream
        self._interval = max(_LEAST_INTERVAL_S, (duration_s or 0) / _PIECES)
        self._heard: list[np.ndarray] = []
        self._seconds, self._begins = 0.0, None
        self._resampler, self._channels = None, 0

    def take(self, packet: av.Packet) -> None:
        """Listen to a packet if its turn has come."""
        if packet.pts is None or not packet.size:
            return
        time = float(packet.pts * packet.time_base)
        self._begins = time if self._begins is None else self._begins
        since = time - self._begins
        is_its_turn = since < _BEGINNING_S or since % self._interval < _PIECE_S
        if not is_its_turn or self._seconds > _BEGINNING_S + _PIECES * _PIECE_S:
            return
        try:
            for frame in packet.decode():
                self._hear(frame)
        except av.error.FFmpegError:
            return

    def _hear(self, frame: av.AudioFrame) -> None:
        channels = frame.layout.nb_channels
        if self._channels not in (0, channels) or not frame.sample_rate:
            return
        if self._resampler is None:
            self._channels = channels
            self._resampler = av.AudioResampler("flt", frame.layout.name, media.SOUND_HZ)
        frame.pts = None
        for piece in self._resampler.resample(frame):
            samples = channels_of(piece)
            self._heard.append(np.clip(samples * 32767, -32767, 32767).astype(np.int16))
            self._seconds += samples.shape[1] / media.SOUND_HZ

    @property
    def samples(self) -> np.ndarray:
        """What was heard, (channels, n) float32, 16 kHz."""
        if not self._heard:
            return np.zeros((max(1, self._channels), 0), np.float32)
        return np.concatenate(self._heard, axis=1).astype(np.float32) / 32767

    def is_silent(self) -> bool:
        """Return True if the examined parts are silent."""
        return _level(self.samples).max(initial=0) < SILENT

    def mix(self) -> Mix:
        """Return how to bring its channels to one."""
        samples = self.samples
        names = tuple(channel.name for channel in self.stream.codec_context.layout.channels)
        if len(names) != len(samples):
            names = tuple("" for _ in samples)
        return mix_of(samples, names)


def channels_of(frame: av.AudioFrame) -> np.ndarray:
    """Return the samples (channels, n) of a frame in the format "flt"; PyAV crashes on planes of eight channels."""
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T


def choose(listeners: Sequence[Listener]) -> tuple[Listener, Mix]:
    """Return which of a video's sound tracks to take, and how its channels are mixed.

    In this order: one that is not silent, no commentary or description, one with voices, the original language, the one that
    its file calls its default, the first.
    """
    if len(listeners) == 1:
        return listeners[0], listeners[0].mix()
    mixes = [listener.mix() for listener in listeners]
    voices = [voice_fraction(mix.mono(listener.samples)[0]) for mix, listener in zip(mixes, listeners, strict=True)]
    regular = [v for v, listener in zip(voices, listeners, strict=True) if not _is_added(listener.stream)]
    enough = max(_SOME_VOICE, _NO_VOICE_TRACK * max(regular, default=0.0))

    def merits(number: int) -> tuple[bool | int, ...]:
        stream = listeners[number].stream
        flags = av.stream.Disposition
        return (
            not listeners[number].is_silent(),
            not _is_added(stream),
            voices[number] >= enough,
            bool(stream.disposition & flags.original) or stream.language in _ORIGINAL_LANGUAGES,
            not stream.disposition & flags.dub,
            bool(stream.disposition & flags.default),
            -number,
        )

    best = max(range(len(listeners)), key=merits)
    return listeners[best], mixes[best]


def _is_added(stream: av.AudioStream) -> bool:
    """Return True if a track is named as spoken over the sound (commentary), or as no speech at all."""
    flags = av.stream.Disposition
    marks = (
        flags.comment | flags.visual_impaired | flags.descriptions | flags.lyrics | flags.karaoke | flags.clean_effects
    )
    told = " ".join(str(stream.metadata.get(key, "")) for key in ("title", "handler_name", "name", "comment"))
    return bool(stream.disposition & marks) or stream.language in _NO_LANGUAGES or bool(_ADDED.search(told))


def mix_of(samples: np.ndarray, names: Sequence[str]) -> Mix:
    """Return how to mix channels of which samples (channels, n) are known; `names` are those of the channels ("FL", "FC", ...)."""
    count = len(samples)
    levels = _level(samples)
    if count == 1 or levels.max(initial=0) < SILENT:
        return _mean(count)
    loud = levels > max(SILENT, _LEAKS * levels.max())
    usable = [k for k in range(count) if loud[k] and names[k] not in _SURROUND_ONLY]
    if len(usable) == 1:
        return _only(usable[0], names)
    if not usable:
        return _mean(count)
    alike = np.corrcoef(samples[usable]) if samples.shape[1] > 1 else np.ones((len(usable), len(usable)))
    if count == 2:
        if alike[0, 1] > _ALIKE:
            return _mean(2)
        if alike[0, 1] < -_ALIKE:
            return Mix("second of 2 channels turned over", (0.5, -0.5))
    voices = np.array([voice_fraction(samples[k]) for k in usable])
    if voices.max() < _SOME_VOICE:
        # Perhaps what is common to both is in neither.
        return _mean(count)
    if "FC" in names and (centre := names.index("FC")) in usable:
        together = voice_fraction(samples[usable].mean(axis=0))
        if voices[usable.index(centre)] >= _CENTRE_SUFFICES * max(together, voices.max()):
            return _only(centre, names)
    speaking = [
        k
        for k, voice in zip(usable, voices, strict=True)
        if voice >= max(_SOME_VOICE, _NO_VOICE_CHANNEL * voices.max())
    ]
    if len(speaking) == 1:
        return _only(speaking[0], names)
    if len(speaking) == count == 2:
        return _mean(2)
    loudest = usable.index(max(speaking, key=lambda k: levels[k]))
    weights = np.zeros(count)
    for k in speaking:
        weights[k] = (-1 if alike[loudest, usable.index(k)] < -_ALIKE else 1) / len(speaking)
    return Mix(f"mean of channels {', '.join(str(k + 1) for k in speaking)} of {count}", tuple(weights.tolist()))


def _mean(count: int) -> Mix:
    return MONO if count == 1 else Mix(f"mean of {count} channels", (1 / count,) * count)


def _only(channel: int, names: Sequence[str]) -> Mix:
    name = "centre" if names[channel] == "FC" else f"channel {channel + 1}"
    return Mix(f"{name} of {len(names)}", tuple(float(k == channel) for k in range(len(names))))


def _level(samples: np.ndarray) -> np.ndarray:
    """Return the root mean squares (channels,) of samples (channels, n)."""
    return np.sqrt(np.mean(np.square(samples), axis=1)) if samples.shape[1] else np.zeros(len(samples))


def voice_fraction(samples: np.ndarray) -> float:
    """Return in which fraction of samples (n,), 16 kHz, a voice is heard: by the silero-vad of faster-whisper."""
    import onnxruntime

    if samples.size < _WINDOW:
        return 0.0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Only the weights are taken: importing the package would load its speech recogniser.
    folder = Path(importlib.util.find_spec("faster_whisper").origin).parent / "assets"
    session = onnxruntime.InferenceSession(folder / "silero_vad_v6.onnx", options, ["CPUExecutionProvider"])
    # Quiet sound is made as loud as speech usually is.
    level = float(_level(samples[None])[0])
    samples = np.clip(samples * (0.05 / max(level, 1e-5)), -1, 1)
    windows = samples[: samples.size // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    before = np.concatenate([np.zeros((1, _CONTEXT), np.float32), windows[:-1, -_CONTEXT:]])
    state = np.zeros((1, 1, 128), np.float32)
    heard = np.concatenate([before, windows], axis=1).astype(np.float32)
    voice, _, _ = session.run(None, {"input": heard, "h": state, "c": state})
    return float(np.mean(voice > 0.5))
