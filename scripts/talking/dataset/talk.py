"""Turns with their replies, and who listens to whom, over whole videos: what generators of conversation are trained on.

A turn is what `clips.qualities` counts as one, of those periods of speech that take the floor: a period that lies wholly within a
longer one of somebody else is no turn of its own (within-speaker overlap of Heldner & Edlund, 2010), such as "mm" of a listener.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from talking.clips import qualities
from talking.core import intervals, schemas, tables
from talking.core.intervals import Interval
from talking.removal.removals import overlaps
from talking.scoring.short_turns import SHORT_S
from talking.video.media import FPS

# What is read of the kept clips.
_CLIP_COLUMNS = ["clip", "split", "start_frame", "end_frame", "people", "persons"]
_PARTICIPANT = "participant"
# A turn: its first frame, one past its last, and the number of its person.
_Turn = tuple[int, int, int]


@dataclass
class Known:
    """What is known of a video: its tables, of `clips` some columns of the kept rows."""

    video: str
    tracks: pd.DataFrame
    speaking: pd.DataFrame
    people: pd.DataFrame
    words: pd.DataFrame
    shots: pd.DataFrame
    clips: pd.DataFrame


def make(
    results: Path,
    video: str,
    clips: pa.Table,
    names_of: Callable[[np.ndarray], Sequence[str]],
    settings: qualities.Settings,
) -> tuple[pa.Table, pa.Table]:
    """Return `of_video` of a video of a folder of results; `clips` are its rows of the table `dataset`."""
    columns = ["track", "frame", "speaking"]
    speaking = tables.read_columns("speaking", results / f"speaking/{video}.parquet", columns)
    if not pc.any(speaking["speaking"]).as_py():
        return tuple(schemas.schema(name).empty_table() for name in ("turns", "listening"))
    places = {
        "tracks": (f"tracks/{video}.parquet", ["track", "frame", "y1", "y2"]),
        "persons": (f"people/{video}.parquet", ["person", "tracks", "role"]),
        "words": (f"speech/{video}.words.parquet", ["word", "start_s", "end_s", "track", "speaker"]),
        "shots": (f"shots/{video}.parquet", ["start_frame", "end_frame"]),
    }
    found = {
        name: tables.read_columns(name, results / path, columns).to_pandas() for name, (path, columns) in places.items()
    }
    people = found.pop("persons")
    found |= {"people": people[people["role"] == _PARTICIPANT], "speaking": speaking.to_pandas()}
    return of_video(Known(video, clips=clips.select(_CLIP_COLUMNS).to_pandas(), **found), names_of, settings)


def of_video(
    known: Known, names_of: Callable[[np.ndarray], Sequence[str]], settings: qualities.Settings
) -> tuple[pa.Table, pa.Table]:
    """Return the tables `turns` and `listening` of a video.

    `names_of` gives the names of the persons of tracks (n,). What somebody says off screen belongs to the turn if the voice is known
    from the screen; other voices from off screen have no turns, and only part turns of one person.
    """
    cast = _Cast(known, names_of)
    pause, answer = (round(seconds * FPS) for seconds in (settings.turn_pause_s, settings.answer_s))
    turns, listening = [], []
    for span in cast.talks(answer):
        talk = _Talk(cast, span, pause)
        taken = talk.floor()
        for turn, reply in qualities.answers(taken, answer):
            if cast.nobody not in (turn[2], reply[2]):
                turns.append(_exchange(talk, turn, reply))
        for turn in taken:
            if turn[2] != cast.nobody:
                listening += _listeners(talk, turn, [t for t in taken if t[0] < turn[1] and turn[0] < t[1]])
    found = {"turns": turns, "listening": listening}
    return tuple(pa.Table.from_pylist(rows, schema=schemas.schema(name)) for name, rows in found.items())


def without(table: pa.Table, spans: Sequence[Interval]) -> pa.Table:
    """Return a table `turns` or `listening` without the rows that share a frame with spans [start, end) of the video."""
    edges = [table[name].to_numpy() for name in table.column_names if name.endswith(("start_frame", "end_frame"))]
    if not len(table) or not spans:
        return table
    # Of a turn and its reply, from the first frame to the last one.
    whole = zip(np.min(edges, axis=0), np.max(edges, axis=0), strict=True)
    return table.filter(pa.array([not overlaps(span, spans) for span in whole]))


class _Cast:
    """Who is seen and heard in a video: persons are numbers in the order of `names`, `nobody` one more, for voices from off screen."""

    def __init__(self, known: Known, names_of: Callable[[np.ndarray], Sequence[str]]) -> None:
        self.known = known
        lengths = known.tracks["track"].value_counts()
        tracks_of: dict[int, list[int]] = {}
        for row in known.people.itertuples():
            tracks_of.setdefault(row.person, []).extend(map(int, row.tracks))
        # A person is called as the longest track of all shots; two with one name are one.
        longest = [max(tracks, key=lambda track: (lengths.get(track, 0), -track)) for tracks in tracks_of.values()]
        names = list(names_of(np.array(longest, dtype=int)))
        self.names = list(dict.fromkeys(names))
        self.nobody = len(self.names)
        self.number = {p: self.names.index(name) for p, name in zip(tracks_of, names, strict=True)}
        of_track = {t: self.number[p] for p, tracks in tracks_of.items() for t in tracks}
        self._faces = _faces(known.tracks, of_track, self.nobody)
        self._clips = list(known.clips.itertuples())
        self._clip_spans = known.clips[["start_frame", "end_frame"]].to_numpy()
        self._shot_spans = known.shots[["start_frame", "end_frame"]].to_numpy()
        words = known.words.assign(middle=(known.words["start_s"] + known.words["end_s"]) / 2)
        words = words.assign(by=words["track"].map(of_track).astype(float)).sort_values("middle", kind="stable")
        is_off_screen = words["track"].isna()
        words.loc[is_off_screen, "by"] = self._off_screen(words)
        self._words, self._middle, self._said_by = (words[name].to_numpy() for name in ("word", "middle", "by"))
        said = known.speaking[known.speaking["speaking"] & known.speaking["track"].isin(of_track)]
        begin, end, by = (words.loc[is_off_screen, name].to_numpy() for name in ("start_s", "end_s", "by"))
        spans = [np.arange(*span) for span in np.round(np.stack([begin, end], axis=1) * FPS).astype(int)]
        frame = np.concatenate([said["frame"], *spans]).astype(int)
        by = np.concatenate([said["track"].map(of_track), np.repeat(by, [len(span) for span in spans])]).astype(int)
        order = np.argsort(frame, kind="stable")
        self._heard_frame, self._heard_by = frame[order], by[order]

    def talks(self, silence: int) -> list[Interval]:
        """Return the frames in which anybody is heard, in pieces between which nobody is for more than `silence` frames."""
        frames = np.unique(self._heard_frame)
        parts = np.split(frames, np.flatnonzero(np.diff(frames) > silence + 1) + 1) if frames.size else []
        return [(int(part[0]), int(part[-1]) + 1) for part in parts]

    def heard(self, span: Interval) -> np.ndarray:
        """Return who is heard in frames [start, end), (frames, persons and nobody) bool."""
        first, last = np.searchsorted(self._heard_frame, span)
        mask = np.zeros((span[1] - span[0], self.nobody + 1), dtype=bool)
        mask[self._heard_frame[first:last] - span[0], self._heard_by[first:last]] = True
        return mask

    def seen(self, person: int, span: Interval) -> np.ndarray:
        """Return in which frames [start, end) a person is on screen (frames,)."""
        frame, _ = self._faces[person]
        first, last = np.searchsorted(frame, span)
        mask = np.zeros(span[1] - span[0], dtype=bool)
        mask[frame[first:last] - span[0]] = True
        return mask

    def face_height(self, person: int, span: Interval) -> float:
        """Return the median height in px of a person's face in frames [start, end), in some of which it shows."""
        frame, height = self._faces[person]
        first, last = np.searchsorted(frame, span)
        return float(np.median(height[first:last]))

    def words(self, person: int, span: Interval) -> str:
        """Return what a person says within frames [start, end)."""
        first, last = np.searchsorted(self._middle, [span[0] / FPS, span[1] / FPS])
        said = self._words[first:last][self._said_by[first:last] == person]
        return " ".join(word.strip() for word in said)

    def where(self, person: int, frame: int) -> str:
        """Return where a person is at a frame: on_screen, previous_shot or away."""
        if self.seen(person, (frame, frame + 1)).any():
            return "on_screen"
        before = self._shot_spans[self._shot_spans[:, 1] <= frame][-1:]
        return "previous_shot" if any(self.seen(person, tuple(span)).any() for span in before) else "away"

    def pieces(self, spans: list[Interval]) -> list[Interval]:
        """Return frames in pieces that lie in one shot, and in one clip or none."""
        if not spans:
            return []
        whole = spans[0][0], spans[-1][1]
        clips = [tuple(span) for span in self._clip_spans[_touch(self._clip_spans, whole)].tolist()]
        parts = [
            part
            for shot in self._shot_spans[_touch(self._shot_spans, whole)].tolist()
            for part in intervals.intersect(spans, [tuple(shot)])
        ]
        inside = [part for clip in clips for part in intervals.intersect(parts, [clip])]
        return sorted(inside + intervals.subtract(parts, intervals.union(clips)))

    def clip(self, person: int, span: Interval) -> dict:
        """Return the clip with a person in which half of frames [start, end) lie: its name, split, the person's name and number in it, and the frames in it."""
        for number in _touch(self._clip_spans, span):
            clip = self._clips[number]
            start, end = max(span[0], clip.start_frame), min(span[1], clip.end_frame)
            at = next((i for i, p in enumerate(clip.people) if self.number.get(p) == person), -1)
            if at >= 0 and 2 * (end - start) >= span[1] - span[0]:
                found = {"clip": clip.clip, "split": clip.split, "name": clip.persons[at]}
                return found | {"at": at, "start": start - clip.start_frame, "end": end - clip.start_frame}
        return {"clip": "", "split": "", "name": self.names[person], "at": -1, "start": -1, "end": -1}

    def _off_screen(self, words: pd.DataFrame) -> list[int]:
        """Return who says words from off screen: the person whose voice it is by the words on screen, who is not on screen; else nobody."""
        shares = words.dropna(subset="by").groupby("speaker")["by"].value_counts(normalize=True)
        voice_of = {speaker: int(by) for (speaker, by), share in shares.items() if speaker and share > 0.5}
        found = []
        for word in words[words["track"].isna()].itertuples():
            by, frame = voice_of.get(word.speaker, self.nobody), int(word.middle * FPS)
            is_seen = by != self.nobody and self.seen(by, (frame, frame + 1)).any()
            found.append(self.nobody if is_seen else by)
        return found


