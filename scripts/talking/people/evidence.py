"""Evidence that a face is a living one, and that its person takes part."""

from collections.abc import Hashable, Mapping

import cv2
import numpy as np
import pandas as pd
import scipy

from talking.core import boxes
from talking.faces import landmarks, measures
from talking.video.media import FPS

COLUMNS = [
    *("start", "end", "frames", "confidence", "confidence_high", "detected_share", "presence", "landmark_share"),
    *("size", "sharpness", "cut_off_share", "own_motion", "expression", "yaw", "talking_s"),
]
_BOX = ["x1", "y1", "x2", "y2"]
# Two pictures of a face are compared this many thumbnails apart (two seconds), at up to so many places of a track.
_FAR, _PLACES = 2 * FPS // landmarks.THUMBNAIL_STEP, 8
# Coding noise and trembling boxes change a picture by up to so much.
_TREMBLING = 0.03
# The part of a thumbnail that the face itself fills, by its margin and its side in pixels; and a small part of that.
_MARGIN, _INNER, _BLOCK = 6, 20, 4
# The corners and lids of the eyes, of iBUG-68: outer, two above, inner, two below. In smaller faces the mesh trembles as much as eyes blink.
_EYES = (range(36, 42), range(42, 48))
_SMALLEST_PX, _FEWEST = 40, FPS
_ALIGN = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-4)


def measure(
    rows: Mapping[Hashable, np.ndarray],
    tracks: pd.DataFrame,
    marks: Mapping[str, np.ndarray],
    talking: np.ndarray,
    size: tuple[int, int],
) -> pd.DataFrame:
    """Return the evidence on groups of rows of a `tracks` table (a track's, or a person's), as one row for each group.

    `rows` are the positions of each group's rows, `marks` the arrays of `landmarks/{video}.npz`, `talking` (n,) what
    `frames_talking` gives, `size` the picture's (width, height) in pixels. The columns: start, end (one past the last frame),
    frames; confidence: median of the detector's, confidence_high: its 90th percentile; detected_share; presence: mean presence
    score of the face mesh; landmark_share; size: median square root of the box's area, in picture heights; sharpness: 75th
    percentile; cut_off_share: fraction of the frames in which the picture's left or right edge cuts the box; own_motion and expression (NaN unknown); yaw: median
    absolute yaw in degrees (NaN unknown); talking_s.
    """
    box = tracks[_BOX].to_numpy(dtype=float)
    side = np.sqrt(boxes.area(box)) / max(size[1], 1)
    # Not the upper edge: a close-up cuts off the forehead of the main person.
    cut_off = (box[:, 0] <= 1) | (box[:, 2] >= size[0] - 1)
    confidence, detected = tracks["confidence"].to_numpy(), tracks["detected"].to_numpy(bool)
    frame = tracks["frame"].to_numpy()
    thumbnail_of = np.full(len(tracks), -1)
    thumbnail_of[marks["thumbnail_row"]] = np.arange(len(marks["thumbnail_row"]))
    marked = np.isfinite(marks["points"]).all(axis=(1, 2))
    found = []
    for of in rows.values():
        of = of[np.argsort(frame[of], kind="stable")]
        seen = of[detected[of]] if detected[of].any() else of
        small = thumbnail_of[of]
        found.append(
            {
                "start": int(frame[of].min()),
                "end": int(frame[of].max()) + 1,
                "frames": len(np.unique(frame[of])),
                "confidence": np.median(confidence[seen]),
                "confidence_high": np.percentile(confidence[seen], 90),
                "detected_share": detected[of].mean(),
                "presence": marks["score"][of].mean(),
                "landmark_share": marked[of].mean(),
                "size": np.median(side[of]),
                "sharpness": np.percentile(marks["blur"][of], 75),
                "cut_off_share": cut_off[of].mean(),
                "own_motion": own_motion(marks["thumbnail"][small[small >= 0]]),
                "expression": expression(marks["points"][of[marked[of]]], float(np.median(side[of])) * size[1]),
                "yaw": np.median(np.abs(marks["yaw"][of[marked[of]]])) if marked[of].any() else np.nan,
                "talking_s": talking[of].sum() / FPS,
            }
        )
    return pd.DataFrame(found, columns=COLUMNS, index=list(rows))


