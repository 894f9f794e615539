"""Who speaks, without a learned network: the lips' motion and the sound compared over seconds.

The inner-lip gap over the face's height and the mouth's width are band-passed to the rhythm of syllables
(Chandrasekaran et al., 2009) and to slower and faster ones. Their levels over a fraction of a second, seconds and the
whole track, each without the head's own motion, the level against the other faces and the correlation with the speech
envelope are weighed by a logistic regression, whose coefficients are data (`calibration.json`).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from talking.faces.measures import BRIDGE, NOSE_BASE, down, frontal, lip_gap, mouth_width
from talking.speaking import calibration
from talking.speaking.evidence import band_pass, best_other, local_mean, voice_logit
from talking.video import media

_SYLLABLES_HZ = (1.5, 8.0)
_BANDS_HZ = {"slow": (0.6, 2.0), "middle": (2.0, 5.0), "fast": (5.0, 9.0)}
_LEVEL_S, _SECOND_S, _LONG_S = 0.2, 0.6, 2.0
_MATCH_S, _LONG_MATCH_S = 0.5, 1.5
_LAGS = range(-3, 6)
# Lags at which no lips belong to the sound: what chance reaches.
_CHANCE_LAGS = (*range(-40, -24, 3), *range(28, 44, 3))
_LOST_FRAMES = 6
_PAUSE_S = 0.2
# Motion of the gap in face heights: landmark noise, and about the limit between talking and listening.
_NOISE = 0.004
_UNDECIDED = 0.012
# The same of the nose, which is rigid, and how far lips must have moved to be counted as opening or closing.
_HEAD_NOISE, _HEAD_UNDECIDED = 0.002, 0.006
_COUNTED = 0.003
# A face must be seen for this fraction of the last second to be a rival.
_SEEN = 0.3

_WINDOW = 1024
_BLOCK = 60 * media.FPS
_SPEECH_HZ = ((200, 600), (600, 1500), (1500, 3500))


def score(tracks: pd.DataFrame, points: np.ndarray, voice: pd.DataFrame, sound: str | Path) -> np.ndarray:
    """Return the score (n,) of each row of `tracks` (n) with landmarks `points` (n, 68, 2), NaN where lost.

    `voice` is the table, `sound` a `media/` wav. The score is finite: TalkNet's logit scale, 0 the best threshold.
    """
    if tracks.empty:
        return np.zeros(0)
    return calibration.apply(calibration.load()["lip_sync"]["score"], features(tracks, points, voice, sound))


def features(tracks: pd.DataFrame, points: np.ndarray, voice: pd.DataFrame, sound: str | Path) -> dict[str, np.ndarray]:
    """Return the features of the score, each (n,) and finite, 0 where the lips cannot be seen.

    `level`, `level_second`, `level_long`, `level_track`: log motion of the lips over an undecided one, about the frame,
    over half a second, over two and over the track; the same by rhythm (`slow`, `middle`, `fast`), of the mouth's width
    (`width`), of what the gap varies by (`range`) and of the nose (`head`); `rate`: openings and closings a second;
    `match`: correlation of the lips' motion with the sound, `match_long` over seconds, `match_gain` beyond chance;
    `against`, `match_against`: level and match minus those of the best other face; `alone`: 1 if no other face's lips
    are seen; `lost`, `lost_long`: fraction of the time about the frame in which the lips are not seen; `voice`: logit of
    voice activity.
    """
    frame = tracks["frame"].to_numpy()
    n_frames = int(frame.max()) + 1
    envelope = speech_envelope(sound, n_frames)
    columns: dict[str, np.ndarray] = {}
    for rows in tracks.groupby("track").indices.values():
        start, length = frame[rows].min(), frame[rows].max() - frame[rows].min() + 1
        whole = np.full((length, *np.shape(points)[1:]), np.nan)
        whole[frame[rows] - start] = points[rows]
        for name, values in _motion(whole, envelope[:, start : start + length]).items():
            columns.setdefault(name, np.zeros(len(tracks)))[rows] = values[frame[rows] - start]
    seen = 1 - columns["lost"]
    rival_level, rival = best_other(frame, np.where(seen > _SEEN, columns["level"], -np.inf), 0)
    rival_match, _ = best_other(frame, np.where(seen > _SEEN, columns["match"], -np.inf), 0)
    columns["against"] = np.where(rival, columns["level"] - rival_level, 0) * seen
    columns["match_against"] = np.where(rival, columns["match"] - rival_match, 0) * seen
    columns["alone"] = (~rival) * seen
    for name in columns.keys() - {"lost", "lost_long", "against", "match_against", "alone"}:
        columns[name] = columns[name] * seen
    columns["voice"] = voice_logit(voice, n_frames, _PAUSE_S)[frame]
    return columns


def speech_envelope(sound: str | Path, n_frames: int) -> np.ndarray:
    """Return log energies (bands, n_frames) of speech bands at the frames' times, band-passed to syllables."""
    blocks = range(0, n_frames, _BLOCK)
    power = np.concatenate([_band_power(sound, start, min(start + _BLOCK, n_frames)) for start in blocks])
    # A floor at the level of the pauses: the rustle of a silent microphone is no rhythm.
    floor = np.maximum(np.maximum(np.percentile(power, 10, axis=0), power.max(axis=0) * 1e-5), 1e-10)
    return np.array([band_pass(band, np.ones(n_frames), *_SYLLABLES_HZ) for band in np.log(power + floor).T])


