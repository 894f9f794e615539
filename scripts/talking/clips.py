"""Clips: the longest stretches of a shot in which the set of people on screen does not change, and what can be measured of them.

Nothing is dropped here: the stretches partition every shot, and a threshold on a quality is applied by `gates` alone.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking import boxes, cli, intervals, tables, turns
from talking.arrays import opened
from talking.errors import InputError
from talking.intervals import Interval
from talking.media import FPS
from talking.speaking import evidence, lip_sync

BOX = ["x1", "y1", "x2", "y2"]
# The rhythm of syllables (Chandrasekaran et al., 2009), and the width of a Gaussian that covers about a second.
_SYLLABLES_HZ = (1.5, 8.0)
_LEVEL_S = 0.3


@dataclass
class Settings:
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
    voice_threshold: float = cli.setting(0.5, "voice probability from which a voice is heard", minimum=0, maximum=1)
    min_talker_s: float = cli.setting(1.0, "seconds of speech that make somebody a talker of the clip", minimum=0)
    turn_pause_s: float = cli.setting(0.5, "a pause of a talker up to this long does not end the turn", minimum=0)
    lip_motion: float = cli.setting(
        0.006,
        "lips move from this motion of the inner-lip gap on, in face heights (RMS over about a second, 1.5-8 Hz)",
        minimum=0,
    )
    turned_away_deg: float = cli.setting(60.0, "yaw beyond which a head is turned away", minimum=0)


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


class Faces:
    """The faces of a video with everything known of each, found by track and frame.

    `tracks`, `speaking` and `landmarks` are as the stages wrote them; a row that speaking lacks has score NaN and is silent.
    """

    def __init__(
        self, tracks: pd.DataFrame, speaking: pd.DataFrame, landmarks: dict[str, np.ndarray] | None = None
    ) -> None:
        """Index the rows of `tracks`; raises InputError if the landmarks are of other rows."""
        order = np.lexsort((tracks["frame"], tracks["track"]))
        is_in_order = bool((np.diff(order) == 1).all())
        self._key = _key(tracks["track"].to_numpy()[order], tracks["frame"].to_numpy()[order])
        self.box = tracks[BOX].to_numpy(dtype=np.float32)[order]
        self.detected = tracks["detected"].to_numpy()[order]
        at, known = self._find(speaking["track"].to_numpy(), speaking["frame"].to_numpy())
        self.score, self.speaking, self.confidence = (np.full(len(order), fill) for fill in (np.nan, False, np.nan))
        self.score[at[known]] = speaking["score"].to_numpy()[known]
        self.speaking[at[known]] = speaking["speaking"].to_numpy()[known]
        self.confidence[at[known]] = speaking["speaking_confidence"].to_numpy()[known]
        for name, values in (landmarks or {}).items():
            if len(values) != len(order):
                raise InputError(
                    f"The landmarks ({len(values)} faces) are not of these tracks ({len(order)} faces); run again."
                )
            # A long video's landmarks are large: they are not copied where they lie in order already.
            setattr(self, name, values if is_in_order else values[order])

    def rows(self, tracks: list[int], start: int, end: int) -> np.ndarray:
        """Return the row numbers (frames, people) of `tracks` in frames [start, end); raises KeyError where a face is absent."""
        frame, track = np.meshgrid(np.arange(start, end), np.asarray(tracks, dtype=int), indexing="ij")
        at, known = self._find(track, frame)
        if not known.all():
            raise KeyError(f"Tracks {tracks} are not all on screen in frames {start} to {end}.")
        return at

    def _find(self, track: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = _key(track, frame)
        at = np.searchsorted(self._key, wanted)
        known = at < self._key.size
        known[known] = self._key[at[known]] == wanted[known]
        return at, known


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
    loud = _of_length(voice["voice"].to_numpy() >= settings.voice_threshold, frames)
    heard = turns.spoken_frames(turns.read(rttm), frames)
    ignored = {"brief": _IntervalIndex(seen, brief), "tiny": _IntervalIndex(seen, tiny & ~brief)}
    by_shot = shots.set_index("shot")
    rows = []
    for whole in stretches(people, shots, settings.max_people):
        for stretch in _split(whole, faces, loud, settings):
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
            }
            if not reasons:
                row |= measure(stretch, faces, loud, heard, settings)
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


def lip_motion(points: np.ndarray) -> np.ndarray:
    """Return how much the lips of landmarks (frames, 68, 2) move (frames,), in face heights; NaN where they are lost.

    It is the RMS over about a second of the inner-lip gap at the rhythm of syllables.
    """
    gap = lip_sync.lip_gap(points)
    seen = np.isfinite(gap).astype(float)
    moving = evidence.band_pass(np.nan_to_num(gap), seen, *_SYLLABLES_HZ)
    return np.where(seen > 0, np.sqrt(evidence.local_mean(moving**2, seen, _LEVEL_S)), np.nan)


def measure(
    stretch: Stretch, faces: Faces, loud: np.ndarray, heard: dict[str, np.ndarray], settings: Settings
) -> dict[str, object]:
    """Return the measured qualities of a clip, by their column of `candidates`, its tracks in order from left to right.

    `loud` (frames of the video,) says where a voice is heard; `heard` gives each diarized speaker's frames.
    """
    span = slice(stretch.start, stretch.end)
    rows = faces.rows(stretch.tracks, stretch.start, stretch.end)
    centre = np.median(faces.box[rows][..., [0, 2]].mean(axis=-1), axis=0)
    left_to_right = np.argsort(centre, kind="stable")
    rows = rows[:, left_to_right]
    box, speaking, loud = faces.box[rows], faces.speaking[rows], loud[span]
    size = np.sqrt(boxes.area(box))
    median_size = np.median(size, axis=0)
    seconds = speaking.sum(axis=0) / FPS
    anyone = speaking.any(axis=1)
    points, yaw = faces.points[rows], np.abs(faces.yaw[rows])
    marked = np.isfinite(points).all(axis=(2, 3))
    moving = np.stack([lip_motion(points[:, i]) for i in range(rows.shape[1])], axis=1)
    # Where the lips cannot be seen the sound alone decides.
    borne_out = loud[:, None] & ((moving >= settings.lip_motion) | ~marked)
    known_yaw = np.where(marked, yaw, np.nan)
    enough = settings.min_talker_s * FPS
    return {
        "tracks": [stretch.tracks[i] for i in left_to_right],
        "face_px": median_size.min(),
        "face_px_min": size.min(),
        "area_ratio": (median_size.min() / max(median_size.max(), 1e-6)) ** 2,
        "speaking_s": seconds.tolist(),
        "num_talkers": int((seconds >= settings.min_talker_s).sum()),
        "talking_s": anyone.sum() / FPS,
        "num_turns": count_turns(speaking, round(settings.turn_pause_s * FPS)),
        "speaking_share": anyone.mean(),
        "overlap_share": (speaking.sum(axis=1) > 1).mean(),
        "off_screen_share": (loud & ~anyone).mean(),
        "num_voices": sum(int(mask[span].sum() >= enough) for mask in heard.values()),
        "mouth_sound_agreement": borne_out[speaking].mean() if speaking.any() else np.nan,
        "speaking_confidence": _mean_known(faces.confidence[rows]),
        "sharpness": min((_median_known(faces.blur[rows[:, i]]) for i in range(rows.shape[1])), default=np.nan),
        "yaw_deg": max(_percentile_known(known_yaw[:, i], 95) for i in range(rows.shape[1])),
        "turned_away_share": (known_yaw > settings.turned_away_deg).mean(axis=0).max(),
        "detected_share": faces.detected[rows].mean(axis=0).min(),
        "landmark_share": marked.mean(axis=0).min(),
    }


def count_turns(speaking: np.ndarray, pause: int) -> int:
    """Return the number of turns in masks (frames, people): speaking periods by their starts, one person's in a row being one.

    A pause of up to `pause` frames does not end a period.
    """
    periods = []
    for person in range(speaking.shape[1]):
        spoken = intervals.from_mask(speaking[:, person])
        closed = [(a[1], b[0]) for a, b in itertools.pairwise(spoken) if b[0] - a[1] <= pause]
        periods += [(start, end, person) for start, end in intervals.union([*spoken, *closed])]
    return sum(1 for _ in itertools.groupby(sorted(periods), key=lambda period: period[2]))


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


def _key(track: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return track.astype(np.int64) << 32 | frame.astype(np.int64)


def _of_length(mask: np.ndarray, length: int) -> np.ndarray:
    """Return a mask cut off or filled with false to `length` values."""
    return np.concatenate([mask[:length], np.zeros(max(length - mask.size, 0), dtype=bool)])


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _mean_known(values: np.ndarray) -> float:
    return float(_known(values).mean()) if _known(values).size else np.nan


def _median_known(values: np.ndarray) -> float:
    return float(np.median(_known(values))) if _known(values).size else np.nan


def _percentile_known(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(_known(values), percent)) if _known(values).size else np.nan
