"""Faces of the people of all clips of a video: their pieces, and the windows that show them.

Which faces belong to one person and which count is what the candidate clips say together; nothing else depends on where clips begin.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core.errors import InputError
from talking.poses import windows
from talking.poses.looks import BLOCK, Piece, Store
from talking.video import media

# So many key frames of a shot show which edges stay.
_ENOUGH = 5
_BOX = ["x1", "y1", "x2", "y2"]


@dataclass
class _Track:
    """A face track: frames (n,), boxes (n, 4) px, points (n, 68, 2) px, their scores (n,), and the detector's confidence (n,)."""

    shot: int
    frames: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray
    confidence: np.ndarray


class People:
    """The face tracks of the people and bystanders of some clips."""

    def __init__(
        self, clips: pd.DataFrame, all_clips: pd.DataFrame, tracks: pd.DataFrame, landmarks: dict[str, np.ndarray]
    ) -> None:
        """Take clips of `candidates` whose people are wanted, all clips of the video, `tracks`, and the landmarks of the same rows.

        Raises InputError if the landmarks are of others.
        """
        if not np.array_equal(tracks["track"].to_numpy(), landmarks["track"]):
            raise InputError("the landmarks are not those of the tracks; delete both files and run again.")
        self._wanted = [
            (int(track), int(clip.start_frame), int(clip.end_frame))
            for clip in clips.itertuples()
            for tracks_of_one in clip.person_tracks
            for track in tracks_of_one
        ]
        self._person = _persons(all_clips)
        counted = tracks[tracks["track"].isin(list(self._person))]
        self._tracks = {
            int(track): _track(rows, landmarks)
            for track, rows in counted.sort_values("frame", kind="stable").groupby("track")
        }
        self._all_tracks = tracks[["track", "frame"]]
        spans = tracks.groupby("shot")["frame"]
        self._shots = {int(shot): (int(frames.min()), int(frames.max()) + 1) for shot, frames in spans}

    def pieces(self, block: int, every: int, shown: "Windows") -> list[Piece]:
        """Return the pieces of a block that clips need, with the last frame of each that must be looked at."""
        first, last = block * BLOCK, (block + 1) * BLOCK
        goals: dict[tuple[int, int], Piece] = {}
        for number, start, end in self._wanted:
            track = self._tracks[number]
            for run in _runs(track.frames, first, last):
                a, b = int(track.frames[run.start]), int(track.frames[run.stop - 1]) + 1
                if max(a, start) < min(b, end):
                    if (number, a) not in goals:
                        goals[number, a] = self._piece(number, run, shown)
                    piece = goals[number, a]
                    piece.goal = max(piece.goal, piece.main_from(min(b, end) - 1, every))
        return [goals[key] for key in sorted(goals)]

    def all_pieces(self) -> Iterator[tuple[int, int, int]]:
        """Yield track, start and end of every piece that any clips of these tracks can need."""
        for track, rows in self._all_tracks.groupby("track"):
            frames = np.sort(rows["frame"].to_numpy(int))
            for block in range(frames[0] // BLOCK, frames[-1] // BLOCK + 1):
                for run in _runs(frames, block * BLOCK, (block + 1) * BLOCK):
                    yield int(track), int(frames[run.start]), int(frames[run.stop - 1]) + 1

    def all_shots(self) -> Iterable[tuple[int, int]]:
        """Return the frames of each shot in which there are faces."""
        return self._shots.values()

    def rows(self, numbers: Sequence[int], start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for frames [start, end) the track (n,) that shows a person, -1 if none, and its row there (n,).

        Of two tracks in one frame it is the one that the detector is surer of, the first of equals, as everywhere.
        """
        shown, row = np.full(end - start, -1), np.zeros(end - start, dtype=int)
        best = np.full(end - start, -np.inf)
        for number in numbers:
            track = self._tracks[number]
            here = np.flatnonzero((track.frames >= start) & (track.frames < end))
            at = track.frames[here] - start
            surer = track.confidence[here] > best[at]
            here, at = here[surer], at[surer]
            shown[at], row[at], best[at] = number, here, track.confidence[here]
        return shown, row

    def track(self, number: int) -> _Track:
        """Return a track."""
        return self._tracks[number]

    def of_shot(self, shot: int) -> dict[int, np.ndarray]:
        """Return for each person of a shot where its face mostly is, a box (4,) px."""
        boxes: dict[int, list[np.ndarray]] = {}
        for number, track in self._tracks.items():
            if track.shot == shot:
                boxes.setdefault(self._person[number], []).append(track.boxes)
        return {person: np.nanmedian(np.concatenate(found), axis=0) for person, found in sorted(boxes.items())}

    def span(self, shot: int) -> tuple[int, int]:
        """Return the frames of a shot in which there are faces."""
        return self._shots[shot]

    def person(self, number: int) -> int:
        """Return the person to whom a track belongs."""
        return self._person[number]

    def _piece(self, number: int, run: slice, shown: "Windows") -> Piece:
        track = self._tracks[number]
        start, length = int(track.frames[run.start]), run.stop - run.start
        beside = []
        for other, of_other in self._tracks.items():
            here = (of_other.frames >= start) & (of_other.frames < start + length)
            if self._person[other] != self._person[number] and here.any():
                boxes = np.full((length, 4), np.nan)
                boxes[of_other.frames[here] - start] = of_other.boxes[here]
                beside.append(boxes)
        others = np.stack(beside, axis=1) if beside else np.zeros((length, 0, 4))
        window = shown.of(number)
        return Piece(number, start, track.boxes[run], track.points[run], window, others)


class Windows:
    """The windows of the people of each shot, found when first needed."""

    def __init__(self, video: str | Path, people: People, store: Store) -> None:
        self._video, self._people, self._store = video, people, store
        self._of_shot: dict[int, dict[int, np.ndarray]] = {}

    def of(self, number: int) -> np.ndarray:
        """Return the window (4,) px that shows a track's person."""
        shot = self._people.track(number).shot
        if shot not in self._of_shot:
            self._of_shot[shot] = self._find(shot)
        return self._of_shot[shot][self._people.person(number)]

    def _find(self, shot: int) -> dict[int, np.ndarray]:
        people, (start, end) = self._people.of_shot(shot), self._people.span(shot)
        boxes = np.stack(list(people.values()))
        found = self._store.windows((start, end), boxes)
        if found is None:
            numbers = np.linspace(start, end - 1, windows.PICTURES).round().astype(int).tolist()
            # Key frames need no others; where a shot has few of them, all the pictures before a wanted one are decoded.
            at_keys = media.key_frames_before(self._video, numbers)
            pictures = [picture for frame, picture in at_keys if start <= frame < end]
            if len(pictures) < _ENOUGH:
                pictures = [picture for _, picture in media.frames_at(self._video, numbers)]
            if not pictures:
                raise InputError(
                    f"{self._video} has fewer frames than its face tracks; delete its tables and run again."
                )
            found = windows.find(pictures, boxes)
            self._store.save_windows((start, end), boxes, found)
        return dict(zip(people, found, strict=True))


def _track(rows: pd.DataFrame, landmarks: dict[str, np.ndarray]) -> _Track:
    at = rows.index.to_numpy()
    return _Track(
        int(rows["shot"].iloc[0]),
        rows["frame"].to_numpy(int),
        rows[_BOX].to_numpy(float),
        landmarks["points"][at].astype(float),
        landmarks["score"][at].astype(float),
        rows["confidence"].to_numpy(float),
    )


def _persons(clips: pd.DataFrame) -> dict[int, int]:
    """Return for each track of the clips' people and bystanders the smallest track that is the same person's."""
    person: dict[int, int] = {}
    for clip in clips.itertuples():
        for listed in itertools.chain(clip.person_tracks, clip.bystander_tracks):
            known = {person.get(int(track), int(track)) for track in listed}
            same = {track for track, of in person.items() if of in known} | {int(track) for track in listed}
            person.update(dict.fromkeys(same, min(same, default=0)))
    return person


def _runs(frames: np.ndarray, first: int, last: int) -> list[slice]:
    """Return the runs of successive frames among `frames` (n,) that lie in [first, last)."""
    low, high = np.searchsorted(frames, [first, last])
    edges = [int(low), *(int(low) + 1 + np.flatnonzero(np.diff(frames[low:high]) > 1)), int(high)]
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges) if a < b]
