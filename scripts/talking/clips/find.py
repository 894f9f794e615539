"""Candidate clips: the longest segments of a scene in which the same people take part.

A scene is a shot, or several that jump cuts join. A participant who is away for up to `max_absence_s` is still there, and a
person who is seen for less between two segments of the same participants is a bystander of one segment. Nothing is dropped:
segments partition every scene, and thresholds are applied by `gates` alone. Which frames and people a candidate has depends
on shots, tracks and people, and on the voice only where a long segment is split.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from talking.core import boxes, cli, intervals, schemas, tables
from talking.core.errors import InputError
from talking.core.intervals import Interval
from talking.faces.tracked import Faces
from talking.people import BYSTANDER, PARTICIPANT
from talking.video.media import FPS

# A long segment is split where no voice is heard: where its probability is below this.
_VOICE = 0.5


@dataclass
class Settings:
    """Settings of finding candidate clips; only these have poses, sound and measured qualities."""

    max_absence_s: float = cli.setting(
        1.0,
        "longest time that a participant may be away (turned, covered, not found) within a clip, in seconds; another person who"
        " is seen for no longer is a bystander",
        minimum=0,
    )
    min_measured_s: float = cli.setting(
        3.0, "shorter segments are not measured, whatever `gates: min_duration_s` says", minimum=0.04
    )
    min_measured_people: int = cli.setting(2, "segments with fewer participants are not measured", minimum=1)
    max_measured_people: int = cli.setting(6, "segments with more participants are not measured", minimum=1)
    min_measured_face_height_share: float = cli.setting(
        0.0125,
        "segments with a smaller face are not measured; see `gates: min_face_height_share`",
        minimum=0,
        maximum=1,
    )
    min_measured_area_ratio: float = cli.setting(
        0.1, "segments whose faces differ more are not measured; see `gates: min_area_ratio`", minimum=0, maximum=1
    )
    max_measured_absent_share: float = cli.setting(
        0.6,
        "segments in which a participant is away longer are not measured; see `gates: max_absent_share`",
        minimum=0,
        maximum=1,
    )
    min_measured_voice_share: float = cli.setting(
        0.03, "segments in which a voice is heard for a smaller fraction are not measured", minimum=0, maximum=1
    )
    max_clip_s: float = cli.setting(
        60.0,
        "longest clip in seconds; longer ones are split at pauses, into pieces of at least half that length",
        minimum=0.08,
    )


@dataclass(frozen=True)
class Scene:
    """Frames [start, end) of successive shots joined by jump cuts, `shots` their rows of the table."""

    shots: pd.DataFrame
    start: int
    end: int


@dataclass(frozen=True)
class Segment:
    """Frames [start, end) of a scene with the same participants.

    `dissolve`: the pictures are mixed with those of a neighbouring shot.
    """

    start: int
    end: int
    people: frozenset[int]
    dissolve: bool = False


@dataclass
class _Shown:
    """The persons of a scene: the tracks of each, the frames in which it is seen, and those in which it takes part."""

    tracks: dict[int, list[int]] = field(default_factory=dict)
    seen: dict[int, list[Interval]] = field(default_factory=dict)
    taking_part: dict[int, list[Interval]] = field(default_factory=dict)
    repeated_of: dict[int, int] = field(default_factory=dict)


def find(
    video: str,
    source: str,
    shots: pd.DataFrame,
    tracks: pd.DataFrame,
    people: pd.DataFrame,
    voice: pd.DataFrame,
    size: tuple[int, int],
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Return the table `candidates` of a video: every segment of every scene, in order of time.

    `shots`, `tracks`, `people` (schema `persons`) and `voice` are the video's tables, `size` its width and height in px.
    Raises InputError if `max_clip_s` is too short for what is measured.
    """
    settings = settings or Settings()
    if settings.max_clip_s < 2 * settings.min_measured_s:
        raise InputError(
            "clips.max_clip_s must be at least twice clips.min_measured_s, else long clips cannot be split."
        )
    faces = Faces(tracks)
    frames = int(shots["end_frame"].max()) if len(shots) else 0
    quiet = np.ones(frames, dtype=bool)
    heard = voice["voice"].to_numpy()[:frames] >= _VOICE
    quiet[: heard.size] = ~heard
    spans = track_spans(tracks)
    rows = []
    for scene in scenes(shots):
        shown = _shown(people[people["shot"].isin(scene.shots["shot"])], spans)
        for whole in segments(scene, shown.taking_part, round(settings.max_absence_s * FPS)):
            for segment in _split(whole, quiet, settings):
                row = _row(video, source, scene, segment, shown, faces)
                row["voice_share"] = 1 - quiet[segment.start : segment.end].mean()
                if _is_candidate(segment, settings):
                    row |= _people(segment, shown, faces, min(size))
                    row["candidate"] = _is_worth_measuring(row, settings)
                rows.append(row)
    columns = schemas.schema("candidates").names
    return pd.DataFrame(rows, columns=columns) if rows else tables.empty("candidates")


