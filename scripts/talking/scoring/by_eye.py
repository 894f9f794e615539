"""Labels scored against a truth written by looking and listening: right clips, people, who talks, words.

Such a truth has no boxes. It is a JSON object of videos; each has `clips` ([start, end, participants] in frames at 25 fps), and as far
as known `talks` (for each participant from the left the seconds in which the person speaks), `not_people` (objects with `frames`
and `what`: things that look like faces), `language`, and `words` or `captions` (phrases that are said, among others).
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from talking.core import boxes, intervals
from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.scoring import short_turns
from talking.scoring.results import Labels
from talking.speech.turns import Turn
from talking.video import media

# A right clip is found if one kept clip covers so much of it; a kept clip is right if so much of it lies in a right clip.
_FOUND = 0.7
_INSIDE = 0.7
# Words of a phrase that are found in their order, of all its words, from which the phrase counts as heard.
_HEARD = 0.6
# Successive repeats of a phrase of up to so many words are looked for.
_LOOP_WORDS = 8


@dataclass
class SeenTruth:
    """Truth of a video written by a person; None where unknown.

    `clips`: (start, end, participants) of right clips; `talks`: for each participant from the left intervals (s) of speech;
    `not_people`: (start, end) and what looks like a face there; `phrases`: words of phrases that are said.
    """

    clips: list[tuple[int, int, int]]
    talks: list[list[tuple[float, float]]] | None = None
    not_people: list[tuple[Interval, str]] = field(default_factory=list)
    language: str | None = None
    phrases: list[list[str]] = field(default_factory=list)


def read_seen(path: Path, video: str) -> SeenTruth:
    """Read a video's truth; raises InputError that names the file if it cannot be read or lacks the video."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        entry = content[video]
        return SeenTruth(
            clips=[(int(a), int(b), int(n)) for a, b, n in entry["clips"]],
            talks=[[(float(a), float(b)) for a, b in person] for person in entry["talks"]]
            if "talks" in entry
            else None,
            not_people=[
                ((int(a), int(b)), str(e["what"])) for e in entry.get("not_people", []) for a, b in [e["frames"]]
            ],
            language=entry.get("language"),
            phrases=_phrases(entry.get("words", "")) + _phrases(entry.get("captions", "")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} has no truth of {video} that can be read ({error!r}).") from error


def score(truth: SeenTruth, labels: Labels) -> dict[str, Any]:
    """Return figures of clips, people, speaking and words as a nested dict; None where a table or the truth is missing."""
    return {
        "clips": _clips(truth, labels.clips) if labels.clips is not None else None,
        "people": _people(truth, labels) if labels.people is not None else None,
        "speaking": _speaking(truth, labels) if truth.talks and labels.speaking is not None else None,
        "words": _words(truth, labels.words) if labels.words is not None else None,
    }


def _phrases(text: str) -> list[list[str]]:
    """Return the words of each phrase of a note such as "among others: one phrase (twice), another / a third"."""
    spoken = re.sub(r"\([^)]*\)", "", text.rpartition(":")[2])
    return [words for phrase in re.split(r"[,/]", spoken) if (words := _spelt(phrase))]


def _spelt(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _clips(truth: SeenTruth, clips: pd.DataFrame) -> dict[str, Any]:
    kept = clips[clips["kept"]]
    spans = [
        (int(a), int(b), int(n))
        for a, b, n in zip(kept["start_frame"], kept["end_frame"], kept["num_people"], strict=True)
    ]

    def common(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
        return max(0, min(one[1], other[1]) - max(one[0], other[0])) if one[2] == other[2] else 0

    covered = [max((common(right, s) for s in spans), default=0) / (right[1] - right[0]) for right in truth.clips]
    wrong = [s for s in spans if not any(common(s, r) >= _INSIDE * (s[1] - s[0]) for r in truth.clips)]
    return {
        "right": len(truth.clips),
        "found": sum(share >= _FOUND for share in covered),
        "kept": len(spans),
        "kept_wrong": len(wrong),
        "right_s": sum(b - a for a, b, _ in truth.clips) / media.FPS,
        "covered_s": sum(c * (b - a) for c, (a, b, _) in zip(covered, truth.clips, strict=True)) / media.FPS,
        "missed": [list(r) for r, share in zip(truth.clips, covered, strict=True) if share < _FOUND],
        "wrong": [list(s) for s in wrong],
        "rejected_by": sorted({reason for reason in clips.loc[~clips["kept"], "rejected_by"] if reason}),
    }


def _people(truth: SeenTruth, labels: Labels) -> dict[str, Any]:
    """Return how many participants the right clips have, and how many too many are found in them, in person-frames."""
    taking_part = labels.people[labels.people["role"] == "participant"]
    shown = {
        int(t): int(p) for p, tracks in zip(taking_part["person"], taking_part["tracks"], strict=True) for t in tracks
    }
    seen = labels.tracks[labels.tracks["track"].isin(list(shown))]
    found = seen.assign(person=seen["track"].map(shown)).groupby("frame")["person"].nunique()
    false = missing = frames = 0
    for start, end, participants in truth.clips:
        counts = found.reindex(range(start, end), fill_value=0).to_numpy()
        frames += participants * (end - start)
        false += int(np.maximum(counts - participants, 0).sum())
        missing += int(np.maximum(participants - counts, 0).sum())
    return {
        "person_frames": frames,
        "false_person_frames": false,
        "missing_person_frames": missing,
        "not_faces": int((labels.people["role"] == "not_a_face").sum()),
        "lookalikes": [f"{a}-{b} {what}" for (a, b), what in truth.not_people],
    }


def _speaking(truth: SeenTruth, labels: Labels) -> dict[str, Any]:
    """Return the figures of the participants' speaking labels, from the left, over the frames in which they are seen."""
    shown = labels.tracks.assign(area=boxes.area(labels.tracks[["x1", "y1", "x2", "y2"]].to_numpy()))
    tracks = _participants(shown, len(truth.talks), labels.people)
    said = labels.speaking.merge(tracks, on="track")
    time = (said["frame"].to_numpy() + 0.5) / media.FPS
    right = np.array([any(a <= t < b for a, b in truth.talks[p]) for t, p in zip(time, said["place"], strict=True)])
    decided = said["speaking"].to_numpy(dtype=bool)
    confidence = said["speaking_confidence"].to_numpy(dtype=float)
    both = 0 < right.sum() < right.size
    spoken = [Turn(a, b, str(place)) for place, person in enumerate(truth.talks) for a, b in person]
    return {
        "short_turns": short_turns.recall(spoken, said.assign(person=said["place"].astype(str))),
        "person_frames": len(said),
        "accuracy": float((decided == right).mean()) if right.size else None,
        "average_precision": float(average_precision_score(right, said["score_smooth"])) if both else None,
        "accuracy_at_0": float(((said["score_smooth"] > 0) == right).mean()) if right.size else None,
        "confidence": float(confidence.mean()) if right.size else None,
        "confidence_error": float(abs(confidence.mean() - (decided == right).mean())) if right.size else None,
    }


def _participants(shown: pd.DataFrame, count: int, people: pd.DataFrame | None) -> pd.DataFrame:
    """Return a row track, place for the tracks of the `count` people who show most, places counted from the left."""
    person_of = {int(t): int(t) for t in shown["track"].unique()}
    if people is not None:
        person_of = {int(t): int(p) for p, ts in zip(people["person"], people["tracks"], strict=True) for t in ts}
    shown = shown.assign(person=shown["track"].map(person_of), middle=(shown["x1"] + shown["x2"]) / 2)
    by_person = shown.groupby("person").agg(weight=("area", "sum"), middle=("middle", "median"))
    chosen = by_person.nlargest(count, "weight").sort_values("middle")
    place = {person: i for i, person in enumerate(chosen.index)}
    rows = [(track, place[person]) for track, person in person_of.items() if person in place]
    return pd.DataFrame(rows, columns=["track", "place"])


def _words(truth: SeenTruth, words: pd.DataFrame) -> dict[str, Any]:
    """Return how many of the known phrases are written down, and how often a phrase repeats itself in a row."""
    written = [w for word in words["word"] for w in _spelt(str(word))]
    heard = [_in_order(phrase, written) / len(phrase) for phrase in truth.phrases]
    total = sum(map(len, truth.phrases))
    return {
        "words": len(words),
        "phrases": len(heard),
        "phrases_heard": sum(share >= _HEARD for share in heard),
        "phrase_words_heard": sum(s * len(p) for s, p in zip(heard, truth.phrases, strict=True)) / total
        if total
        else None,
        "longest_loop": longest_loop(written),
        "language": truth.language,
    }


def _in_order(phrase: list[str], written: list[str]) -> int:
    """Return the longest common subsequence of a phrase with any part of the transcript twice as long as it."""
    best, width = 0, 2 * len(phrase)
    for start in range(0, max(1, len(written) - len(phrase) // 2)):
        row = np.zeros(len(phrase) + 1, dtype=int)
        for word in written[start : start + width]:
            match = np.where([w == word for w in phrase], row[:-1] + 1, 0)
            row[1:] = np.maximum.accumulate(np.maximum(row[1:], match))
        best = max(best, int(row[-1]))
    return best


def longest_loop(written: list[str]) -> int:
    """Return the most times that one phrase of up to eight words follows itself; 1 if none does.

    A single word counts from four times on: people do say "no, no, no".
    """
    best = 1
    for length in range(1, _LOOP_WORDS + 1):
        same = np.array([written[i] == written[i + length] for i in range(len(written) - length)], dtype=bool)
        for start, end in intervals.from_mask(same):
            times = 1 + (end - start) // length
            best = max(best, times if length > 1 or times >= 4 else 1)
    return best
