"""Words with times, and pieces of speech that were not understood.

Words come from Whisper (Radford et al., 2022), piece by piece between pauses. A piece that Whisper did not understand gives no
words but a row that says why.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.core import cli, tables
from talking.core.intervals import Interval
from talking.sound import voice
from talking.speech import hallucinations
from talking.video import media

if TYPE_CHECKING:
    from talking.speech.recognition import Heard

# A word takes at least this long, in seconds; the recogniser's attention sometimes gives one no time at all.
_SHORTEST_WORD_S = 0.06
# Pieces whose languages are found together: a quarter of an hour of talk.
_BLOCK = 32
# The unread end of a piece becomes a separate piece if so many seconds of voice are in it.
_WORTH_HEARING_S = 0.6
# Below this probability, another language is as likely.
_LANGUAGE_KNOWN = 0.7


@dataclass
class Settings:
    """Settings of transcription."""

    model: str = cli.setting(
        "whisper_base",
        "speech recogniser: the packaged Whisper base (about 100 languages) or tiny.en (English), or the Whisper model in `weights`",
        choices=["whisper_base", "tiny_en", "whisper"],
    )
    weights: str = cli.setting("", "folder of a Whisper model in CTranslate2 format, for model whisper")
    language: str = cli.setting("", "language spoken, as a two-letter code; empty: detected for each piece of speech")
    aligner: str = cli.setting(
        "cross_attention",
        "source of the words' times: Whisper's cross attention, or the wav2vec2 model in `aligner_weights`",
        choices=["cross_attention", "wav2vec2"],
    )
    aligner_weights: str = cli.setting(
        "",
        "wav2vec2 model of the language that recognises letters, for aligner wav2vec2: a folder in transformers' format, or "
        "the weight file of one of torchaudio's bundles",
    )
    batch: int = cli.setting(8, "pieces recognised at once", minimum=1)
    beam: int = cli.setting(5, "beam width of the search", minimum=1)
    temperatures: list[float] = cli.setting(
        [0.4, 0.8],
        "a piece whose words repeat themselves or are improbable is recognised again at these temperatures; each costs as much as the first pass",
    )
    voice_threshold: float = cli.setting(
        0.5, "voice probability from which there is speech for sure (0-1); words must lie there", minimum=0, maximum=1
    )
    faint_voice_threshold: float = cli.setting(
        0.2,
        "voice probability from which sound is transcribed (0-1); lower, as a voice under music is faint",
        minimum=0,
        maximum=1,
    )
    min_log_probability: float = cli.setting(
        -0.8,
        "mean log probability of a piece's words, plus that of its language, below which it counts as not understood",
    )
    min_faint_log_probability: float = cli.setting(
        -0.6, "the same for a piece in which the voice is mostly faint, where the recogniser invents words more often"
    )
    longest_piece_s: float = cli.setting(28.0, "longest piece given to the recogniser, in seconds (Whisper takes 30)")


def transcribe(
    sound: str | Path, voices: pd.DataFrame, settings: Settings | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `transcript` and `pieces` of a `media/` wav, of the parts with a voice by the table `voice`."""
    settings = settings or Settings()
    said: list[dict] = []
    heard: list[dict] = []
    pieces = _pieces(voices, settings)
    if pieces:
        recognise = MODELS[settings.model](settings)
        probability = voices["voice"].to_numpy()
        with tqdm(total=len(pieces), desc="words", unit=" pieces") as progress:
            while pieces:
                block, pieces = pieces[:_BLOCK], pieces[_BLOCK:]
                rests = []
                found = recognise([media.sound(sound, start, end) for start, end in block])
                for (start, end), one in zip(block, found, strict=True):
                    until = _heard_until(start, end, one.end_s, probability, settings)
                    if until < end:
                        rests.append((until, end))
                    row, words = _judged(one, start, until, probability, settings)
                    heard.append(row)
                    said += words
                progress.total += len(rests)
                progress.update(len(block))
                pieces = rests + pieces
    return (
        pd.DataFrame(sorted(said, key=_start)) if said else tables.empty("transcript"),
        pd.DataFrame(sorted(heard, key=_start)) if heard else tables.empty("pieces"),
    )


def whisper(settings: Settings) -> "Callable[[Sequence[np.ndarray]], list[Heard]]":
    """Return a Whisper model as a function from pieces, samples (n,) each, to the words of each, timed within it.

    Raises InputError if the folders `weights` or `aligner_weights` hold no model.
    """
    # Imported here: it takes a second.
    from talking.speech import recognition

    is_packaged = settings.model != "whisper"
    on_gpu = not is_packaged and recognition.gpu_is_there()
    aligner = None
    if settings.aligner == "wav2vec2":
        # Imported here: torch, transformers and pyannote.audio come with it, which takes ten seconds.
        from talking.speech import alignment

        def aligner(language: str) -> recognition.Aligner:
            return alignment.wav2vec2(Path(settings.aligner_weights), language, "cuda" if on_gpu else "cpu")

    return recognition.Recogniser(
        recognition.packaged(settings.model) if is_packaged else Path(settings.weights),
        settings.language,
        aligner,
        on_gpu,
        settings.beam,
        settings.temperatures,
        settings.batch,
    )


MODELS = {"whisper_base": whisper, "tiny_en": whisper, "whisper": whisper}


def _start(row: dict) -> float:
    return row["start_s"]