class _Talk:
    """Frames [start, end) of a video in which nobody is silent for long: who is `heard` in them, and each person's `periods` of speech."""

    def __init__(self, cast: _Cast, span: Interval, pause: int) -> None:
        self.cast, self.span, self.pause = cast, span, pause
        self.heard = cast.heard(span)
        self.periods = [
            [(span[0] + s, span[0] + e) for s, e in intervals.closed(intervals.from_mask(said), pause)]
            for said in self.heard.T
        ]

    def during(self, span: Interval) -> np.ndarray:
        """Return the part of `heard` in frames [start, end); nothing if they end before they begin."""
        return self.heard[span[0] - self.span[0] : max(span[1], span[0]) - self.span[0]]

    def floor(self) -> list[_Turn]:
        """Return the turns, without periods of speech that lie within longer ones of others."""
        takes = self.heard.copy()
        longest: dict[int, Interval] = {}  # of each person, the period that ends last among those that began already
        periods = ((start, end, person) for person, own in enumerate(self.periods) for start, end in own)
        for start, end, person in sorted(periods, key=lambda period: (period[0], -period[1])):
            around = [span for other, span in longest.items() if other != person]
            if any(e > end or (e == end and s < start) for s, e in around):
                takes[start - self.span[0] : end - self.span[0], person] = False
            longest[person] = max(longest.get(person, (0, 0)), (start, end), key=lambda span: span[1])
        taken = qualities.turns_of(takes, self.pause)
        return [(self.span[0] + start, self.span[0] + end, person) for start, end, person in taken]


