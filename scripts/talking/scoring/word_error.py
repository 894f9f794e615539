"""How many words are found, by whom and when they are said."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from talking.scoring.figures import ratio
from talking.scoring.truth import Truth
from talking.video import media

# Numbers are written in words or in digits.
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_DIGITS = {word: str(n) for n, word in enumerate(_NUMBERS.split())}
_DIGITS |= {word: str(n) for n, word in zip(range(20, 100, 10), _TENS.split(), strict=True)}


def score(truth: Truth, words: pd.DataFrame, matched: pd.DataFrame) -> dict[str, Any]:
    """Return the fraction of words given to the right person, or to nobody on screen if their speaker is not there.

    A word's true speakers are those of the true words (else turns) that share most time with it; where several people
    speak at once and the text leaves it open, each of them is right. A word that no true speech overlaps was made up.
    """
    if truth.words is not None:
        spoken = truth.words.rename(columns={"speaker": "person"})
    else:
        spoken = pd.DataFrame(truth.turns, columns=["start_s", "end_s", "person"]).assign(word=None)
    begin, end = spoken["start_s"].to_numpy(dtype=float), spoken["end_s"].to_numpy(dtype=float)
    person, text = spoken["person"].to_numpy(dtype=str), [_letters(t) for t in spoken["word"]]
    right, made_up, by_person = 0, 0, Counter()
    usual = matched.groupby("track")["person"].agg(lambda p: p.mode()[0]).to_dict()
    visible = {p: set(f) for p, f in truth.boxes.groupby("person")["frame"]}
    of_track = {t: dict(zip(r["frame"], r["person"], strict=True)) for t, r in matched.groupby("track")}
    for word in words.itertuples():
        common = np.minimum(end, word.end_s) - np.maximum(begin, word.start_s)
        near = np.flatnonzero(common > 0)
        if near.size == 0:
            made_up += 1
            continue
        near = near[common[near] >= 0.5 * common[near].max()]
        telling = [i for i in near if _letters(word.word) in text[i].split()] if truth.words is not None else []
        speakers = {person[i] for i in (telling or near)}
        span = range(
            int(word.start_s * media.FPS), max(int(np.ceil(word.end_s * media.FPS)), int(word.start_s * media.FPS) + 1)
        )
        said_by = None
        if pd.notna(word.track):
            seen = Counter(p for f in span if (p := of_track.get(int(word.track), {}).get(f)) is not None)
            said_by = seen.most_common(1)[0][0] if seen else usual.get(int(word.track), "nobody")
        answers = {p if sum(f in visible.get(p, ()) for f in span) * 2 >= len(span) else None for p in speakers}
        right += said_by in answers
        by_person[said_by in answers, "on screen" if said_by else "off screen"] += 1
    known = len(words) - made_up
    return {
        "words": len(words),
        "true_words": len(spoken) if truth.words is not None else None,
        "in_true_speech": known,
        "made_up": made_up,
        "speaker_accuracy": ratio(right, known),
        "wrong_person_on_screen": by_person[False, "on screen"],
        "wrongly_off_screen": by_person[False, "off screen"],
        "word_error": _word_error(truth.words, words) if truth.words is not None else None,
    }


def _word_error(true: pd.DataFrame, found: pd.DataFrame) -> float | None:
    """Return substituted, inserted and missed words over the true ones (word error rate), without case and punctuation.

    Words are in order of time, of all voices together. An apostrophe or a hyphen does not split a word; English numbers below
    twenty, and tens, are the same in words and in digits.
    """
    reference, written = (
        [_DIGITS.get(part, part) for word in rows.sort_values("start_s")["word"] for part in _letters(word).split()]
        for rows in (true, found)
    )
    # Here, as it takes seconds to load and few scores need it.
    from nltk.metrics.distance import edit_distance

    return ratio(edit_distance(reference, written), len(reference))


def _letters(text: object) -> str:
    kept = "".join(c if c.isalnum() or c.isspace() else "" for c in str(text or "").lower())
    return " ".join(kept.split())
