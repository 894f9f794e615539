"""What can be measured of a clip: how large, sharp and turned its faces are, who talks, and whether mouths go with the sound."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from talking import boxes, cli, intervals
from talking.errors import InputError
from talking.media import FPS
from talking.speaking import evidence, lip_sync

BOX = ["x1", "y1", "x2", "y2"]
# The rhythm of syllables (Chandrasekaran et al., 2009), and the width of a Gaussian that covers about a second.
_SYLLABLES_HZ = (1.5, 8.0)
_LEVEL_S = 0.3
# Sound is looked for this many frames before and after the lips' motion.
_SYNC_LAGS = range(-15, 16)
# The level of pauses, as a percentile of the loudness of a video.
_PAUSES_PERCENT = 20
# Rounds of fitting shapes to their mean: it hardly changes after the second.
_ROUNDS = 3
# Share of a face from which it is covered.
_COVERED = 0.2


@dataclass
class Settings:
    """Settings of measuring."""

    voice_threshold: float = cli.setting(0.5, "voice probability from which a voice is heard", minimum=0, maximum=1)
    min_talker_s: float = cli.setting(1.0, "seconds of speech that make somebody a talker of the clip", minimum=0)
    turn_pause_s: float = cli.setting(0.5, "a pause of a talker up to this long does not end the turn", minimum=0)
    lip_motion: float = cli.setting(
        0.006,
        "lips move from this motion of the inner-lip gap on, in face heights (RMS over about a second, 1.5-8 Hz)",
        minimum=0,
    )
    turned_away_deg: float = cli.setting(60.0, "yaw beyond which a head is turned away", minimum=0)
    min_sync_confidence: float = cli.setting(
        0.5,
        "confidence from which the frames count by which sound leads a mouth; true offsets of filmed people have 0.5 to 0.8",
        minimum=0,
    )


@dataclass
class Sound:
    """What is heard in a video's frames (t,): whether a `voice` is, how loud it is (`loudness_db`), and which diarized
    speaker in which frames."""

    voice: np.ndarray
    loudness_db: np.ndarray
    speakers: dict[str, np.ndarray]

    @cached_property
    def rhythm(self) -> np.ndarray:
        """The loudness at the rhythm of syllables (t,)."""
        if not self.loudness_db.size:
            return self.loudness_db
        floor = np.percentile(self.loudness_db, _PAUSES_PERCENT)
        loud = np.maximum(self.loudness_db, floor)
        return evidence.band_pass(loud, np.ones(loud.size), *_SYLLABLES_HZ)


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
                    f"The landmarks ({len(values)} faces) are not of these tracks ({len(order)} faces); delete both files and run again."
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


def lip_motion(points: np.ndarray) -> np.ndarray:
    """Return how much the lips of landmarks (frames, 68, 2) move (frames,), in face heights; NaN where they are lost.

    It is the RMS over about a second of the inner-lip gap at the rhythm of syllables.
    """
    gap = lip_sync.lip_gap(points)
    seen = np.isfinite(gap).astype(float)
    moving = evidence.band_pass(np.nan_to_num(gap), seen, *_SYLLABLES_HZ)
    return np.where(seen > 0, np.sqrt(evidence.local_mean(moving**2, seen, _LEVEL_S)), np.nan)


def sync_offset(points: np.ndarray, speaking: np.ndarray, rhythm: np.ndarray) -> tuple[float, float]:
    """Return by how many frames the sound leads a speaker's mouth, and the confidence.

    `points` (t, 68, 2) are the landmarks, `speaking` (t,) the decision, `rhythm` (t,) the loudness at the rhythm of syllables. The
    offset is where the lips' opening correlates best with it; the confidence is how far that exceeds the median over all offsets
    (after Chung & Zisserman, 2016). Negative: the sound comes late. Both 0 if the mouth is never seen to speak.
    """
    gap = lip_sync.lip_gap(points)
    weight = (np.isfinite(gap) & speaking).astype(float)
    moving = evidence.band_pass(np.nan_to_num(gap), np.isfinite(gap).astype(float), *_SYLLABLES_HZ)
    frames, correlations = len(gap), []
    leads = [lead for lead in _SYNC_LAGS if abs(lead) < frames]
    for lead in leads:
        lips = slice(max(lead, 0), frames + min(lead, 0))
        heard = rhythm[max(-lead, 0) : frames - max(lead, 0)]
        w, m = weight[lips], moving[lips]
        norm = np.sqrt((w * m**2).sum() * (w * heard**2).sum())
        correlations.append((w * m * heard).sum() / norm if norm > 0 else 0.0)
    if not np.any(correlations):
        return 0.0, 0.0
    best = int(np.argmax(correlations))
    return float(leads[best]), float(correlations[best] - np.median(correlations))


def face_motion(points: np.ndarray) -> float:
    """Return how much landmarks (t, 68, 2) move against each other, in face heights (RMS); NaN if none is known.

    Shift, size and roll of the face are taken out (generalised Procrustes analysis), so that a photograph that is carried
    about or zoomed into has next to none.
    """
    points = points[np.isfinite(points).all(axis=(1, 2))].astype(float)
    if not len(points):
        return float("nan")
    shape = points[..., 0] + 1j * points[..., 1]
    shape -= shape.mean(axis=1, keepdims=True)
    shape /= np.maximum(np.linalg.norm(shape, axis=1, keepdims=True), 1e-9)
    mean = shape[0]
    for _ in range(_ROUNDS):
        turn = shape.conj() @ mean
        shape *= (turn / np.maximum(np.abs(turn), 1e-9))[:, None]
        mean = shape.mean(axis=0)
    height = abs(mean[lip_sync.CHIN] - mean[lip_sync.BRIDGE])
    return float(np.sqrt((np.abs(shape - mean) ** 2).mean()) / max(height, 1e-9))


def covered_share(box: np.ndarray) -> np.ndarray:
    """Return for each person of face boxes (t, p, 4) the share (p,) of frames in which a larger face covers a fifth of theirs."""
    people = box.shape[1]
    covered = np.zeros(box.shape[:2], dtype=bool)
    area = boxes.area(box)
    for i, j in itertools.permutations(range(people), 2):
        shared = boxes.area(boxes.intersection(box[:, i], box[:, j]))
        covered[:, i] |= (shared > _COVERED * area[:, i]) & (area[:, j] > area[:, i])
    return covered.mean(axis=0)


def measure(
    tracks: list[int], start: int, end: int, faces: Faces, sound: Sound, settings: Settings
) -> dict[str, object]:
    """Return the measured qualities of a clip, by their column of `candidates`, its tracks in order from left to right."""
    span = slice(start, end)
    rows = faces.rows(tracks, start, end)
    centre = np.median(faces.box[rows][..., [0, 2]].mean(axis=-1), axis=0)
    left_to_right = np.argsort(centre, kind="stable")
    rows = rows[:, left_to_right]
    box, speaking, loud = faces.box[rows], faces.speaking[rows], sound.voice[span]
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
        "tracks": [tracks[i] for i in left_to_right],
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
        "num_voices": sum(int(mask[span].sum() >= enough) for mask in sound.speakers.values()),
        "mouth_sound_agreement": borne_out[speaking].mean() if speaking.any() else np.nan,
        "speaking_confidence": _mean_known(faces.confidence[rows]),
        "sharpness": _extreme_known(min, (_median_known(faces.blur[rows[:, i]]) for i in range(rows.shape[1]))),
        "yaw_deg": _extreme_known(max, (_percentile_known(known_yaw[:, i], 95) for i in range(rows.shape[1]))),
        "turned_away_share": (known_yaw > settings.turned_away_deg).mean(axis=0).max(),
        "detected_share": faces.detected[rows].mean(axis=0).min(),
        "landmark_share": marked.mean(axis=0).min(),
        "face_motion": _extreme_known(min, (face_motion(points[:, i]) for i in range(rows.shape[1]))),
        "covered_share": covered_share(box).max(),
        **_sync(points, speaking, sound.rhythm[span], settings),
    }


def _sync(points: np.ndarray, speaking: np.ndarray, rhythm: np.ndarray, settings: Settings) -> dict[str, object]:
    found = [sync_offset(points[:, i], speaking[:, i], rhythm) for i in range(speaking.shape[1])]
    # Of a word or two any offset may fit.
    talks = speaking.sum(axis=0) >= settings.min_talker_s * FPS
    sure = [
        abs(lead)
        for (lead, confidence), is_talker in zip(found, talks, strict=True)
        if is_talker and confidence >= settings.min_sync_confidence
    ]
    return {
        "sync_offsets": [lead for lead, _ in found],
        "sync_confidences": [confidence for _, confidence in found],
        "sync_error_frames": max(sure, default=np.nan),
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


def _key(track: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return track.astype(np.int64) << 32 | frame.astype(np.int64)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _extreme_known(of: Callable[..., float], values: Iterable[float]) -> float:
    """Return the least or greatest value of the people of whom it is known: NaN is neither less nor more than anything."""
    return of((value for value in values if np.isfinite(value)), default=np.nan)


def _mean_known(values: np.ndarray) -> float:
    return float(_known(values).mean()) if _known(values).size else np.nan


def _median_known(values: np.ndarray) -> float:
    return float(np.median(_known(values))) if _known(values).size else np.nan


def _percentile_known(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(_known(values), percent)) if _known(values).size else np.nan
