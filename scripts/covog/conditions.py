"""The model's conditions, made in one place at the requested size: pose pictures, person masks, face masks, scores.

Training, validation and generation all come through here. Boxes and points leave `media/` pixels together with the
picture they lie in: `Placement` moves both.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np

from covog.config import LATENT_CELL, Data
from talking.core import boxes, keypoints
from talking.core.errors import InputError
from talking.dataset import store
from talking.poses.render import draw_poses, face_box

# What reading a damaged clip can raise.
BROKEN = (InputError, OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, av.FFmpegError)
# Raw speaking scores (TalkNet's logits) are divided by this before they enter the model.
SCORE_UNIT = 3.0
FACE_LEVELS = 4
# A person's box is grown by this much, as limbs are drawn with a width around the keypoints.
_PERSON_GROWN = 1.05
# A mouth's box is that of the outer lips, so many times as wide and twice so many times as high.
_MOUTH_GROWN = 1.6


@dataclass(frozen=True)
class Segment:
    """Frames [start, end) of a clip's folder, from which samples are drawn."""

    clip: Path
    start: int
    end: int


@dataclass
class People:
    """The people of a clip in every frame, in px of its video.

    `keypoints` (f, p, 133, 2), their `confidence` (f, p, 133), `bodies` (f, p, 4), whether the pose is `valid` (f, p),
    `faces` (f, p, 4) of the face tracks (NaN where there is none), raw speaking `scores` (f, p).
    """

    keypoints: np.ndarray
    confidence: np.ndarray
    bodies: np.ndarray
    valid: np.ndarray
    faces: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, clip: store.Clip) -> "People":
        """Return the people of a clip of the data set."""
        return cls(clip.keypoints, clip.pose_scores, clip.body_boxes, clip.pose_valid, clip.face_boxes, clip.scores)


