"""The page on how true the labels are, written from what `score_labels` printed."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from talking.errors import InputError

_INTRODUCTION = Path(__file__).with_name("accuracy_page.md")
_NONE = "–"


def page(scores: Path) -> str:
    """Return the page, Markdown, from the files `{model}/{video}.json` below `scores`, printed by `score_labels --model`.

    Raises InputError if there is none, or one that cannot be read.
    """
    by_model = _read(scores)
    parts = [_INTRODUCTION.read_text(encoding="utf-8").rstrip()]
    for model, videos in by_model.items():
        parts.append(f"## Active speakers: `{model}`")
        parts.append(_table(_SPEAKING, (_speaking(name, d) for name, d in videos.items())))
        parts.append(_by_kind(videos.values()))
        parts.append(_ingredients(videos.values()))
        parts.append(_calibration(videos.values()))
    videos = next(iter(by_model.values()))
    parts += ["## Faces, identities, cuts, clips", _table(_FACES, (_faces(name, d) for name, d in videos.items()))]
    parts += ["## Turns and words", _table(_TURNS, (_turns(name, d) for name, d in videos.items()))]
    return "\n\n".join(parts) + "\n"


def _read(scores: Path) -> dict[str, dict[str, dict]]:
    found: dict[str, dict[str, dict]] = {}
    for file in sorted(scores.glob("*/*.json")):
        try:
            found.setdefault(file.parent.name, {})[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{file} holds no figures ({error}); print them anew with score_labels.") from error
    if not found:
        raise InputError(f"{scores} has no MODEL/VIDEO.json; print figures there with score_labels --model MODEL.")
    return found


_SPEAKING = (
    "film",
    "seconds",
    "average precision",
    "ROC AUC",
    "accuracy at 0",
    "F1 at 0",
    "accuracy",
    "calibration error",
)
_FACES = (
    "film",
    "face recall",
    "precision",
    "swaps",
    "people true/found",
    "purity",
    "completeness",
    "cuts",
    "right clips",
    "wrong",
)
_TURNS = ("film", "DER, 0.25 s each side", "DER, no collar", "missed s", "false alarm s", "confusion s", "speech s", "words", "word's speaker")  # fmt: skip


def _speaking(name: str, d: dict) -> list[Any]:
    speaking = d["speaking"]
    smooth = speaking["score_smooth"]
    figures = [smooth[k] for k in ("average_precision", "roc_auc", "accuracy_at_0", "f1_at_0")]
    return [
        name,
        d["frames"] // 25,
        *figures,
        speaking["accuracy"],
        speaking["calibration"]["expected_calibration_error"],
    ]


def _faces(name: str, d: dict) -> list[Any]:
    faces, who, cuts, clips = d["faces"], d["identities"] or {}, d["cuts"] or {}, d["clips"] or {}
    people = f"{who['people_true']}/{who['people_found']}" if who else None
    cut = (
        f"{cuts['within_a_frame']} of {cuts['true']}, {cuts['found'] - cuts['within_a_frame']} made up"
        if cuts
        else None
    )
    clip = f"{clips['found']} of {clips['right']}" if clips else None
    return [name, faces["recall"], faces["precision"], faces["id_swaps"], people, who.get("purity"), who.get("completeness"), cut, clip, clips.get("kept_wrong")]  # fmt: skip


def _turns(name: str, d: dict) -> list[Any]:
    heard, words = d["diarization"], d["words"] or {}
    with_collar, none = heard["collar_0.25_each_side"], heard["no_collar"]
    parts = [none[k] for k in ("missed_s", "false_alarm_s", "confusion_s", "speech_s")]
    return [name, with_collar["error"], none["error"], *parts, words.get("words"), words.get("speaker_accuracy")]


def _by_kind(videos: Iterable[dict]) -> str:
    """Return accuracy by what is hard in a shot, over all films; a shot with two cases counts for the pair."""
    right: dict[str, list[float]] = {}
    for shot in (shot for d in videos for shot in d["shots"] or []):
        if shot["accuracy"] is not None:
            sums = right.setdefault(shot["hard"] or "ordinary", [0.0, 0.0])
            sums[0] += shot["accuracy"] * shot["person_frames"]
            sums[1] += shot["person_frames"]
    rows = ([kind, int(n), share / n] for kind, (share, n) in sorted(right.items()))
    return _table(("shots", "person-frames", "accuracy"), rows)


def _ingredients(videos: Iterable[dict]) -> str:
    """Return the mean over films of accuracy and average precision with each ingredient left out."""
    each = [d["ingredients"] for d in videos if "ingredients" in d]
    names = list(each[0]) if each else []

    def mean(name: str, figure: str) -> float:
        return sum(d[name][figure] for d in each) / len(each)

    rows = ([name, mean(name, "accuracy"), mean(name, "average_precision")] for name in names)
    return _table(("decided from", "accuracy", "average precision"), rows)


def _calibration(videos: Iterable[dict]) -> str:
    """Return how often decisions of a stated confidence are right, over all films."""
    sums: dict[int, list[float]] = {}
    for part in (part for d in videos for part in d["speaking"]["calibration"]["bins"]):
        into = sums.setdefault(min(int(part["confidence"] * 10), 9), [0.0, 0.0, 0.0])
        for k, value in enumerate((part["confidence"], part["right"], 1)):
            into[k] += value * part["person_frames"]
    rows = (
        [f"{k / 10:.1f}–{(k + 1) / 10:.1f}", said / n, right / n, int(n)]
        for k, (said, right, n) in sorted(sums.items())
    )
    return _table(("stated confidence", "mean", "right", "person-frames"), rows)


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    header = list(header)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join(lines + [f"| {' | '.join(map(_text, row))} |" for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return _NONE
    return f"{value:.3f}" if isinstance(value, float) else str(value)
