"""Clips: the longest stretches of a shot in which the set of people on screen does not change.

Nothing is dropped here: the stretches partition every shot, and a threshold on a quality is applied by `gates` alone.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking import boxes, cli, intervals, qualities, tables, turns
from talking.arrays import opened
from talking.errors import InputError
from talking.intervals import Interval
from talking.media import FPS
from talking.qualities import BOX, Faces

# How loud nothing is.
_SILENT_DB = -100.0


@dataclass
class Settings(qualities.Settings):
    """Settings of finding clips; what they leave out has no poses, no sound and no measured qualities."""

    min_people: int = cli.setting(2, "fewest people of a clip", minimum=1)
    max_people: int = cli.setting(4, "most people of a clip", minimum=1)
    min_clip_s: float = cli.setting(5.0, "shortest clip in seconds", minimum=0.04)
    max_clip_s: float = cli.setting(
        30.0, "longest clip in seconds; a longer one is split where nobody speaks", minimum=0.08
    )
    min_visible_face_px: float = cli.setting(
        24.0, "a face that is never larger than this (square root of its area) is not a person of the clip", minimum=0
    )
    min_track_frames: int = cli.setting(
        5,
        "a face seen for fewer successive frames, and not at a cut, is not a person of the clip but a false alarm",
        minimum=1,
    )


@dataclass
class Presence:
    """One face on screen without a gap: track `track` in frames [start, end) of shot `shot`, `size` px large at its best."""

    shot: int
    track: int
    start: int
    end: int
    size: float


@dataclass
class Stretch:
    """Frames [start, end) of a shot with `num_people` people; their tracks are not listed where they are too many.

    `dissolve` says that the pictures are mixed with those of the neighbouring shot.
    """

    shot: int
    start: int
    end: int
    num_people: int
    tracks: list[int]
    dissolve: bool = False


def find(
    video: str,
    source: str,
    shots: pd.DataFrame,
    tracks: pd.DataFrame,
    landmarks: str | Path,
    speaking: pd.DataFrame,
    voice: pd.DataFrame,
    rttm: str | Path,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Return the table `candidates` of a video: every stretch of every shot, the candidates among them measured."""
    settings = settings or Settings()
    if settings.max_clip_s < 2 * settings.min_clip_s:
        raise InputError("clips.max_clip_s must be at least twice clips.min_clip_s, else long clips cannot be split.")
    seen = presences(tracks)
    brief, tiny = _not_people(seen, shots, settings)
    people = [p for p, a, b in zip(seen, brief, tiny, strict=True) if not (a or b)]
    with opened(landmarks) as arrays:
        faces = Faces(tracks, speaking, {name: arrays[name] for name in ("points", "yaw", "blur")})
    frames = int(shots["end_frame"].max()) if len(shots) else 0
    sound = qualities.Sound(
        _of_length(voice["voice"].to_numpy() >= settings.voice_threshold, frames),
        _of_length(voice["loudness_db"].to_numpy(), frames, _SILENT_DB),
        turns.spoken_frames(turns.read(rttm), frames),
    )
    ignored = {"brief": _IntervalIndex(seen, brief), "tiny": _IntervalIndex(seen, tiny & ~brief)}
    by_shot = shots.set_index("shot")
    rows = []
    for whole in stretches(people, shots, settings.max_people):
        for stretch in _split(whole, faces, sound.voice, settings):
            reasons = _shape_reasons(stretch, settings)
            row = {
                "clip": f"{source}_{video}_{stretch.start:06d}to{stretch.end:06d}",
                "video": video,
                "source": source,
                "shot": stretch.shot,
                "start_frame": stretch.start,
                "end_frame": stretch.end,
                "duration_s": (stretch.end - stretch.start) / FPS,
                "num_people": stretch.num_people,
                "candidate": not reasons,
                "rejected_by": ",".join(reasons),
                "tiny_faces": len(ignored["tiny"].within(stretch)),
                "brief_faces": len(ignored["brief"].within(stretch)),
                "ignored_face_share": intervals.total(intervals.union(ignored["brief"].within(stretch)))
                / (stretch.end - stretch.start),
                "camera_motion": by_shot.at[stretch.shot, "camera_motion"],
                "picture_motion": by_shot.at[stretch.shot, "picture_motion"],
                "tracks": stretch.tracks,
                "speaking_s": None,
                "sync_offsets": None,
                "sync_confidences": None,
            }
            if not reasons:
                row |= qualities.measure(stretch.tracks, stretch.start, stretch.end, faces, sound, settings)
            rows.append(row)
    columns = tables.schema("candidates").names
    return pd.DataFrame(rows, columns=columns) if rows else tables.empty("candidates")


def presences(tracks: pd.DataFrame) -> list[Presence]:
    """Return the unbroken runs of frames of all tracks; a track with a gap has several.

    A run's size is the 90th percentile over its frames of the square root of the box's area: a face
    that comes near counts for the whole of its presence.
    """
    if tracks.empty:
        return []
    order = np.lexsort((tracks["frame"], tracks["track"], tracks["shot"]))
    shot, track, frame = (tracks[c].to_numpy()[order] for c in ("shot", "track", "frame"))
    broken = (np.diff(shot) != 0) | (np.diff(track) != 0) | (np.diff(frame) != 1)
    run = np.concatenate([[0], np.cumsum(broken)])
    first = np.flatnonzero(np.concatenate([[True], broken]))
    length = np.diff(np.append(first, run.size))
    size = np.sqrt(boxes.area(tracks[BOX].to_numpy()[order]))
    nearly_largest = size[np.lexsort((size, run))][first + (0.9 * (length - 1)).astype(int)]
    columns = (shot[first], track[first], frame[first], frame[first] + length, nearly_largest)
    return [Presence(*values) for values in zip(*(c.tolist() for c in columns), strict=True)]