def _exchange(talk: _Talk, turn: _Turn, reply: _Turn) -> dict:
    """Return the row of a turn and its reply."""
    cast = talk.cast
    clips = {name: cast.clip(by, (start, end)) for name, (start, end, by) in (("turn", turn), ("reply", reply))}
    row = {
        "video": cast.known.video,
        "split": clips["reply"]["split"] or clips["turn"]["split"],
        "gap_s": (reply[0] - turn[1]) / FPS,
        "overlap_s": talk.during((reply[0], turn[1]))[:, [turn[2], reply[2]]].all(axis=1).sum() / FPS,
        "turn_person_seen": cast.where(turn[2], reply[0]),
    }
    for name, (start, end, by) in (("turn", turn), ("reply", reply)):
        clip = clips[name]
        row |= {
            f"{name}_person": clip["name"],
            f"{name}_start_frame": start,
            f"{name}_end_frame": end,
            f"{name}_start_s": start / FPS,
            f"{name}_end_s": end / FPS,
            f"{name}_seen_share": cast.seen(by, (start, end)).mean(),
            f"{name}_clip": clip["clip"],
            f"{name}_person_in_clip": clip["at"],
            f"{name}_start_in_clip": clip["start"],
            f"{name}_end_in_clip": clip["end"],
            f"{name}_words": cast.words(by, (start, end)),
        }
    return row


