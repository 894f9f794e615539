"""Who on screen says each word.

A word is weighed with the speaking scores over its frames and over its utterance. These scores already include the
diarization (`speaking/fusion.py`), so it is not used again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking.core import cli, tables
from talking.speech.turns import Turn
from talking.video import media

# One very sure frame should not outvote the rest of a word.
_MOST = 3.0


@dataclass
class Settings:
    """Settings of the attribution of words to people."""

    utterance_weight: float = cli.setting(
        0.6, "weight of the speaking scores over the whole utterance against those over the word alone (0-1)"
    )
    utterance_pause_s: float = cli.setting(
        0.6, "pause between two words above which a new utterance begins, in seconds"
    )
    nearest_turn_s: float = cli.setting(
        0.5, "a word outside every turn gets the speaker of a turn within so many seconds"
    )


def attribute(
    transcript: pd.DataFrame,
    speakers: Sequence[Turn],
    speaking: pd.DataFrame,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Return the table `words`: the table `transcript` with the speaker turn and the face track that each word belongs to.

    The track is the one with the largest mean smoothed score of the table `speaking`, over the word's frames and over
    those of its utterance (successive words of one speaker without a long pause or the end of a sentence between
    them), because a single short word is often mistimed. If that mean is not positive, the word comes from off screen.
    A track that is not on screen for half of the word has no part in it.
    """
    settings = settings or Settings()
    words = transcript.to_dict("records")
    if not words:
        return tables.empty("words")
    evidence = _Evidence(speaking)
    speaker = _Speakers(speakers, settings.nearest_turn_s)
    labels = [speaker(word["start_s"], word["end_s"]) for word in words]
    out = []
    for group in _utterances(words, labels, settings.utterance_pause_s):
        own = [evidence(words[i]["start_s"], words[i]["end_s"]) for i in group]
        together: dict[int, list[float]] = {}
        for track, value in (pair for found in own for pair in found.items()):
            together.setdefault(track, []).append(value)
        for i, found in zip(group, own, strict=True):
            weight = settings.utterance_weight
            total = {
                track: (1 - weight) * value + weight * float(np.mean(together[track])) for track, value in found.items()
            }
            best = max(total, key=total.get, default=None)
            if best is not None and total[best] <= 0:
                best = None
            said_by = "off screen" if best is None else f"track {best}"
            out.append({**words[i], "speaker": labels[i], "track": best, "said_by": said_by})
    return pd.DataFrame(out).astype({"track": "Int32"})


class _Evidence:
    """Mean smoothed scores of the tracks that are on screen for at least half of a period."""

    def __init__(self, speaking: pd.DataFrame) -> None:
        rows = speaking.sort_values("frame", kind="stable")
        self._frame, self._track = rows["frame"].to_numpy(), rows["track"].to_numpy()
        self._score = rows["score_smooth"].to_numpy().clip(-_MOST, _MOST)

    def __call__(self, start_s: float, end_s: float) -> dict[int, float]:
        first = int(start_s * media.FPS)
        end = max(int(np.ceil(end_s * media.FPS)), first + 1)
        near = slice(*np.searchsorted(self._frame, [first, end]))
        names, at = np.unique(self._track[near], return_inverse=True)
        sums, counts = np.bincount(at, self._score[near]), np.bincount(at)
        return {int(n): s / c for n, s, c in zip(names, sums, counts, strict=True) if 2 * c >= end - first}


class _Speakers:
    """The speaker of a segment of time: that of the turn that covers most of it, else of the nearest within `nearest_s`, else ""."""

    def __init__(self, turns: Sequence[Turn], nearest_s: float) -> None:
        self._turns = sorted(turns)
        self._start, self._end = (np.array([getattr(t, edge) for t in self._turns]) for edge in ("start_s", "end_s"))
        # Ends that never fall, so that a search finds the first turn that is not over.
        self._last_end = np.maximum.accumulate(self._end) if self._turns else self._end
        self._nearest_s = nearest_s

    def __call__(self, start_s: float, end_s: float) -> str:
        first = np.searchsorted(self._last_end, start_s - self._nearest_s, side="right")
        end = np.searchsorted(self._start, end_s + self._nearest_s, side="left")
        if first >= end:
            return ""
        # Seconds in common or, negative, apart.
        common = np.minimum(self._end[first:end], end_s) - np.maximum(self._start[first:end], start_s)
        best = int(common.argmax())
        return self._turns[first + best].speaker if common[best] > -self._nearest_s else ""


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