def frames_talking(tracks: pd.DataFrame, asd: pd.DataFrame, voice: pd.DataFrame) -> np.ndarray:
    """Return a mask (n,) over the rows of a `tracks` table: the frames in which a voice is heard and the track has the best score, a positive one.

    Of the tracks of a frame only the best one counts, so that somebody who chews while another talks is not counted.
    """
    if asd.empty:
        return np.zeros(len(tracks), dtype=bool)
    ordered = asd.sort_values(["track", "frame"], kind="stable")
    smooth = ordered.groupby("track")["score"].transform(lambda s: s.rolling(7, center=True, min_periods=1).mean())
    ordered = ordered.assign(score=smooth)
    best = ordered.loc[ordered.groupby("frame")["score"].idxmax()]
    heard = set(voice.loc[voice["voice"] >= 0.5, "frame"])
    best = best[(best["score"] > 0) & best["frame"].isin(heard)]
    talking = set(zip(best["track"], best["frame"], strict=True))
    return np.array([key in talking for key in zip(tracks["track"], tracks["frame"], strict=True)], dtype=bool)


def own_motion(pictures: np.ndarray) -> float:
    """Return how much more the thumbnails (k, 32, 32) of a face change in two seconds than in a fifth of one; NaN of fewer than three.

    The 75th percentile of `difference` over up to eight pairs that lie two seconds apart, less the median over pairs of neighbours:
    coding noise and boxes that tremble change near pictures as much as far ones, so that a still has about 0 even where it is
    carried about; a face moves on.
    """
    if len(pictures) < 3:
        return float("nan")
    far = _differences(pictures, min(_FAR, len(pictures) - 1))
    trembling = min(float(np.median(_differences(pictures, 1))), _TREMBLING)
    return max(0.0, float(np.percentile(far, 75)) - trembling)


def expression(points: np.ndarray, side: float) -> float:
    """Return how far the eyes close or the lips part, whichever is more, in widths of an eye and heights of the face; NaN unknown.

    `points` (n, 68, 2) are the landmarks of a face in order of time, `side` its box's in px. A living face blinks every few seconds
    (Pan et al., Eyeblink-based anti-spoofing, 2007); a still has about 0.01, which is the mesh's trembling.
    """
    if side < _SMALLEST_PX or len(points) < _FEWEST:
        return float("nan")
    eyes, lips = (scipy.ndimage.median_filter(v, 3) for v in (_eye_opening(points), measures.lip_gap(points)))
    closes = np.median(eyes) - np.percentile(eyes, 1)
    return float(max(closes, np.percentile(lips, 95) - np.percentile(lips, 5)))


def _eye_opening(points: np.ndarray) -> np.ndarray:
    """Return how far the eyes are open (n,), the lids' distance over the eye's width, both eyes averaged (Soukupová & Čech 2016)."""
    out = []
    for outer, above, over, inner, under, below in _EYES:
        width = np.linalg.norm(points[:, outer] - points[:, inner], axis=1)
        lids = np.linalg.norm(points[:, above] - points[:, below], axis=1) + np.linalg.norm(
            points[:, over] - points[:, under], axis=1
        )
        out.append(lids / 2 / np.maximum(width, 1e-6))
    return np.mean(out, axis=0)


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return how much the inner parts of two thumbnails (32, 32) differ where they differ most: 0 not at all, 1 about as much as any two.

    The later one is laid over the earlier one by the affine map of the highest correlation (Evangelidis & Psarakis 2008), so that
    shift, size, shear and light count for nothing. Of the squared difference, in units of the variance, the second largest mean over
    a block of 4×4 pixels counts: eyes and mouths are small.
    """
    before, after = (cv2.GaussianBlur(p.astype(np.float32), (3, 3), 0) for p in (before, after))
    laid = np.eye(2, 3, dtype=np.float32)
    try:
        _, laid = cv2.findTransformECC(before, after, laid, cv2.MOTION_AFFINE, _ALIGN)
    except cv2.error:  # they have too little in common to be laid over each other: compared as they are
        laid = np.eye(2, 3, dtype=np.float32)
    after = cv2.warpAffine(
        after, laid, after.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    inner = slice(_MARGIN, _MARGIN + _INNER)
    a, b = (p[inner, inner] - p[inner, inner].mean() for p in (before, after))
    gain = (a * b).mean() / max((b * b).mean(), 1e-6)
    squares = (a - gain * b) ** 2 / (2 * max(float(np.sqrt((a * a).mean() * (b * b).mean())), 1.0))
    count = _INNER // _BLOCK
    return float(np.sort(squares.reshape(count, _BLOCK, count, _BLOCK).mean(axis=(1, 3)), axis=None)[-2])


def _differences(pictures: np.ndarray, lag: int) -> list[float]:
    """Return how much pictures differ from those `lag` later, at up to eight places."""
    starts = np.unique(np.linspace(0, len(pictures) - 1 - lag, _PLACES).round().astype(int))
    return [difference(pictures[i], pictures[i + lag]) for i in starts]