def _band_power(sound: str | Path, start: int, end: int) -> np.ndarray:
    """Return the mean power (frames, bands) of the sound under a Hann window of 64 ms about each frame's centre."""
    before = 1 if start > 0 else 0
    samples = media.sound(sound, start - before, end + 1)
    side = (_WINDOW - media.SAMPLES_PER_FRAME) // 2
    samples = samples[media.SAMPLES_PER_FRAME - side :] if before else np.pad(samples, (side, 0))
    wanted = (end - start) * media.SAMPLES_PER_FRAME + 2 * side
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[:: media.SAMPLES_PER_FRAME]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2 / _WINDOW**2
    hz = np.fft.rfftfreq(_WINDOW, 1 / media.SOUND_HZ)
    return np.stack([spectrum[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in _SPEECH_HZ], axis=1)


def _motion(points: np.ndarray, envelope: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features (t,) of one track's landmarks (t, 68, 2) beside the envelope (bands, t), but those against others."""
    gap, seen = _filled(lip_gap(points))
    width, nose = _filled(mouth_width(points))[0], _filled(down(points, BRIDGE, NOSE_BASE))[0]
    weight = seen * _filled(frontal(points))[0]
    always = np.ones(len(seen))
    moving = band_pass(gap, seen, *_SYLLABLES_HZ)

    def level(values: np.ndarray, band: tuple[float, float], sigma_s: float) -> np.ndarray:
        # The nose is rigid: what seems to move it in and out moves the lips as much.
        own, head = (local_mean(band_pass(v, seen, *band) ** 2, seen, sigma_s) for v in (values, nose))
        return _log_level(np.sqrt(np.maximum(own - head, 0)))

    out = {
        "level": level(gap, _SYLLABLES_HZ, _LEVEL_S),
        "level_second": level(gap, _SYLLABLES_HZ, _SECOND_S),
        "level_long": level(gap, _SYLLABLES_HZ, _LONG_S),
        "level_track": np.full(len(seen), _log_level(np.sqrt(np.sum(moving**2 * weight) / max(weight.sum(), 1e-6)))),
        "width": level(width, _SYLLABLES_HZ, _LEVEL_S),
        "width_long": level(width, _SYLLABLES_HZ, _LONG_S),
    }
    for name, band in _BANDS_HZ.items():
        out |= {name: level(gap, band, _LEVEL_S), f"{name}_long": level(gap, band, _LONG_S)}
    nodding = band_pass(nose, seen, *_SYLLABLES_HZ) ** 2
    for name, sigma_s in (("", _LEVEL_S), ("_long", _LONG_S)):
        varies = local_mean(gap**2, seen, sigma_s) - local_mean(gap, seen, sigma_s) ** 2
        out["range" + name] = _log_level(np.sqrt(np.maximum(varies, 0)))
        head = np.sqrt(np.maximum(local_mean(nodding, seen, sigma_s), 0))
        out["head" + name] = np.log((head + _HEAD_NOISE) / (_HEAD_UNDECIDED + _HEAD_NOISE))
        out["lost" + name] = 1 - local_mean(weight, always, sigma_s)
    turns = np.diff(np.sign(moving), prepend=np.sign(moving[:1])) != 0
    out["rate"] = local_mean((turns & (np.abs(moving) > _COUNTED)).astype(float), always, _SECOND_S) * media.FPS
    out["match"] = _match(moving, envelope, seen, _LAGS, _MATCH_S)
    out["match_long"] = _match(moving, envelope, seen, _LAGS, _LONG_MATCH_S)
    out["match_gain"] = out["match_long"] - _match(moving, envelope, seen, _CHANCE_LAGS, _LONG_MATCH_S)
    return out


def _log_level(moved: np.ndarray) -> np.ndarray:
    return np.log((moved + _NOISE) / (_UNDECIDED + _NOISE))


def _match(
    moving: np.ndarray, envelope: np.ndarray, weight: np.ndarray, lags: Iterable[int], sigma_s: float
) -> np.ndarray:
    """Return the best correlation (t,) over lags of the lips' motion (t,) with the envelope's bands, averaged."""
    own = local_mean(moving**2, weight, sigma_s) + _NOISE**2
    best = np.full(len(moving), -1.0)
    for lag in lags:
        # Lag > 0: the lips move before the sound is heard.
        at = np.clip(np.arange(len(moving)) + lag, 0, len(moving) - 1)
        heard = envelope[:, at]
        parts = [
            local_mean(moving * band, weight, sigma_s) / np.sqrt(own * (local_mean(band**2, weight, sigma_s) + 0.05))
            for band in heard
        ]
        best = np.maximum(best, np.mean(parts, axis=0))
    return best


def _filled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values (t,) with short gaps interpolated and long ones 0, and 1 where there is a value, else 0."""
    near = pd.Series(values).interpolate(limit=_LOST_FRAMES, limit_direction="both")
    return near.fillna(0).to_numpy(), near.notna().to_numpy().astype(float)
