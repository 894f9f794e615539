"""True labels of a synthetic video, in files beside it."""

import bisect
import csv
import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from talking.core.atomic import atomic_write
from talking.film.script import Utterance
from talking.video.media import shown_frames

SUFFIXES = (".rttm", ".frames.csv", ".boxes.csv", ".shots.csv", ".people.csv", ".hands.csv", ".words.json", ".json")


def turns(said: Iterable[Utterance], seconds: float) -> list[tuple[str, float, float]]:
    """Return the audible turns (person, start_s, end_s) in order; a person's turns less than 0.3 s apart are one."""
    periods = sorted(
        (u.person, u.start_s + a, min(u.start_s + b, seconds)) for u in said if u.heard for a, b in u.speech.spoken_s
    )
    joined: list[tuple[str, float, float]] = []
    for person, start, end in periods:
        if joined and joined[-1][0] == person and start - joined[-1][2] < 0.3:
            joined[-1] = (person, joined[-1][1], max(joined[-1][2], end))
        elif start < end:
            joined.append((person, start, end))
    return sorted(joined, key=lambda turn: (turn[1], turn[0]))


def write(out: Path, film, stages, said: list[Utterance], fps: Fraction, frames: int, options: dict) -> None:
    """Write all of `SUFFIXES` beside the video `out`; all but `.frames.csv`, which has the video's own rate, count frames at 25 fps."""
    seconds = float(frames / fps)
    spoken = turns(said, seconds)
    with atomic_write(out.with_suffix(".rttm")) as aside:
        lines = [f"SPEAKER {out.stem} 1 {a:.3f} {b - a:.3f} <NA> <NA> {who} <NA> <NA>\n" for who, a, b in spoken]
        aside.write_text("".join(lines), encoding="utf-8")
    rows = _frames(film, spoken, fps, frames)
    header = ["frame", "person", "x1", "y1", "x2", "y2", "visible", "speaking", "lip_opening"]
    _write_csv(out.with_suffix(".frames.csv"), header, (row for frame in rows for row in frame))
    shown = shown_frames(fps, frames)
    boxes = ([index, *row[1:6]] for index, frame in enumerate(shown) for row in rows[frame] if row[6] >= 0.5)
    _write_csv(out.with_suffix(".boxes.csv"), header[:6], boxes)
    hands = ([index, *hand[:2], *_px(hand[2])] for index, frame in enumerate(shown) for hand in film.hands(frame))
    _write_csv(out.with_suffix(".hands.csv"), ["frame", "person", "side", "x1", "y1", "x2", "y2"], hands)
    spans = [(stage, [bisect.bisect_left(shown, frame) for frame in (stage.start, stage.end)]) for stage in stages]
    _write_csv(
        out.with_suffix(".shots.csv"),
        ["start_frame", "end_frame", "framing", "hard", "persons"],
        ([*edges, s.shot.framing, "+".join(s.shot.hard), "+".join(a.person for a in s.actors)] for s, edges in spans),
    )
    _write_csv(
        out.with_suffix(".people.csv"),
        ["start_frame", "end_frame", "person", "role", "x1", "y1", "x2", "y2"],
        (
            [
                *edges,
                a.person,
                "bystander" if a.person in s.strangers else "participant",
                *_px(film.window(s, a.person)),
            ]
            for s, edges in spans
            for a in s.actors
        ),
    )
    words = [
        {
            "word": w.text,
            "start_s": round(u.start_s + w.start_s, 3),
            "end_s": round(u.start_s + w.end_s, 3),
            "speaker": u.person,
        }
        for u in said
        if u.heard
        for w in u.speech.words
    ]
    sentences = [
        {"text": u.speech.text, "start_s": round(u.start_s, 3), "end_s": round(u.end_s, 3), "speaker": u.person}
        for u in said
        if u.heard
    ]
    _write_json(out.with_suffix(".words.json"), {"word_times": "estimated", "words": words, "sentences": sentences})
    hard = [
        {"case": case, "start_frame": start, "end_frame": end, "persons": persons}
        for stage in stages
        for case, start, end, persons in stage.hard
    ]
    _write_json(
        out.with_suffix(".json"),
        {"options": options, "fps": str(fps), "frames": frames, "seconds": seconds, "hard": hard},
    )


def _frames(film, spoken, fps: Fraction, frames: int) -> list[list[list]]:
    """Return, for each frame, a row of `.frames.csv` for each person on screen."""
    speaking: dict[str, np.ndarray] = {}
    middles = (np.arange(frames) + 0.5) / float(fps)
    for person, start, end in spoken:
        mask = speaking.setdefault(person, np.zeros(frames, dtype=bool))
        mask |= (middles >= start) & (middles < end)
    nobody = np.zeros(frames, dtype=bool)
    return [
        [
            [
                frame,
                person,
                *_px(box),
                round(visible, 3),
                int(speaking.get(person, nobody)[frame]),
                round(opening, 3),
            ]
            for person, box, visible, opening in film.people(frame)
        ]
        for frame in range(frames)
    ]


def _px(box: np.ndarray) -> list[str]:
    return [f"{v:.1f}" for v in box]


def _write_csv(path: Path, header: list[str], rows: Iterable[list]) -> None:
    with atomic_write(path) as aside, aside.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_json(path: Path, content: dict) -> None:
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
