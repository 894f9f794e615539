"""Right clips of a video by its truth, with which `scoring` compares the kept ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from talking.core import boxes, intervals
from talking.core.intervals import Interval
from talking.scoring.truth import Truth
from talking.video import media

_BOX = ["x1", "y1", "x2", "y2"]


@dataclass(frozen=True)
class ClipRule:
    """Criteria of a right clip: length, people on screen, size and similarity of their faces, how many of them talk for how long."""

    min_s: float = 5.0
    min_people: int = 2
    max_people: int = 4
    min_face_px: float = 24.0
    min_area_ratio: float = 0.25
    min_talkers: int = 1
    min_talker_s: float = 1.0
    # A person who is hidden for so long, as behind somebody who passes, is still there; one who is seen for no longer passes by.
    max_hidden_frames: int = 25


def right_clips(
    truth: Truth, shots: list[Interval], frames: int, spoken: dict[str, np.ndarray], rule: ClipRule
) -> list[dict[str, Any]]:
    """Return the longest segments of each shot with a constant set of participants on screen that `rule` accepts.

    Each is a dict of start_frame, end_frame, people (their names) and talkers (how many of them speak long enough).
    """
    there: list[set[str]] = [set() for _ in range(frames)]
    seen_boxes = truth.participants()
    for person, rows in seen_boxes.groupby("person"):
        seen = np.unique(rows["frame"].to_numpy(dtype=int))
        for start, end in shots:
            inside = seen[(seen >= start) & (seen < end)]
            for first, last in _present(inside, rule.max_hidden_frames):
                for frame in range(first, last):
                    there[frame].add(person)
    on_screen = [frozenset(people) for people in there]
    sets = {people: i for i, people in enumerate(dict.fromkeys(on_screen))}
    of_frame = np.array([sets[people] for people in on_screen])
    out = []
    for people, index in sets.items():
        if not rule.min_people <= len(people) <= rule.max_people:
            continue
        for start, end in intervals.intersect(intervals.from_mask(of_frame == index), sorted(shots)):
            if end - start < rule.min_s * media.FPS:
                continue
            faces = seen_boxes[seen_boxes["frame"].between(start, end - 1)]
            areas = faces.assign(area=boxes.area(faces[_BOX])).groupby("person")["area"].median()
            if areas.min() < max(rule.min_face_px**2, rule.min_area_ratio * areas.max()):
                continue
            talking = [spoken[p][start:end].sum() if p in spoken else 0 for p in people]
            talkers = sum(n >= rule.min_talker_s * media.FPS for n in talking)
            if talkers >= rule.min_talkers:
                out.append({"start_frame": start, "end_frame": end, "people": people, "talkers": talkers})
    return sorted(out, key=lambda clip: clip["start_frame"])


def _present(seen: np.ndarray, hidden: int) -> list[Interval]:
    """Return the intervals of ascending frames (n,) with gaps of up to `hidden` frames closed, without those that last no longer."""
    breaks = np.flatnonzero(np.diff(seen) > hidden + 1) + 1
    spans = [(int(part[0]), int(part[-1]) + 1) for part in np.split(seen, breaks) if part.size]
    return [(start, end) for start, end in spans if end - start > hidden]
