"""Measured qualities of a clip: how large, sharp and turned its faces are, who talks, and whether mouths fit the sound."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talking.core import boxes, cli, intervals, tables
from talking.core.arrays import opened
from talking.faces import measures
from talking.faces.tracked import Faces
from talking.speaking import evidence
from talking.speech import turns
from talking.video import media
from talking.video.media import FPS

# The rhythm of syllables (Chandrasekaran et al., 2009), and the width of a Gaussian that covers about a second.
_SYLLABLES_HZ = (1.5, 8.0)
_LEVEL_S = 0.3
# Sound is looked for this many frames before and after the lips' motion.
_SYNC_LAGS = range(-15, 16)
# Loudness of digital silence.
_SILENT_DB = -100.0
# The level of pauses, as a percentile of the loudness of a video.
_PAUSES_PERCENT = 20
# Rounds of fitting shapes to their mean: it hardly changes after the second.
_ROUNDS = 3
# A voice is off screen if it is so probable that nobody on screen speaks.
_NOBODY = 0.7
# Fraction of a face from which it counts as covered.
_COVERED = 0.2


@dataclass
class Settings:
    """Settings of measured qualities."""

    voice_threshold: float = cli.setting(0.5, "voice probability from which a voice is heard", minimum=0, maximum=1)
    min_talker_s: float = cli.setting(1.0, "seconds of speech that make somebody a talker of the clip", minimum=0)
    turn_pause_s: float = cli.setting(0.5, "a pause of a talker up to this long does not end the turn", minimum=0)
    answer_s: float = cli.setting(
        2.0, "a turn answers another person's turn if it begins at most so many seconds after its end", minimum=0
    )
    lip_motion: float = cli.setting(
        0.006,
        "motion of the inner-lip gap from which lips count as moving, in face heights (RMS over about a second, 1.5-8 Hz)",
        minimum=0,
    )
    turned_away_deg: float = cli.setting(60.0, "yaw beyond which a head is turned away", minimum=0)
    min_sync_confidence: float = cli.setting(
        0.5,
        "confidence from which an offset between sound and mouth counts; true offsets of synthetic videos have 0.5 to 0.8",
        minimum=0,
    )
    min_sync_s: float = cli.setting(
        4.0,
        "seconds for which somebody must speak alone for an offset to count; with less, any offset may fit",
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


def lip_motion(points: np.ndarray) -> np.ndarray:
    """Return how much the lips of landmarks (frames, 68, 2) move (frames,), in face heights; NaN where they are lost.

    It is the RMS over about a second of the inner-lip gap at the rhythm of syllables.
    """
    gap = measures.lip_gap(points)
    seen = np.isfinite(gap).astype(float)
    moving = evidence.band_pass(np.nan_to_num(gap), seen, *_SYLLABLES_HZ)
    return np.where(seen > 0, np.sqrt(evidence.local_mean(moving**2, seen, _LEVEL_S)), np.nan)


def sync_offset(points: np.ndarray, speaking: np.ndarray, rhythm: np.ndarray) -> tuple[float, float]:
    """Return by how many frames the sound leads a speaker's mouth, and the confidence.

    `points` (t, 68, 2) are the landmarks, `speaking` (t,) the decision, `rhythm` (t,) the loudness at the rhythm of syllables. The
    offset is where the lips' opening correlates best with it; the confidence is how far that exceeds the median over all offsets
    (after Chung & Zisserman, 2016). Negative: the sound comes late. Both 0 if the mouth is never seen to speak.
    """
    gap = measures.lip_gap(points)
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
    height = abs(mean[measures.CHIN] - mean[measures.BRIDGE])
    return float(np.sqrt((np.abs(shape - mean) ** 2).mean()) / max(height, 1e-9))


def covered_share(box: np.ndarray) -> np.ndarray:
    """Return for each person of face boxes (t, p, 4) the fraction (p,) of frames in which a larger face covers a fifth of theirs.

    Boxes are NaN in frames in which a face is absent; such a face neither covers nor is covered.
    """
    people = box.shape[1]
    covered = np.zeros(box.shape[:2], dtype=bool)
    area = boxes.area(box)
    for i, j in itertools.permutations(range(people), 2):
        shared = boxes.area(boxes.intersection(box[:, i], box[:, j]))
        covered[:, i] |= (shared > _COVERED * area[:, i]) & (area[:, j] > area[:, i])
    return covered.mean(axis=0)


def of_video(
    media_file: str | Path,
    candidates: pd.DataFrame,
    tracks: pd.DataFrame,
    landmarks: str | Path,
    speaking: pd.DataFrame,
    voice: pd.DataFrame,
    rttm: str | Path,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Return the table `qualities` of a video from the tables and arrays of earlier stages.

    Raises InputError if the landmarks are of other tracks.
    """
    settings = settings or Settings()
    if not candidates["candidate"].any():
        return tables.empty("qualities")
    frames = media.size_and_length(media_file)[2]
    with opened(landmarks) as arrays:
        faces = Faces(tracks, speaking, {name: arrays[name] for name in ("points", "yaw", "blur")})
    sound = Sound(
        _of_length(voice["voice"].to_numpy() >= settings.voice_threshold, frames),
        _of_length(voice["loudness_db"].to_numpy(), frames, _SILENT_DB),
        turns.spoken_frames(turns.read(rttm), frames),
    )
    return measure(candidates, faces, sound, settings)


