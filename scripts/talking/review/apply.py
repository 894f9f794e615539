"""Applying decisions to the tables of a video: who speaks, words, which clips are kept, who is who. No model is run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import tables
from talking.review.decisions import DROP, KEEP, SILENT, Decision, Face
from talking.video import media

# The reason in `rejected_by` of a clip that a reviewer dropped.
REASON = "review"
# A face is looked for this long before and after its time.
_NEAR_S = 0.5
# How far from a face's middle, in its widths and heights, a place may lie: tracks of another detector have other boxes.
_REACH = 1.0
# The score of a decision by a person, on TalkNet's scale.
_SURE = 3.0
# A keep holds for a clip of which it covers so much; a drop for one where they share so much of the shorter.
KEEP_COVERS, DROP_SHARES = 0.8, 0.5


@dataclass
class Faces:
    """Where the faces of a video are: its tables `tracks` and `persons`, and the size of its pictures in px."""

    tracks: pd.DataFrame
    people: pd.DataFrame
    size: tuple[int, int]

    def track_at(self, face: Face) -> int | None:
        """Return the track that shows a face, None if there is none near that place and time."""
        frame = face.seconds * media.FPS
        rows = self.tracks[(self.tracks["frame"] - frame).abs() <= _NEAR_S * media.FPS]
        if rows.empty:
            return None
        width, height = (np.maximum(rows[b] - rows[a], 1) for a, b in (("x1", "x2"), ("y1", "y2")))
        x, y = face.x * self.size[0], face.y * self.size[1]
        away = np.hypot((x - (rows["x1"] + rows["x2"]) / 2) / width, (y - (rows["y1"] + rows["y2"]) / 2) / height)
        # Of equally near ones the nearest in time.
        rank = away + 0.01 * (rows["frame"] - frame).abs()
        at = rank.to_numpy().argmin()
        return int(rows["track"].iloc[at]) if away.iloc[at] <= _REACH else None

    def tracks_of(self, face: Face) -> list[int]:
        """Return all tracks of the person who has a face, none if it is not found."""
        track = self.track_at(face)
        if track is None:
            return []
        own = [list(tracks) for tracks in self.people["tracks"]]
        of_person = self.people["person"][[track in tracks for tracks in own]]
        tracks = [t for p, ts in zip(self.people["person"], own, strict=True) if p in set(of_person) for t in ts]
        return sorted({track, *map(int, tracks)})


def read_faces(results: Path, video: str) -> Faces:
    """Return the faces of a video of a folder of results; raises InputError for a missing table."""
    probe = json.loads((results / f"media/{video}.json").read_text(encoding="utf-8"))
    tracks = tables.read("tracks", results / f"tracks/{video}.parquet")
    people = tables.read("persons", results / f"people/{video}.parquet")
    return Faces(tracks, people, (probe.get("width", 0), probe.get("height", 0)))


def frames(decision: Decision) -> tuple[int, int]:
    """Return a decision's frames of the video [start, end)."""
    return round(decision.start_s * media.FPS), round(decision.end_s * media.FPS)


def speaking(table: pd.DataFrame, decisions: Iterable[Decision], faces: Faces) -> pd.DataFrame:
    """Return the table `speaking` as reviewers say; of two decisions the later one holds.

    Scores keep their size where they agree with the decision, and are sure where they do not.
    """
    table = table.copy()
    for decision in decisions:
        if decision.field != "speaking":
            continue
        start, end = frames(decision)
        at = table["track"].isin(faces.tracks_of(decision.face)) & table["frame"].between(start, end - 1)
        sign = 1 if decision.value == "yes" else -1
        for name in ("score", "score_smooth"):
            agrees = np.maximum(sign * table.loc[at, name], 0)
            table.loc[at, name] = (sign * np.maximum(agrees, _SURE)).astype(table[name].dtype)
        table.loc[at, "speaking"] = sign > 0
        table.loc[at, "speaking_confidence"] = np.float32(1)
    return table


def words(table: pd.DataFrame, decisions: Iterable[Decision]) -> pd.DataFrame:
    """Return the table `words` without those that reviewers call wrong, or with theirs in their place.

    The words of a reviewer share the time of the range by their letters, and are said by whoever said most of the words before.
    """
    for decision in decisions:
        if decision.field != "words":
            continue
        middle = (table["start_s"] + table["end_s"]) / 2
        inside = (middle >= decision.start_s) & (middle < decision.end_s)
        before, table = table[inside], table[~inside]
        said = decision.value.split()
        if said:
            table = pd.concat([table, _said(said, decision, before)]).astype(table.dtypes)
        table = table.sort_values("start_s", kind="stable").reset_index(drop=True)
    return table


