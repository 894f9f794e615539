"""What averaging keypoints over time does to their error, jitter and lag: gestures of known path with a model's noise."""

import numpy as np

from talking import poses

FRAMES, PEOPLE, POINTS = 500, 2, 133
# A hand that gestures and a head that sways (px and Hz), and how far a model's points are off from frame to frame.
GESTURES_PX, GESTURES_HZ, NOISE_PX = (60.0, 15.0), (1.2, 0.4), 2.0
WIDTHS_FRAMES = (0, 5, 7, 9, 11, 15, 21)


def paths() -> np.ndarray:
    """Return true points (f, p, 133, 2) that swing on ellipses, each with its own phase."""
    random, second = np.random.default_rng(0), np.arange(FRAMES)[:, None, None, None] / 25
    phase = random.uniform(0, 2 * np.pi, (1, PEOPLE, POINTS, 2))
    parts = (px * np.sin(2 * np.pi * hz * second + k * phase) for k, (px, hz) in enumerate(zip(GESTURES_PX, GESTURES_HZ, strict=True), 1))  # fmt: skip
    return 400 + sum(parts)


def lag_frames(points: np.ndarray, truth: np.ndarray) -> int:
    """Return the shift in frames at which points fit the truth best; positive: they come late."""
    errors = {}
    for lag in range(-4, 5):
        late, early = points[max(lag, 0) : FRAMES + min(lag, 0)], truth[max(-lag, 0) : FRAMES - max(lag, 0)]
        errors[lag] = np.square(late - early).mean()
    return min(errors, key=errors.get)


def test_smoothing_lowers_error_and_jitter_and_does_not_lag(capsys):
    truth = paths()
    noisy = truth + np.random.default_rng(1).normal(0, NOISE_PX, truth.shape)
    rows = {}
    for width in WIDTHS_FRAMES:
        points = poses.smoothed(noisy, np.ones(truth.shape[:-1]), width)
        error = np.linalg.norm(points - truth, axis=-1).mean()
        jitter = np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1).mean()
        rows[width] = (error, jitter, lag_frames(points, truth))
    with capsys.disabled():
        print("\npose smoothing: frames, error px, jitter px a frame², lag frames")
        for width, (error, jitter, lag) in rows.items():
            print(f"  {width:4}  {error:5.2f}  {jitter:5.2f}  {lag}")
    assert all(lag == 0 for _, _, lag in rows.values())
    assert rows[7][0] < 0.7 * rows[0][0]
    assert rows[7][1] < 0.7 * rows[0][1]