def measure(candidates: pd.DataFrame, faces: Faces, sound: Sound, settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `qualities`: a row for each row of `candidates` that is one.

    `faces` has the landmarks `points`, `yaw` and `blur`.
    """
    settings = settings or Settings()
    rows = [_measured(clip, faces, sound, settings) for clip in candidates[candidates["candidate"]].itertuples()]
    return tables.of_rows("qualities", rows)


def _measured(clip: Any, faces: Faces, sound: Sound, settings: Settings) -> dict[str, object]:
    span = slice(clip.start_frame, clip.end_frame)
    rows = faces.rows(clip.person_tracks, clip.start_frame, clip.end_frame)
    there = rows >= 0
    box, speaking, loud = faces.boxes(rows), faces.of(faces.speaking, rows, False), sound.voice[span]
    side = np.sqrt(boxes.area(box))
    median_side = np.nanmedian(side, axis=0)
    seconds = speaking.sum(axis=0) / FPS
    anyone, everyone_there = speaking.any(axis=1), there.all(axis=1)
    # How probable it is that all who are labelled silent are.
    all_silent = np.where(speaking, 1.0, faces.of(faces.confidence, rows, 1.0)).prod(axis=1)
    points, yaw = faces.of(faces.points, rows, np.nan), np.abs(faces.of(faces.yaw, rows, np.nan))
    marked = np.isfinite(points).all(axis=(2, 3))
    moving = np.stack([lip_motion(points[:, i]) for i in range(rows.shape[1])], axis=1)
    # Where the lips cannot be seen, the sound alone decides.
    borne_out = loud[:, None] & ((moving >= settings.lip_motion) | ~marked)
    known_yaw = np.where(marked, yaw, np.nan)
    enough = settings.min_talker_s * FPS
    taken = turns_of(speaking, round(settings.turn_pause_s * FPS))
    blur = faces.of(faces.blur, rows, np.nan)
    people = range(rows.shape[1])
    return {
        "clip": clip.clip,
        "face_px": median_side.min(),
        "face_px_min": np.nanmin(side),
        "speaking_s": seconds.tolist(),
        "num_talkers": int((seconds >= settings.min_talker_s).sum()),
        "talking_s": anyone.sum() / FPS,
        "num_turns": len(taken),
        "num_exchanges": len(answers(taken, round(settings.answer_s * FPS))),
        "talk_balance": talk_balance(seconds),
        "speaking_share": anyone.mean(),
        "overlap_share": (speaking.sum(axis=1) > 1).mean(),
        # A voice may belong to a participant who is away, or whose lips are too small or dark to tell.
        "off_screen_share": (loud & ~anyone & everyone_there & (all_silent >= _NOBODY)).mean(),
        "num_voices": sum(int(mask[span].sum() >= enough) for mask in sound.speakers.values()),
        "mouth_sound_agreement": borne_out[speaking].mean() if speaking.any() else np.nan,
        "speaking_confidence": _mean_known(faces.of(faces.confidence, rows, np.nan)),
        "sharpness": _extreme_known(min, (_median_known(blur[:, i]) for i in people)),
        "yaw_deg": _extreme_known(max, (_percentile_known(known_yaw[:, i], 95) for i in people)),
        "turned_away_share": (known_yaw > settings.turned_away_deg).mean(axis=0).max(),
        "detected_share": min(faces.detected[rows[there[:, i], i]].mean() for i in people),
        "landmark_share": (marked.sum(axis=0) / there.sum(axis=0)).min(),
        "face_motion": _extreme_known(min, (face_motion(points[:, i]) for i in people)),
        "covered_share": covered_share(box).max(),
        **_sync(points, speaking, sound.rhythm[span], settings),
    }


def _sync(points: np.ndarray, speaking: np.ndarray, rhythm: np.ndarray, settings: Settings) -> dict[str, object]:
    alone = speaking & (speaking.sum(axis=1, keepdims=True) == 1)
    found = [sync_offset(points[:, i], alone[:, i], rhythm) for i in range(speaking.shape[1])]
    is_enough = alone.sum(axis=0) >= settings.min_sync_s * FPS
    sure = [
        abs(lead)
        for (lead, confidence), enough in zip(found, is_enough, strict=True)
        if enough and confidence >= settings.min_sync_confidence
    ]
    return {
        "sync_offsets": [lead for lead, _ in found],
        "sync_confidences": [confidence for _, confidence in found],
        "sync_error_frames": max(sure, default=np.nan),
    }


def turns_of(speaking: np.ndarray, pause: int) -> list[tuple[int, int, int]]:
    """Return the turns (start, end, person) in masks (frames, people) by their starts, successive ones of one person as one.

    A pause of up to `pause` frames does not end a speaking period.
    """
    periods = [
        (start, end, person)
        for person in range(speaking.shape[1])
        for start, end in intervals.closed(intervals.from_mask(speaking[:, person]), pause)
    ]
    taken = []
    for person, group in itertools.groupby(sorted(periods), key=lambda period: period[2]):
        said = list(group)
        taken.append((said[0][0], max(end for _, end, _ in said), person))
    return taken


def answers(taken: list[tuple[int, int, int]], answer: int) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Return the turns that are answered, each with its answer: another person's turn begins before it ends or within `answer` frames after."""
    return [(earlier, later) for earlier, later in itertools.pairwise(taken) if later[0] - earlier[1] <= answer]


def talk_balance(seconds: np.ndarray) -> float:
    """Return the fraction of all talk by the second most talkative person: 0 for a monologue or silence, at most 0.5."""
    return float(np.sort(seconds)[::-1][1:2].sum() / max(seconds.sum(), 1e-6))


def _of_length(values: np.ndarray, length: int, filling: float = 0) -> np.ndarray:
    """Return values cut off or filled to `length`."""
    return np.pad(values[:length], (0, max(length - values.size, 0)), constant_values=filling)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _extreme_known(of: Callable[..., float], values: Iterable[float]) -> float:
    """Return the least or greatest known value over people; NaN is unknown."""
    return of((value for value in values if np.isfinite(value)), default=np.nan)


def _mean_known(values: np.ndarray) -> float:
    return float(_known(values).mean()) if _known(values).size else np.nan


def _median_known(values: np.ndarray) -> float:
    return float(np.median(_known(values))) if _known(values).size else np.nan


def _percentile_known(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(_known(values), percent)) if _known(values).size else np.nan