def _listeners(talk: _Talk, turn: _Turn, meanwhile: Sequence[_Turn]) -> Iterator[dict]:
    """Yield the rows of those who are on screen while a person has the turn, but not while they have one of the turns `meanwhile` themselves."""
    cast, span, speaker = talk.cast, turn[:2], turn[2]
    speaker_seen = cast.seen(speaker, span)
    for listener in range(cast.nobody):
        there = cast.seen(listener, span)
        if listener == speaker or not there.any():
            continue
        own = [(start, end) for start, end, by in meanwhile if by == listener]
        shown = intervals.closed(intervals.from_mask(there), talk.pause)
        shown = [(span[0] + start, span[0] + end) for start, end in shown]
        for start, end in cast.pieces(intervals.subtract(shown, own)):
            within = slice(start - span[0], end - span[0])
            if not there[within].any():
                continue
            clip, other = cast.clip(listener, (start, end)), cast.clip(speaker, (start, end))
            yield {
                "video": cast.known.video,
                "listener": clip["name"],
                "speaker": other["name"],
                "start_frame": start,
                "end_frame": end,
                "start_s": start / FPS,
                "end_s": end / FPS,
                "clip": clip["clip"],
                "split": clip["split"],
                "listener_in_clip": clip["at"],
                "speaker_in_clip": other["at"] if clip["clip"] else -1,
                "start_in_clip": clip["start"],
                "end_in_clip": clip["end"],
                "face_height_px": cast.face_height(listener, (start, end)),
                "speaker_seen_share": speaker_seen[within].mean(),
                "num_backchannels": sum(start <= s < end and e - s < SHORT_S * FPS for s, e in talk.periods[listener]),
                "listener_speaks_s": talk.during((start, end))[:, listener].sum() / FPS,
            }


def _faces(tracks: pd.DataFrame, of_track: dict[int, int], people: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each person the frames with a face, in order, and the faces' heights in px."""
    rows = tracks[tracks["track"].isin(of_track)].sort_values("frame", kind="stable")
    by, frame = rows["track"].map(of_track).to_numpy(), rows["frame"].to_numpy()
    height = (rows["y2"] - rows["y1"]).to_numpy()
    return [(frame[by == person], height[by == person]) for person in range(people)]


def _touch(spans: np.ndarray, span: Interval) -> np.ndarray:
    """Return the indices of the rows of spans (n, 2) that share a frame with one."""
    return np.flatnonzero((spans[:, 0] < span[1]) & (spans[:, 1] > span[0]))
