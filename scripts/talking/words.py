"""What is said, word by word.

Words come from Whisper (Radford et al., 2022) as WhisperX runs it, piece by piece between pauses (Bain et al.,
Interspeech 2023). The embedded model is Whisper tiny.en, with the times of its cross attention.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking import cli, media, tables, voice
from talking.intervals import Interval

# A word takes at least this long, in seconds; the recogniser's attention sometimes gives one no time at all.
_SHORTEST_WORD_S = 0.06


@dataclass
class Settings:
    """Settings of transcription."""

    model: str = cli.setting(
        "tiny_en",
        "recogniser: the packaged Whisper tiny.en, or the Whisper model in `weights`",
        choices=["tiny_en", "whisper"],
    )
    weights: str = cli.setting("", "folder of a Whisper model in CTranslate2 format, for model whisper")
    language: str = cli.setting("en", "language spoken, as a two-letter code; auto lets the recogniser decide")
    aligner: str = cli.setting(
        "cross_attention",
        "where the words' times come from: Whisper's own cross attention, or the wav2vec2 model in `aligner_weights`",
        choices=["cross_attention", "wav2vec2"],
    )
    aligner_weights: str = cli.setting(
        "",
        "wav2vec2 model of the language that recognises letters, for aligner wav2vec2: a folder in transformers' format, or "
        "the weight file of one of torchaudio's bundles",
    )
    batch: int = cli.setting(8, "pieces recognised at once", minimum=1)
    voice_threshold: float = cli.setting(0.5, "only sound whose voice probability reaches this is transcribed (0-1)")
    longest_piece_s: float = cli.setting(
        28.0, "pieces given to the recogniser are at most this long, in seconds (Whisper hears 30)"
    )


def transcribe(sound: str | Path, voices: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `transcript` of a `media/` wav: the words of the parts where the table `voice` hears somebody."""
    settings = settings or Settings()
    rows: list[dict] = []
    pieces = _pieces(voices, settings)
    if pieces:
        recognise = MODELS[settings.model](settings)
        voiced = voices["voice"].to_numpy() >= settings.voice_threshold
        with tqdm(total=len(pieces), desc="words", unit=" pieces") as progress:
            for first in range(0, len(pieces), settings.batch):
                batch = pieces[first : first + settings.batch]
                words = recognise([media.sound(sound, start, end) for start, end in batch])
                for (start, end), found in zip(batch, words, strict=True):
                    rows += _timed(found, start / media.FPS, end / media.FPS, voiced)
                progress.update(len(batch))
    return pd.DataFrame(rows) if rows else tables.empty("transcript")


def whisper(settings: Settings) -> Callable[[list[np.ndarray]], list[list[dict]]]:
    """Return a Whisper model as a function from pieces, samples (n,) each, to the words of each, timed within it.

    Raises InputError if the folders `weights` or `aligner_weights` hold no model.
    """
    # Loaded where it is needed: torch, transformers and pyannote.audio come with it.
    from talking import recognition

    is_packaged = settings.model == "tiny_en"
    return recognition.Recogniser(
        recognition.packaged() if is_packaged else Path(settings.weights),
        settings.language,
        settings.aligner_weights if settings.aligner == "wav2vec2" else None,
        on_gpu=not is_packaged and recognition.gpu_is_there(),
    )


MODELS = {"tiny_en": whisper, "whisper": whisper}


def _pieces(voices: pd.DataFrame, settings: Settings) -> list[Interval]:
    """Return stretches of speech in frames, joined over pauses up to the longest piece; one that is longer is cut where the voice is weakest."""
    longest = round(settings.longest_piece_s * media.FPS)
    probability = voices["voice"].to_numpy()
    out: list[Interval] = []
    for speech in voice.segments(voices, settings.voice_threshold, pause_s=0.3, pad_s=0.2):
        for start, end in _cut(speech, probability, longest):
            # A short pause is worth hearing across; after a long one a fresh piece keeps times exact.
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


def _timed(words: list[dict], start_s: float, end_s: float, voiced: np.ndarray) -> list[dict]:
    """Return a piece's words with times in the video: in order, none without length, none reaching into silence.

    A word that lies wholly in silence was made up by the recogniser and is left out.
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
    kept = []
    for word in out:
        first, last = int(word["start_s"] * media.FPS), int(np.ceil(word["end_s"] * media.FPS))
        heard = np.flatnonzero(voiced[first : max(last, first + 1)])
        near = voiced[max(first - 5, 0) : last + 5]
        if not near.any():
            continue
        if heard.size:
            word["start_s"] = max(word["start_s"], (first + heard[0]) / media.FPS)
            word["end_s"] = min(word["end_s"], (first + heard[-1] + 1) / media.FPS)
        word["end_s"] = max(word["end_s"], word["start_s"] + _SHORTEST_WORD_S)
        kept.append(word)
    return kept