def _heard_until(start: int, end: int, heard_s: float, probability: np.ndarray, settings: Settings) -> int:
    """Return the frame up to which frames [start, end) were heard, of which `heard_s` seconds were written down.

    A rest with hardly a voice is not read again; nor is one where nothing was heard before it.
    """
    until = start + round(heard_s * media.FPS)
    voiced = (probability[until:end] >= settings.voice_threshold).sum()
    return until if until > start + media.FPS and voiced >= _WORTH_HEARING_S * media.FPS else end


def _judged(
    heard: "Heard", start: int, end: int, probability: np.ndarray, settings: Settings
) -> tuple[dict, list[dict]]:
    """Return the row of `pieces` of frames [start, end), and the piece's words with times in the video."""
    words = _timed(heard.words, start / media.FPS, end / media.FPS, probability, settings)
    impossible = hallucinations.impossible_times(words)
    voice_level = float(probability[start:end].mean())
    reason = _reason(heard, voice_level, float(impossible.mean()) if words else 0.0, settings)
    if not reason:
        words = list(itertools.compress(words, ~impossible))
        reason = "" if words else "no_speech"
    row = {
        "start_s": start / media.FPS,
        "end_s": end / media.FPS,
        "voice": voice_level,
        "language": heard.language,
        "language_probability": heard.language_probability,
        "log_probability": heard.log_probability,
        "no_speech_probability": heard.no_speech,
        "compression_ratio": heard.compression_ratio,
        "temperature": heard.temperature,
        "understood": not reason,
        "reason": reason,
    }
    return row, [] if reason else words


def _reason(heard: "Heard", voice_level: float, impossible: float, settings: Settings) -> str:
    """Return why a piece was not understood; empty if it was. `impossible` is the fraction of words at impossible times."""
    is_faint = voice_level < settings.voice_threshold
    threshold = settings.min_faint_log_probability if is_faint else settings.min_log_probability
    if not any(map(hallucinations.plain, heard.text.split())):
        return "no_speech"
    if hallucinations.is_repetitive(heard.text, heard.text.split()):
        return "repetition"
    # The words are right if the language is and they are right in it.
    if heard.log_probability + math.log(max(heard.language_probability, 1e-9)) < threshold:
        return "other_language" if heard.language_probability < _LANGUAGE_KNOWN else "unclear"
    if hallucinations.is_credit(heard.text) or (is_faint and hallucinations.is_farewell(heard.text)):
        return "phrase"
    if not heard.words:
        return "repetition"
    return "timing" if impossible > 0.5 else ""


def _pieces(voices: pd.DataFrame, settings: Settings) -> list[Interval]:
    """Return segments of speech in frames, joined over pauses up to the longest piece; one that is longer is cut where the voice is weakest."""
    longest = round(settings.longest_piece_s * media.FPS)
    probability = voices["voice"].to_numpy()
    out: list[Interval] = []
    for speech in voice.segments(voices, settings.faint_voice_threshold, pause_s=0.3, pad_s=0.2):
        for start, end in _cut(speech, probability, longest):
            # Pieces span short pauses; after a long one a new piece keeps times exact.
            if out and start - out[-1][1] < media.FPS and end - out[-1][0] <= longest:
                out[-1] = (out[-1][0], end)
            else:
                out.append((start, end))
    return out


def _cut(speech: Interval, probability: np.ndarray, longest: int) -> Iterator[Interval]:
    start, end = speech
    while end - start > longest:
        half = start + longest // 2
        at = half + int(np.argmin(probability[half : start + longest]))
        yield start, at
        start = at
    yield start, end


def _timed(words: list[dict], start_s: float, end_s: float, probability: np.ndarray, settings: Settings) -> list[dict]:
    """Return a piece's words with times in the video: in order, none without length, none reaching into silence.

    A word that lies wholly in silence is an invention of the recogniser and is left out. `probability` (frames,) is that of a voice.
    """
    out: list[dict] = []
    for word in words:
        if not word["word"]:
            continue
        begin = min(max(word["start_s"] + start_s, out[-1]["end_s"] if out else start_s), end_s)
        finish = min(max(word["end_s"] + start_s, begin), end_s)
        if finish - begin < _SHORTEST_WORD_S and out and out[-1]["end_s"] == begin:
            # The time of two words was given to the first: share it by their letters.
            begin, letters = out[-1]["start_s"], len(out[-1]["word"])
            middle = begin + (finish - begin) * letters / (letters + len(word["word"]))
            out[-1]["end_s"], begin = middle, middle
        out.append({**word, "start_s": begin, "end_s": finish})
    voiced, faint = (probability >= t for t in (settings.voice_threshold, settings.faint_voice_threshold))
    kept = []
    for word in out:
        first, last = int(word["start_s"] * media.FPS), int(np.ceil(word["end_s"] * media.FPS))
        heard = np.flatnonzero(voiced[first : max(last, first + 1)])
        near = slice(max(first - 5, 0), last + 5)
        if not faint[near].any():
            continue
        if heard.size:
            word["start_s"] = max(word["start_s"], (first + heard[0]) / media.FPS)
            word["end_s"] = min(word["end_s"], (first + heard[-1] + 1) / media.FPS)
        word["end_s"] = max(word["end_s"], word["start_s"] + _SHORTEST_WORD_S)
        kept.append(word)
    return kept