def scenes(shots: pd.DataFrame) -> Iterator[Scene]:
    """Yield the scenes of a table of shots: runs of which all shots but the first begin with a jump cut."""
    number = (shots["transition"] != "jump_cut").cumsum()
    for _, run in shots.groupby(number):
        yield Scene(run, int(run["start_frame"].iloc[0]), int(run["end_frame"].iloc[-1]))


def track_spans(tracks: pd.DataFrame) -> dict[int, list[Interval]]:
    """Return the frames of each track of the table `tracks`, as intervals."""
    if tracks.empty:
        return {}
    order = np.lexsort((tracks["frame"], tracks["track"]))
    track, frame = (tracks[c].to_numpy()[order] for c in ("track", "frame"))
    first = np.flatnonzero(np.concatenate([[True], (np.diff(track) != 0) | (np.diff(frame) != 1)]))
    last = np.append(first[1:], track.size) - 1
    spans: dict[int, list[Interval]] = {}
    for number, start, end in zip(track[first].tolist(), frame[first].tolist(), frame[last].tolist(), strict=True):
        spans.setdefault(number, []).append((start, end + 1))
    return spans


def segments(scene: Scene, taking_part: dict[int, list[Interval]], absence: int) -> list[Segment]:
    """Return, in order of time, the longest segments of a scene with the same participants; they partition it.

    `taking_part` has the frames in which each participant is on screen. Gaps of up to `absence` frames in them are closed, and
    what lasts no longer between two segments of the same participants joins these. Where a dissolve or fade begins or ends, so
    does a segment.
    """
    edges = scene.shots[["start_frame", "clear_start_frame", "clear_end_frame", "end_frame"]].to_numpy()
    mixed = intervals.union([(a, b) for a, b, _, _ in edges] + [(c, d) for _, _, c, d in edges])
    events: list[tuple[int, int, int]] = [(edge, 0, -1) for edge in (scene.start, scene.end, *itertools.chain(*mixed))]
    for person, spans in taking_part.items():
        for start, end in intervals.closed(spans, absence):
            events += [(max(start, scene.start), 1, person), (min(end, scene.end), -1, person)]
    active: set[int] = set()
    since, found = scene.start, []
    for frame, group in itertools.groupby(sorted(events), key=lambda e: e[0]):
        if frame > since:
            found.append(Segment(since, frame, frozenset(active), any(a <= since < b for a, b in mixed)))
            since = frame
        for _, change, person in group:
            if change > 0:
                active.add(person)
            elif change < 0:
                active.discard(person)
    return _joined(found, absence)


def _joined(found: list[Segment], absence: int) -> list[Segment]:
    """Return segments with those of the same people joined over up to `absence` frames of others."""
    out: list[Segment] = []
    for segment in found:
        for k in range(len(out) - 1, -1, -1):
            if segment.dissolve or out[k].dissolve or segment.start - out[k].end > absence:
                out.append(segment)
                break
            if out[k].people == segment.people:
                out[k:] = [replace(out[k], end=segment.end)]
                break
        else:
            out.append(segment)
    return out


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


def _shown(people: pd.DataFrame, spans: dict[int, list[Interval]]) -> _Shown:
    """Return who is seen when, by the rows of the table `persons` of one scene and the spans of their tracks."""
    shown = _Shown()
    for row in people[people["role"].isin([PARTICIPANT, BYSTANDER])].itertuples():
        there = [span for track in row.tracks for span in spans.get(int(track), [])]
        shown.tracks.setdefault(row.person, []).extend(int(track) for track in row.tracks)
        shown.seen[row.person] = intervals.union([*shown.seen.get(row.person, []), *there])
        if row.role == PARTICIPANT:
            shown.taking_part[row.person] = intervals.union([*shown.taking_part.get(row.person, []), *there])
        if pd.notna(row.repeated_of):
            shown.repeated_of[row.person] = int(row.repeated_of)
    return shown


