"""The page on how true the labels are, written from what `score_labels` printed."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from talking.core.atomic import atomic_write
from talking.core.errors import InputError

_INTRODUCTION = Path(__file__).with_name("accuracy_page.md")
# Measured on labels that cannot be published, in prose and tables.
_REAL_BY_MODEL = Path(__file__).with_name("accuracy_real.md")
_NONE = "–"
_FEW = 50


def page(
    scores: Path, turns: Iterable[Path] = (), poses: Iterable[Path] = (), picture: str = "", real: Path | None = None
) -> str:
    """Return the page, Markdown, from the files `{model}/{video}.json` below `scores`, printed by `score_labels --model`.

    `turns` and `poses` are files printed by `score_turns` and `score_poses`, `picture` the calibration curve's place seen from the
    page, `real` a folder like `scores` of files printed by `score_labels --seen`. Raises InputError if there is none, or one that
    cannot be read.
    """
    by_model = _read(scores)
    parts = [_INTRODUCTION.read_text(encoding="utf-8").rstrip()]
    for model, videos in (_read(real) if real else {}).items():
        parts.append(f"## Real videos: `{model}`")
        parts.append(_table(_REAL, (_real(name, d) for name, d in videos.items())))
    if real:
        parts += [_REAL_UNITS, _REAL_BY_MODEL.read_text(encoding="utf-8").rstrip()]
    if picture:
        parts.append(f"![How often decisions of a stated confidence are right, for each model]({picture})")
    for model, videos in by_model.items():
        parts.append(f"## Active speakers: `{model}`")
        parts.append(_table(_SPEAKING, (_speaking(name, d) for name, d in videos.items())))
        parts.append(_by_kind(videos.values()))
        parts.append(_ingredients(videos.values()))
        parts.append(_calibration(videos.values()))
    # Faces, turns and words hardly depend on the active-speaker model: those of the model with most scored videos are shown.
    videos = max(by_model.values(), key=len)
    parts += ["## Faces, identities, cuts, clips", _table(_FACES, (_faces(name, d) for name, d in videos.items()))]
    parts += ["## Turns and words", _table(_TURNS, (_turns(name, d) for name, d in videos.items())), _TURN_UNITS]
    if of_sounds := [_json(file) for file in turns]:
        parts += ["## Turns on recordings of others", _table(_SOUNDS, (r for d in of_sounds for r in _sounds(d)))]
    if of_pictures := [_json(file) for file in poses]:
        parts += ["## Poses on annotated pictures", _table(_POSES, map(_poses, of_pictures)), _POSE_UNITS]
    return "\n\n".join(parts) + "\n"


def _read(scores: Path) -> dict[str, dict[str, dict]]:
    found: dict[str, dict[str, dict]] = {}
    for file in sorted(scores.glob("*/*.json")):
        found.setdefault(file.parent.name, {})[file.stem] = _json(file)
    if not found:
        raise InputError(f"{scores} has no MODEL/VIDEO.json; print figures there with score_labels --model MODEL.")
    return found


def _json(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} holds no figures ({error}); print them again.") from error


_SPEAKING = (
    "video",
    "seconds",
    "average precision",
    "ROC AUC",
    "accuracy at 0",
    "F1 at 0",
    "accuracy",
    "calibration error",
)
_REAL = (
    "video",
    "right clips",
    "wrong",
    "false person-frames",
    "missing",
    "of",
    "speaking accuracy",
    "average precision",
    "confidence off by",
    "phrases heard",
    "longest loop",
)
_REAL_UNITS = (
    "A right clip is found if one kept clip with as many people covers 70 % of it. A kept clip is wrong if 70 % of it lies in no right clip.\n"
    "A false person-frame is one participant too many in a frame of a right clip, a missing one is one too few. A phrase of a partial\n"
    "transcript counts as heard if 60 % of its words are found in order. The longest loop is how often a phrase follows itself."
)
_FACES = (
    "video",
    "face recall",
    "precision",
    "false people",
    "identity switches",
    "people true/found",
    "purity",
    "completeness",
    "cuts",
    "right clips",
    "wrong",
)
_TURNS = ("video", "DER, 0.25 s each side", "DER, no collar", "missed s", "false alarm s", "confusion s", "speech s", "short turns", "words", "word error", "word's speaker")  # fmt: skip
_TURN_UNITS = (
    "A short turn lasts less than a second. It counts if its person is seen for half of it, and is found if half of that is labelled as\n"
    "speaking. Word error: substituted, inserted and missed words divided by true words, without case and punctuation."
)

_SOUNDS = ("model", "people given", "recording", "speakers true/found", "DER, 0.25 s each side", "DER, 0.25 s in all", "DER, no collar", "missed s", "false alarm s", "confusion s", "speech s")  # fmt: skip
_POSES = ("model", "people", "valid poses", "body keypoints found", "body error, mean", "median", "face error, mean", "median", "sides swapped")  # fmt: skip
_POSE_UNITS = (
    "Errors are divided by the square root of the area of the body's box, or of the face's box. Annotators differ by 0.03 (eyes) to 0.1 (hips)\n"
    "of a body, as COCO measured."
)


def _real(name: str, d: dict) -> list[Any]:
    clips, people, speaking, words = d["clips"], d["people"] or {}, d["speaking"] or {}, d["words"] or {}
    heard = f"{words['phrases_heard']} of {words['phrases']}" if words.get("phrases") else None
    return [
        name,
        f"{clips['found']} of {clips['right']}",
        clips["kept_wrong"],
        people.get("false_person_frames"),
        people.get("missing_person_frames"),
        people.get("person_frames"),
        *(speaking.get(k) for k in ("accuracy", "average_precision", "confidence_error")),
        heard,
        words.get("longest_loop"),
    ]


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
    wrong = f"{d['people']['false']} of {d['people']['participants']}" if d.get("people") else None
    return [name, faces["recall"], faces["precision"], wrong, faces["id_swaps"], people, who.get("purity"), who.get("completeness"), cut, clip, clips.get("kept_wrong")]  # fmt: skip


def _turns(name: str, d: dict) -> list[Any]:
    heard, words = d["diarization"], d["words"] or {}
    with_collar, none = heard["collar_0.25_each_side"], heard["no_collar"]
    parts = [none[k] for k in ("missed_s", "false_alarm_s", "confusion_s", "speech_s")]
    said = [words.get(k) for k in ("words", "word_error", "speaker_accuracy")]
    return [name, with_collar["error"], none["error"], *parts, _of(d["short_turns"]), *said]


def _of(short: dict | None) -> str | None:
    """Return how many short turns are found, of how many."""
    return f"{short['found']} of {short['turns']}" if short and short["turns"] else None


def _sounds(d: dict) -> Iterator[list[Any]]:
    """Yield a row for each recording, and one for all of them together."""
    collars = ("collar_0.25_each_side", "collar_0.25_in_all", "no_collar")
    parts = ("missed_s", "false_alarm_s", "confusion_s")
    sums = {c: {k: sum(s[c][k] for s in d["sounds"].values()) for k in (*parts, "speech_s")} for c in collars}
    for of in sums.values():
        of["error"] = sum(of[k] for k in parts) / of["speech_s"] if of["speech_s"] else None
    for name, of in (*d["sounds"].items(), ("all", sums)):
        people = f"{of['speakers_true']}/{of['speakers_found']}" if "speakers_true" in of else None
        last = [of["no_collar"][k] for k in (*parts, "speech_s")]
        yield [f"`{d['model']}`", d["people_seen"] or None, name, people, *(of[c]["error"] for c in collars), *last]


def _poses(d: dict) -> list[Any]:
    errors = [d[of][k] for of in ("body_error", "face_error") for k in ("mean", "median")]
    keypoints = f"{d['body_keypoints_found']} of {d['body_keypoints_seen']}"
    swapped = f"{d['sides_swapped']} of {d['sides_told']}"
    return [f"`{d['model']}`", d["people"], d["valid_poses"], keypoints, *errors, swapped]


def _by_kind(videos: Iterable[dict]) -> str:
    """Return accuracy by the hard case of a shot, over all videos; a shot with two cases counts for the pair."""
    right: dict[str, list[float]] = {}
    for shot in (shot for d in videos for shot in d["shots"] or []):
        if shot["accuracy"] is not None:
            sums = right.setdefault(shot["hard"] or "ordinary", [0.0, 0.0])
            sums[0] += shot["accuracy"] * shot["person_frames"]
            sums[1] += shot["person_frames"]
    rows = ([kind, int(n), share / n] for kind, (share, n) in sorted(right.items()))
    return _table(("shots", "person-frames", "accuracy"), rows)


def _ingredients(videos: Iterable[dict]) -> str:
    """Return the mean over videos of accuracy and average precision with each kind of evidence left out."""
    each = [d["ingredients"] for d in videos if "ingredients" in d]
    names = list(each[0]) if each else []

    def mean(name: str, figure: str) -> float:
        return sum(d[name][figure] for d in each) / len(each)

    rows = ([name, mean(name, "accuracy"), mean(name, "average_precision")] for name in names)
    return _table(("decided from", "accuracy", "average precision"), rows)


def draw_calibration(scores: Path, path: Path) -> None:
    """Draw how often decisions of a stated confidence are right, over all videos of each model, as an SVG."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "accuracy"
    figure, axes = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
    axes.plot([0.5, 1], [0.5, 1], color="#bbbbbb", linewidth=1, label="perfect")
    for model, videos in _read(scores).items():
        # Fewer decisions say little.
        known = [(said, right) for _, said, right, n in _bins(videos.values()) if n >= _FEW]
        axes.plot(*zip(*known, strict=True), marker="o", label=model)
    axes.set(xlabel="stated confidence", ylabel="right", xlim=(0.5, 1), ylim=(0.45, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with atomic_write(path) as aside:
        figure.savefig(aside, metadata={"Date": None})
    plt.close(figure)


def _calibration(videos: Iterable[dict]) -> str:
    rows = ([f"{k / 10:.1f}–{(k + 1) / 10:.1f}", said, right, n] for k, said, right, n in _bins(videos))
    return _table(("stated confidence", "mean", "right", "person-frames"), rows)


def _bins(videos: Iterable[dict]) -> list[tuple[int, float, float, int]]:
    """Return for each tenth of stated confidence its number, mean, fraction that is right and person-frames, over all videos."""
    sums: dict[int, list[float]] = {}
    for part in (part for d in videos for part in d["speaking"]["calibration"]["bins"]):
        into = sums.setdefault(min(int(part["confidence"] * 10), 9), [0.0, 0.0, 0.0])
        for k, value in enumerate((part["confidence"], part["right"], 1)):
            into[k] += value * part["person_frames"]
    return [(k, said / n, right / n, int(n)) for k, (said, right, n) in sorted(sums.items())]


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    header = list(header)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join(lines + [f"| {' | '.join(map(_text, row))} |" for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return _NONE
    return f"{value:.3f}" if isinstance(value, float) else str(value)