def stretches(people: list[Presence], shots: pd.DataFrame, max_listed: int) -> Iterator[Stretch]:
    """Yield, in order of time, the longest stretches of each shot in which the people on screen do not change.

    One sweep over the starts and ends: n presences take n log n steps, whatever their overlap. The stretches of a shot
    partition it; one without people is among them, and only up to `max_listed` tracks are listed. Where a dissolve
    or fade begins or ends, so does a stretch.
    """
    by_shot: dict[int, list[Presence]] = {}
    for person in people:
        by_shot.setdefault(person.shot, []).append(person)
    edges = shots[["shot", "start_frame", "clear_start_frame", "clear_end_frame", "end_frame"]]
    for shot, first, clear, mixed, last in edges.itertuples(index=False):
        events = [(frame, 0, None) for frame in (first, clear, mixed, last)]
        for p in by_shot.get(shot, []):
            events += [(max(p.start, first), 1, p.track), (min(p.end, last), -1, p.track)]
        active: set[int] = set()
        since = first
        for frame, group in itertools.groupby(sorted(events, key=lambda e: e[0]), key=lambda e: e[0]):
            if frame > since:
                listed = sorted(active) if len(active) <= max_listed else []
                yield Stretch(shot, since, frame, len(active), listed, dissolve=since < clear or frame > mixed)
                since = frame
            for _, change, track in group:
                if change > 0:
                    active.add(track)
                elif change < 0:
                    active.discard(track)


def split_points(quiet: np.ndarray, shortest: int, longest: int) -> list[int]:
    """Return where to cut frames into pieces of `shortest` to `longest` frames: few cuts, deep in pauses, in speech only if it must be.

    `quiet` (frames,) is true where nobody speaks; `longest` is at least twice `shortest`. The cuts of least cost are
    found by dynamic programming, where a cut costs 1, 1 / (frames to the nearest speech) more, and 10 in speech.
    """
    from scipy.ndimage import distance_transform_cdt

    frames = len(quiet)
    depth = distance_transform_cdt(np.pad(quiet, 1, constant_values=True))[1:-1] if not quiet.all() else quiet * frames
    price = np.where(quiet, 1 + 1 / np.maximum(depth, 1), 10.0)
    cost, before = np.full(frames + 1, np.inf), np.zeros(frames + 1, dtype=int)
    cost[0] = 0
    for end in range(shortest, frames + 1):
        first = max(end - longest, 0)
        before[end] = first + np.argmin(cost[first : end - shortest + 1])
        cost[end] = cost[before[end]] + (price[end] if end < frames else 0)
    cuts = [int(before[frames])]
    while cuts[-1] > 0:
        cuts.append(int(before[cuts[-1]]))
    return cuts[-2::-1]


class _IntervalIndex:
    """Presences chosen by a mask, found by the stretch they show in."""

    def __init__(self, seen: list[Presence], chosen: np.ndarray) -> None:
        kept = sorted((p.start, p.end) for p, c in zip(seen, chosen, strict=True) if c)
        self._start = np.array([a for a, _ in kept], dtype=int)
        self._end = np.array([b for _, b in kept], dtype=int)

    def within(self, stretch: Stretch) -> list[Interval]:
        here = (self._start < stretch.end) & (self._end > stretch.start)
        return [
            (max(a, stretch.start), min(b, stretch.end))
            for a, b in zip(self._start[here].tolist(), self._end[here].tolist(), strict=True)
        ]


def _not_people(seen: list[Presence], shots: pd.DataFrame, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return masks over the presences: the brief ones, and the tiny ones.

    A brief face at a cut is a person who comes or goes with it: it counts, at the price of a few frames.
    """
    starts, ends = set(shots["start_frame"].tolist()), set(shots["end_frame"].tolist())
    brief = [p.end - p.start < settings.min_track_frames and p.start not in starts and p.end not in ends for p in seen]
    tiny = [p.size < settings.min_visible_face_px for p in seen]
    return np.array(brief, dtype=bool), np.array(tiny, dtype=bool)


def _split(whole: Stretch, faces: Faces, loud: np.ndarray, settings: Settings) -> Iterator[Stretch]:
    longest = round(settings.max_clip_s * FPS)
    if (
        whole.dissolve
        or whole.end - whole.start <= longest
        or not settings.min_people <= whole.num_people <= settings.max_people
    ):
        yield whole
        return
    rows = faces.rows(whole.tracks, whole.start, whole.end)
    quiet = ~loud[whole.start : whole.end] & ~faces.speaking[rows].any(axis=1)
    cuts = split_points(quiet, _shortest(settings), longest)
    for a, b in itertools.pairwise([0, *cuts, len(quiet)]):
        yield Stretch(whole.shot, whole.start + a, whole.start + b, whole.num_people, whole.tracks)


def _shape_reasons(stretch: Stretch, settings: Settings) -> list[str]:
    reasons = {
        "min_people": stretch.num_people < settings.min_people,
        "max_people": stretch.num_people > settings.max_people,
        "min_clip_s": stretch.end - stretch.start < _shortest(settings),
        "dissolve": stretch.dissolve,
    }
    return [name for name, holds in reasons.items() if holds]


def _shortest(settings: Settings) -> int:
    return int(np.ceil(settings.min_clip_s * FPS - 1e-6))


def _of_length(values: np.ndarray, length: int, filling: float = 0) -> np.ndarray:
    """Return values cut off or filled to `length`."""
    return np.pad(values[:length], (0, max(length - values.size, 0)), constant_values=filling)