@dataclass
class Placement:
    """How a picture of one size is fitted into another: scaled to `inner` (width, height) and put at (left, top), which are
    negative where it is cropped."""

    scale: tuple[float, float]
    left: int
    top: int
    inner: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def fit(cls, source: tuple[int, int], size: tuple[int, int], way: str = Data.fit) -> "Placement":
        """Fit a picture of `source` (width, height) into `size` (width, height): with black `bars`, by `stretch` or by `crop`."""
        scales = size[0] / source[0], size[1] / source[1]
        if way != "stretch":
            scales = (min(scales) if way == "bars" else max(scales),) * 2
        inner = tuple(max(1, round(side * scale)) for side, scale in zip(source, scales, strict=True))
        left, top = ((limit - side) // 2 for side, limit in zip(inner, size, strict=True))
        return cls((inner[0] / source[0], inner[1] / source[1]), left, top, inner, tuple(size))

    def without_bars(self) -> "Placement":
        """Return the placement of the picture alone."""
        return replace(self, left=min(self.left, 0), top=min(self.top, 0), size=self._shown)

    def cut_bars(self, placed: np.ndarray) -> np.ndarray:
        """Return a placed picture (h, w, 3) without its bars."""
        left, top, (width, height) = max(self.left, 0), max(self.top, 0), self._shown
        return placed[top : top + height, left : left + width]

    @property
    def _shown(self) -> tuple[int, int]:
        return min(self.inner[0], self.size[0]), min(self.inner[1], self.size[1])

    def points(self, points: np.ndarray) -> np.ndarray:
        """Move points (..., 2)."""
        return np.asarray(points, dtype=float) * self.scale + (self.left, self.top)

    def boxes(self, moved: np.ndarray) -> np.ndarray:
        """Move boxes (..., 4)."""
        return np.asarray(moved, dtype=float) * (self.scale * 2) + (self.left, self.top) * 2

    def picture(self, picture: np.ndarray) -> np.ndarray:
        """Move a picture (h, w, 3) uint8."""
        width, height = self.size
        if picture.shape[:2] == (height, width):
            return picture
        method = cv2.INTER_AREA if self.inner[0] < picture.shape[1] else cv2.INTER_LINEAR
        scaled = cv2.resize(picture, self.inner, interpolation=method)[max(-self.top, 0) :, max(-self.left, 0) :]
        out = np.zeros((height, width, 3), dtype=np.uint8)
        self.cut_bars(out)[:] = scaled[: self._shown[1], : self._shown[0]]
        return out


def without_lips(people: People) -> People:
    """Return people whose poses do not tell what their mouths do: lips and jaw unknown, the chin, by which face boxes go, held
    at its usual place under the nose, measured in widths of the face."""
    points, confidence = people.keypoints.copy(), people.confidence.copy()
    right, chin, left, nose = (points[:, :, i] for i in keypoints.FACE_BOX_POINTS)
    width = np.linalg.norm(left - right, axis=-1, keepdims=True)
    known = (confidence[:, :, keypoints.FACE_BOX_POINTS] > 0).all(-1)[..., None] & (width > 0)
    below = np.where(known, chin - nose, 0).sum(0) / np.maximum(np.where(known, width, 0).sum(0), 1e-6)
    of_chin = confidence[:, :, keypoints.CHIN].copy()
    for part in (keypoints.JAW, keypoints.OUTER_LIPS, keypoints.INNER_LIPS):
        confidence[:, :, part] = 0
    confidence[:, :, keypoints.CHIN] = of_chin
    points[:, :, keypoints.CHIN] = nose + below * width
    return replace(people, keypoints=points, confidence=confidence)


def pose_pictures(people: People, frames: np.ndarray, placement: Placement) -> np.ndarray:
    """Return RGB pictures (f, h, w, 3) uint8 of everybody's skeleton in the requested frames."""
    width, height = placement.size
    points = placement.points(people.keypoints[frames])
    return np.stack([draw_poses(p, c, height, width) for p, c in zip(points, people.confidence[frames], strict=True)])


def person_masks(people: People, placement: Placement) -> np.ndarray:
    """Return masks (p, h, w) uint8, 1 inside the box in which each person is over the whole clip."""
    width, height = placement.size
    masks = np.zeros((people.keypoints.shape[1], height, width), dtype=np.uint8)
    for person, mask in enumerate(masks):
        seen = np.concatenate([people.bodies[people.valid[:, person], person], people.faces[:, person]])
        seen = seen[np.isfinite(seen).all(axis=-1)]
        if not len(seen):
            continue
        whole = boxes.scale(boxes.union(seen), _PERSON_GROWN)
        x1, y1, x2, y2 = np.round(boxes.clip(placement.boxes(whole), width, height)).astype(int)
        mask[y1:y2, x1:x2] = 1
    return masks


def face_boxes(people: People, frames: np.ndarray, placement: Placement) -> np.ndarray:
    """Return face boxes (p, f, 4) px of the placed picture: by CovOG's rule, the face track's own where a pose is missing."""
    found = face_box(people.keypoints[frames], people.confidence[frames])
    known = np.isfinite(found).all(-1, keepdims=True) & people.valid[frames][..., None]
    found = np.where(known, found, people.faces[frames])
    return boxes.clip(placement.boxes(found), *placement.size).swapaxes(0, 1)


def mouth_boxes(people: People, frames: np.ndarray, placement: Placement) -> np.ndarray:
    """Return boxes (p, f, 4) px of the placed picture around the outer lips, grown; the lower half of the face's box where there
    are no lips, NaN where there is no face either."""
    lips = placement.points(people.keypoints[frames][:, :, keypoints.OUTER_LIPS])
    known = (people.confidence[frames][:, :, keypoints.OUTER_LIPS] > 0).all(-1, keepdims=True)
    found = boxes.scale(np.concatenate([lips.min(2), lips.max(2)], axis=-1), _MOUTH_GROWN, 2 * _MOUTH_GROWN)
    lower = face_boxes(people, frames, placement)
    lower[..., 1] = lower[..., 1::2].mean(-1)
    return boxes.clip(np.where(known.swapaxes(0, 1), found.swapaxes(0, 1), lower), *placement.size)


def face_masks(found: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Return masks (p, f, h, w) float32 of face boxes (p, f, 4) at 1/8, 1/16, 1/32 and 1/64 of a picture of `size` (width, height).

    A value is the fraction of its cell that the box, drawn in whole pixels, covers: drawing and averaging in one product.
    """
    found = np.round(found)
    sides = [-(-side // LATENT_CELL) for side in size]
    masks = []
    for level in range(FACE_LEVELS):
        cell = LATENT_CELL * 2**level
        across, down = (
            _covered(found[..., axis], found[..., axis + 2], count, cell) for axis, count in enumerate(sides)
        )
        masks.append((down[..., :, None] * across[..., None, :]).astype(np.float32))
        # The UNet's convolutions of stride 2 round up.
        sides = [-(-side // 2) for side in sides]
    return masks


def speaking(people: People, frames: np.ndarray) -> np.ndarray:
    """Return the speaking scores (p, f) float32 in the model's unit."""
    return (people.scores[frames].T / SCORE_UNIT).astype(np.float32)


def steer(
    people: People,
    sound: np.ndarray,
    frames: np.ndarray,
    reference: int,
    placement: Placement,
    shown: People | None = None,
) -> dict:
    """Return all conditions of a window: the requested frames, of people as they are `shown` (`without_lips`; by default as they
    are), and the reference frame, as arrays without a batch axis.

    `pose` (f, h, w, 3) and `reference_pose` (h, w, 3) uint8, `person_masks` (p, h, w) uint8, `face_masks` list of
    (p, f, h, w), `scores` (p, f), `sound` float32 (f, layers, channels), or (p, f, layers, channels) where each person has their own.
    """
    shown = shown or people
    rows = np.asarray(sound[frames], dtype=np.float32)
    return {
        "pose": pose_pictures(shown, frames, placement),
        "reference_pose": pose_pictures(people, np.array([reference]), placement)[0],
        "person_masks": person_masks(people, placement),
        "face_masks": face_masks(face_boxes(shown, frames, placement), placement.size),
        "scores": speaking(people, frames),
        "sound": rows if rows.ndim == 3 else rows.swapaxes(0, 1),
    }


def _covered(low: np.ndarray, high: np.ndarray, count: int, cell: int) -> np.ndarray:
    start = np.arange(count) * cell
    inside = np.minimum(high[..., None], start + cell) - np.maximum(low[..., None], start)
    return np.clip(np.nan_to_num(inside), 0, cell) / cell