def clips(table: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """Return the table `clips` with what reviewers keep and drop, and in `reviewed` which fields were reviewed.

    Only clips that were measured can be kept. Of several decisions on a clip the latest holds.
    """
    table = table.copy()
    for i, clip in enumerate(table.to_dict("records")):
        span = clip["start_frame"], clip["end_frame"]
        verdict = next((d.value for d in reversed(decisions) if d.field == "decision" and holds(d, span)), "")
        if verdict == KEEP and not clip["candidate"]:
            verdict = ""
        row = table.index[i]
        table.at[row, "reviewed"] = ",".join([verdict] * bool(verdict) + corrected(decisions, span))
        if verdict == DROP:
            table.at[row, "rejected_by"] = ",".join(filter(None, [clip["rejected_by"], REASON]))
        if verdict:
            table.at[row, "kept"] = verdict == KEEP
    return table


def identities(table: pd.DataFrame, decisions: Iterable[Decision], faces: dict[str, Faces]) -> pd.DataFrame:
    """Return the table `identities` with the persons as reviewers name them.

    `rename` names everybody who is the same person, in all videos; `person` the tracks that lie at least half within the range
    alone. Two persons with one name are one. `faces` are those of the videos that decisions name.
    """
    person_of = {(row.video, row.track): row.person for row in table.itertuples()}
    for decision in decisions:
        if decision.field not in ("person", "rename") or decision.video not in faces:
            continue
        of_video = faces[decision.video]
        tracks = of_video.tracks_of(decision.face)
        if decision.field == "person":
            tracks = [track for track in tracks if _lies_within(of_video.tracks, track, frames(decision))]
        named = {(decision.video, track) for track in tracks}
        if decision.field == "rename":
            # The person by the face itself: others of its tracks may be of somebody else.
            track = of_video.track_at(decision.face)
            same = person_of.get((decision.video, track))
            named = {(decision.video, t) for t in tracks if person_of.get((decision.video, t)) in (same, None)}
            named |= {key for key, person in person_of.items() if same is not None and person == same}
        person_of |= dict.fromkeys(named, decision.value)
    rows = [{"video": video, "track": track, "person": person} for (video, track), person in sorted(person_of.items())]
    return pd.DataFrame(rows, columns=list(table.columns))


def meta(decisions: Iterable[Decision], start_frame: int, end_frame: int) -> dict:
    """Return what a clip's meta.json says of its review: who reviewed it, and each decision, in seconds of the clip."""
    span, start_s = (start_frame, end_frame), start_frame / media.FPS
    here = about(decisions, span)
    told = [
        {
            "field": d.field,
            "value": d.value,
            "start_s": round(max(d.start_s - start_s, 0), 3),
            "end_s": round(min(d.end_s, end_frame / media.FPS) - start_s, 3),
            "who": d.who,
            "when": d.when,
        }
        for d in here
    ]
    return {"reviewed_by": sorted({d.who for d in here if d.who}), "decisions": told}


def about(decisions: Iterable[Decision], span: tuple[int, int]) -> list[Decision]:
    """Return the decisions that are about the clip of frames `span`."""
    return [d for d in decisions if (holds(d, span) if d.field == "decision" else _common(frames(d), span) > 0)]


def corrected(decisions: Iterable[Decision], span: tuple[int, int]) -> list[str]:
    """Return the fields, but keep and drop, in which reviewers decided something in frames `span` of a video."""
    found = {d.field for d in decisions if d.field != "decision" and _common(frames(d), span) > 0}
    return sorted(found.difference(SILENT))


def holds(decision: Decision, span: tuple[int, int]) -> bool:
    """Return True if a keep or drop is about the clip of frames `span`, which may be cut otherwise than the one that was seen."""
    own = frames(decision)
    common, length = _common(own, span), span[1] - span[0]
    if decision.value == KEEP:
        return common >= KEEP_COVERS * length
    return common >= DROP_SHARES * min(length, own[1] - own[0])


def _said(said: list[str], decision: Decision, before: pd.DataFrame) -> pd.DataFrame:
    ends = np.cumsum([len(word) for word in said]) / sum(map(len, said))
    length = decision.end_s - decision.start_s
    speaker = before["said_by"].mode() if len(before) else []
    of = before[before["said_by"] == speaker[0]].iloc[0] if len(speaker) else None
    return pd.DataFrame(
        {
            "word": said,
            "start_s": decision.start_s + length * np.concatenate([[0], ends[:-1]]),
            "end_s": decision.start_s + length * ends,
            "confidence": 1.0,
            "speaker": "" if of is None else of["speaker"],
            "track": pd.NA if of is None else of["track"],
            "said_by": "off screen" if of is None else of["said_by"],
        }
    )


def _lies_within(tracks: pd.DataFrame, track: int, span: tuple[int, int]) -> bool:
    own = tracks.loc[tracks["track"] == track, "frame"]
    return bool(len(own)) and own.between(span[0], span[1] - 1).mean() >= 0.5


def _common(a: tuple[int, int], b: tuple[int, int]) -> int:
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))
