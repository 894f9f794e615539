"""Who speaks, without a learned network: the lips' motion and the sound judged together over seconds.

The inner-lip gap over the face's height is band-passed to the rhythm of syllables (Chandrasekaran et al., 2009); its
level over a second, its level against the other faces and its correlation with the speech envelope are weighed by a
small logistic regression whose coefficients are data (`calibration.json`, fitted by `scripts/calibrate_speaking.py`).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from talking import media
from talking.speaking import calibration, fusion

# Points of the iBUG-68 order.
BRIDGE, CHIN = 27, 8
INNER_LIPS = ((61, 67), (62, 66), (63, 65))
MOUTH_CORNERS = (48, 54)

# A Gaussian of this many frames halves the power at the frequency: sqrt(ln 2) / 2π · 25 / f.
_SYLLABLES = (1.5, 8.0)
_LEVEL_S = 0.3
_MATCH_S = 0.6
_LAGS = range(-3, 6)
_LOST_FRAMES = 6
_SEEN = 0.3
_PAUSE_S = 0.4
# Below this motion of the gap (face heights) a difference is landmark noise, not speech.
_FLOOR = 0.003
_WINDOW = 1024
_BLOCK = 60 * media.FPS
_SPEECH_HZ = ((200, 600), (600, 1500), (1500, 3500))


def score(tracks: pd.DataFrame, points: np.ndarray, voice: pd.DataFrame, sound: str | Path) -> np.ndarray:
    """Return the score (n,) of each row of `tracks` (n) with landmarks `points` (n, 68, 2), NaN where lost.

    `voice` is the table, `sound` a `media/` wav. The score is finite: TalkNet's logit scale, 0 the best threshold.
    """
    if tracks.empty:
        return np.zeros(0)
    return calibration.apply("lip_sync", features(tracks, points, voice, sound))


def features(tracks: pd.DataFrame, points: np.ndarray, voice: pd.DataFrame, sound: str | Path) -> dict[str, np.ndarray]:
    """Return what the score is made of, each (n,) and finite.

    `level`: log motion of the lips (0 where lost); `against`: that minus the most moving other face's;
    `rivals`: 1 if another face is seen; `match`: correlation with the sound; `match_against`: that minus the best
    other's; `brisk`: log of fast over slow lip motion; `voice`: logit of voice activity; `lost`: share of lost landmarks.
    """
    n_frames = int(tracks["frame"].max()) + 1
    envelope = speech_envelope(sound, n_frames)
    columns = {name: np.zeros(len(tracks)) for name in ("level", "match", "brisk", "lost")}
    for rows in tracks.groupby("track").indices.values():
        frames = tracks["frame"].to_numpy()[rows]
        start, length = frames.min(), frames.max() - frames.min() + 1
        gap = np.full(length, np.nan)
        gap[frames - start] = lip_gap(points[rows])
        for name, values in _motion(gap, envelope[:, start : start + length]).items():
            columns[name][rows] = values[frames - start]
    frame = tracks["frame"].to_numpy()
    seen = 1 - columns["lost"]
    # What is not seen says nothing: it falls back to the level of a face about which one cannot tell.
    columns["level"] *= seen
    columns["match"] *= seen
    columns["brisk"] *= seen
    level_rival, rivals = fusion.best_other(frame, np.where(seen > _SEEN, columns["level"], -np.inf), 0)
    match_rival, _ = fusion.best_other(frame, np.where(seen > _SEEN, columns["match"], -np.inf), 0)
    columns["rivals"] = rivals.astype(float)
    columns["against"] = np.where(rivals > 0, columns["level"] - level_rival, 0) * seen
    columns["match_against"] = np.where(rivals > 0, columns["match"] - match_rival, 0) * seen
    columns["voice"] = fusion.voice_logit(voice, n_frames, _PAUSE_S)[frame]
    return columns


def lip_gap(points: np.ndarray) -> np.ndarray:
    """Return the inner-lip gap over the face's height (n,) of landmarks (n, 68, 2); NaN where the landmarks are lost.

    Both are measured along the face's vertical, so that turning the head to the side changes neither.
    """
    points = np.asarray(points, dtype=float)
    axis = points[:, CHIN] - points[:, BRIDGE]
    height = np.linalg.norm(axis, axis=1)
    height[height == 0] = np.nan
    down = axis / height[:, None]
    gap = np.mean([np.sum((points[:, low] - points[:, up]) * down, axis=1) for up, low in INNER_LIPS], axis=0)
    # The chin moves with the jaw: the height is the median over a second and a half.
    steady = pd.Series(height).rolling(37, center=True, min_periods=1).median().to_numpy()
    return gap / steady


def speech_envelope(sound: str | Path, n_frames: int) -> np.ndarray:
    """Return log energies (bands, n_frames) of speech bands at the frames' own times, band-passed to syllables."""
    power = np.concatenate(
        [_band_power(sound, start, min(start + _BLOCK, n_frames)) for start in range(0, n_frames, _BLOCK)]
    )
    # A floor at the level of the pauses: the rustle of a silent microphone is no rhythm.
    floor = np.maximum(np.maximum(np.percentile(power, 10, axis=0), power.max(axis=0) * 1e-5), 1e-10)
    return np.array([_band_pass(band, np.ones(n_frames), *_SYLLABLES) for band in np.log(power + floor).T])


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