def _split(whole: Segment, quiet: np.ndarray, settings: Settings) -> Iterator[Segment]:
    longest = int(settings.max_clip_s * FPS)
    if not _is_candidate(whole, settings) or whole.end - whole.start <= longest:
        yield whole
        return
    length = whole.end - whole.start
    cuts = split_points(quiet[whole.start : whole.end], longest // 2, longest)
    for a, b in itertools.pairwise([0, *cuts, length]):
        yield replace(whole, start=whole.start + a, end=whole.start + b)


def _is_candidate(segment: Segment, settings: Settings) -> bool:
    return (
        not segment.dissolve
        and segment.end - segment.start >= settings.min_measured_s * FPS
        and settings.min_measured_people <= len(segment.people) <= settings.max_measured_people
    )


def _is_worth_measuring(row: dict[str, Any], settings: Settings) -> bool:
    return (
        row["face_height_share"] >= settings.min_measured_face_height_share
        and row["area_ratio"] >= settings.min_measured_area_ratio
        and row["absent_share"] <= settings.max_measured_absent_share
        and row["voice_share"] >= settings.min_measured_voice_share
    )


def _row(video: str, source: str, scene: Scene, segment: Segment, shown: _Shown, faces: Faces) -> dict[str, Any]:
    """Return the row of `candidates` of a segment without its people."""
    start, end = segment.start, segment.end
    shots = scene.shots[(scene.shots["start_frame"] < end) & (scene.shots["end_frame"] > start)]
    frames = shots["end_frame"].clip(upper=end) - shots["start_frame"].clip(lower=start)
    return {
        "clip": f"{source}_{video}_{start:06d}to{end:06d}",
        "video": video,
        "source": source,
        "shot": int(shots["shot"].iloc[0]),
        "start_frame": start,
        "end_frame": end,
        "duration_s": (end - start) / FPS,
        "num_people": len(segment.people),
        "people": [],
        "tracks": [],
        "person_tracks": [],
        "bystander_tracks": [],
        "absent_s": [],
        "candidate": False,
        "dissolve": segment.dissolve,
        "num_jump_cuts": len(shots) - 1,
        "camera_motion": shots["camera_motion"].max(),
        # Of the whole clip: between two jump cuts a picture may well stand still.
        "picture_motion": np.average(shots["picture_motion"], weights=frames),
    }


def _people(segment: Segment, shown: _Shown, faces: Faces, lines: int) -> dict[str, Any]:
    """Return the participants of a segment from left to right, how long each is away, their faces' sizes, and the bystanders.

    `lines` is the length of the picture's shorter side.
    """
    start, end = segment.start, segment.end
    here = [(start, end)]
    frames = {p: intervals.total(intervals.intersect(spans, here)) for p, spans in shown.seen.items()}
    people = sorted(segment.people)
    tracks = [_tracks_of(person, shown, faces, start, end) for person in people]
    box = faces.boxes(faces.rows([list(t) for t in tracks], start, end))
    left_to_right = np.argsort(np.nanmedian(box[..., [0, 2]].mean(axis=-1), axis=0), kind="stable")
    others = [person for person in frames if frames[person] and person not in segment.people]
    beside_tracks = [list(_tracks_of(person, shown, faces, start, end)) for person in others]
    beside = faces.boxes(faces.rows(beside_tracks, start, end))
    # Averaged over all frames, so that a person who passes by for a moment weighs little.
    largest = (np.nan_to_num(boxes.area(beside)).sum(axis=0) / (end - start)).max(initial=0)
    smallest = np.nanmedian(boxes.area(box), axis=0).min()
    sides = np.nanmedian(np.sqrt(boxes.area(box)), axis=0)
    away = np.isnan(box[..., 0])
    shows = {*people, *others}
    return {
        "people": [people[i] for i in left_to_right],
        "tracks": [max(tracks[i], key=tracks[i].get) for i in left_to_right],
        "person_tracks": [list(tracks[i]) for i in left_to_right],
        "absent_s": (away[:, left_to_right].sum(axis=0) / FPS).tolist(),
        "absent_share": away.mean(axis=0).max(),
        "face_height_share": np.nanmedian(box[..., 3] - box[..., 1], axis=0).min() / max(lines, 1),
        "area_ratio": (sides.min() / max(sides.max(), 1e-6)) ** 2,
        "num_bystanders": len(others),
        "bystander_tracks": beside_tracks,
        "bystander_ratio": largest / max(smallest, 1e-6),
        "bystander_share": (~np.isnan(beside[..., 0])).any(axis=1).mean(),
        "repeated_person": sum(shown.repeated_of.get(person) in shows for person in shows),
    }


def _tracks_of(person: int, shown: _Shown, faces: Faces, start: int, end: int) -> dict[int, int]:
    """Return the frames that each track of a person has in [start, end), in order of time, without those that have none."""
    tracks = sorted(set(shown.tracks[person]))
    seen = faces.rows([[track] for track in tracks], start, end) >= 0
    counted = {t: (int(seen[:, i].argmax()), int(seen[:, i].sum())) for i, t in enumerate(tracks) if seen[:, i].any()}
    return {t: counted[t][1] for t in sorted(counted, key=counted.get)}