def _motion(gap: np.ndarray, envelope: np.ndarray) -> dict[str, np.ndarray]:
    """Return level, match, brisk and lost (t,) of one track's gap (t,) beside the envelope (bands, t)."""
    series = pd.Series(gap)
    near = series.interpolate(limit=_LOST_FRAMES, limit_direction="both", limit_area=None)
    weight = near.notna().to_numpy().astype(float)
    values = near.fillna(0).to_numpy()
    moving = _band_pass(values, weight, *_SYLLABLES)
    level = np.sqrt(_mean(moving**2, weight, _LEVEL_S))
    slow = np.sqrt(_mean(_band_pass(values, weight, 0.5, 1.5) ** 2, weight, _MATCH_S))
    fast = np.sqrt(_mean(_band_pass(values, weight, 3.0, 8.0) ** 2, weight, _MATCH_S))
    best = np.full(len(gap), -1.0)
    own = _mean(moving**2, weight, _MATCH_S) + _FLOOR**2
    for lag in _LAGS:
        # Lag > 0: the lips move before the sound is heard.
        total = np.zeros(len(gap))
        for band in envelope:
            heard = _shifted(band, lag)
            power = _mean(heard**2, weight, _MATCH_S) + 0.05
            total += _mean(moving * heard, weight, _MATCH_S) / np.sqrt(own * power)
        best = np.maximum(best, total / len(envelope))
    return {
        "level": np.log((level + _FLOOR) / (10 * _FLOOR)),
        "match": best,
        "brisk": np.log((fast + _FLOOR) / (slow + _FLOOR)),
        "lost": 1 - gaussian_filter1d(weight, _LEVEL_S * media.FPS, mode="nearest"),
    }


def _shifted(values: np.ndarray, lag: int) -> np.ndarray:
    """Return `values[t + lag]`, the ends repeated."""
    return values[np.clip(np.arange(len(values)) + lag, 0, len(values) - 1)]


def _mean(values: np.ndarray, weight: np.ndarray, sigma_s: float) -> np.ndarray:
    """Return the weighted local mean under a Gaussian; any length, zero where nothing has weight."""
    sigma = sigma_s * media.FPS
    above = gaussian_filter1d(values * weight, sigma, mode="constant")
    below = gaussian_filter1d(weight, sigma, mode="constant")
    return np.divide(above, below, out=np.zeros_like(above), where=below > 1e-6)


def _band_pass(values: np.ndarray, weight: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Return the difference of two Gaussian low-passes with half power at the two frequencies, missing values left out."""
    sigma = [np.sqrt(np.log(2)) / (2 * np.pi * f) for f in (high_hz, low_hz)]
    return (_mean(values, weight, sigma[0]) - _mean(values, weight, sigma[1])) * (weight > 0)
