"""One person cut out of a studio picture, whose mouth, eyelids and head move: warps by face landmarks, at one size."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from talking.core.signals import smooth_step
from talking.film.photographs import CHIN, TOP, cut_out, face_height, landmarks, photograph

OPENINGS, ROUNDINGS, BLINKS = 16, (-0.5, 0.0, 0.35, 0.7), 4
# Widest gap between the lips, in half mouth widths.
_WIDEST = 0.68
_STEP = 8

_INNER_UPPER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
_INNER_LOWER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
_EYES = [
    ([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133], [46, 53, 52, 65, 55]),
    (
        [362, 398, 384, 385, 386, 387, 388, 466, 263],
        [362, 382, 381, 380, 374, 373, 390, 249, 263],
        [285, 295, 282, 283, 276],
    ),
]
_LEFT, _RIGHT, _NOSE = 234, 454, 4


@dataclass(frozen=True)
class Pose:
    """Where a head is: position of the face's centre in the picture (px), angles in radians, mouth and eyelids.

    `turned` is how far the whole body has turned away, pi for its back.
    """

    x: float
    y: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    sway: float = 0.0
    opening: float = 0.0
    rounding: float = 0.0
    blink: float = 0.0
    turned: float = 0.0


class Puppet:
    """A person at the size at which a shot shows them; `draw` is a function of the pose alone."""

    def __init__(self, person: str, kind: str, height: float, below: int, blur: float = 0.0) -> None:
        """Cut the person out and make every mouth and eyelid.

        All in px: `height` is the face's, hairline to chin, `below` how much is ever seen below the face's centre, and `blur`
        the radius of a person out of focus.
        """
        scale = height / face_height(person, kind)
        picture = photograph(person, kind)
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        self.points = landmarks(person, kind) * scale
        self.centre = (self.points[TOP] + self.points[CHIN]) / 2
        size = (size[0], min(size[1], int(self.centre[1]) + below))
        picture = cv2.resize(picture[: math.ceil(size[1] / scale)], None, fx=scale, fy=scale, interpolation=way)
        picture = picture[: size[1], : size[0]]
        self.height = height
        self.person, self.kind = person, kind
        shoulders = int(self.points[CHIN, 1] + 0.35 * height)
        self.layer = cut_out(picture, shoulders, arms=kind not in ("portrait", "left", "right"))
        if kind in ("portrait", "left", "right"):
            self._widen()
        if blur:
            self.layer = cv2.GaussianBlur(self.layer, (0, 0), blur)
        self.size = (self.layer.shape[1], self.layer.shape[0])
        self.face = np.array([self.points[_LEFT, 0], self.points[TOP, 1], self.points[_RIGHT, 0], self.points[CHIN, 1]])
        self._mouths = {} if kind == "back" else self._make_mouths()
        self._eyes = [] if kind in ("back", "left", "right") else [self._make_eye(*eye) for eye in _EYES]
        self._make_head()

    def _widen(self) -> None:
        """Continue the shoulders, which a portrait's sides cut off, outwards and downwards."""
        height, width = self.layer.shape[:2]
        extra = round(0.8 * self.height)
        x, y = np.meshgrid(np.arange(-extra, width + extra, dtype=np.float32), np.arange(height, dtype=np.float32))
        inside = np.clip(x, 1, width - 2)
        y -= 0.45 * np.abs(x - inside)
        self.layer = cv2.remap(self.layer, inside, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        self.points = self.points + [extra, 0]
        self.centre = self.centre + [extra, 0]

    def draw(self, onto: np.ndarray, pose: Pose) -> None:
        """Draw the person over a picture (height, width, 3), in place."""
        layer = self._with_features(pose)
        dx, dy = pose.x - self.centre[0], pose.y - self.centre[1]
        margin = int(0.15 * self.height)
        x1, y1 = int(max(np.floor(dx) - margin, 0)), int(max(np.floor(dy) - margin, 0))
        x2 = int(min(np.ceil(dx) + self.size[0] + margin, onto.shape[1]))
        # What lies below the picture's lower edge is never seen, so nothing is stretched there.
        y2 = int(min(np.ceil(dy) + self.size[1], onto.shape[0]))
        if x2 <= x1 or y2 <= y1:
            return
        map_x, map_y = self._maps(pose, x1, y1, x2, y2, dx, dy)
        moved = cv2.remap(layer, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        region = onto[y1:y2, x1:x2]
        around = cv2.cvtColor(255 - moved[..., 3], cv2.COLOR_GRAY2RGB)
        cv2.add(cv2.multiply(region, around, scale=1 / 255), cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), dst=region)

    def box(self, pose: Pose) -> np.ndarray:
        """Return the face's box (4,), hairline to chin and ear to ear, as `draw` shows it."""
        left, top, right, bottom = self.face
        middle = (top + bottom) / 2
        edges = np.array([[left, middle], [(left + right) / 2, top], [right, middle], [(left + right) / 2, bottom]])
        shift = self._shift(edges[:, 0], edges[:, 1], pose)
        edges[:, 0] = self.centre[0] + (edges[:, 0] - self.centre[0]) * _narrowed(pose)
        jaw = 0.7 * _WIDEST * self._half * pose.opening
        x, y = edges[:, 0] + shift[0], edges[:, 1] + shift[1]
        place = np.array([pose.x - self.centre[0], pose.y - self.centre[1]] * 2)
        return np.array([x[0], y[1], x[2], y[3] + jaw]) + place

    def _with_features(self, pose: Pose) -> np.ndarray:
        opening = round(np.clip(pose.opening, 0, 1) * (OPENINGS - 1))
        rounding = int(np.argmin([abs(pose.rounding - r) for r in ROUNDINGS]))
        blink = round(np.clip(pose.blink, 0, 1) * BLINKS)
        patches = []
        if opening and self._mouths:
            patches.append((self._mouth_at, self._mouths[opening, rounding]))
        if blink:
            patches += [(at, lids[blink - 1]) for at, lids in self._eyes]
        if not patches:
            return self.layer
        layer = self.layer.copy()
        for (x, y), patch in patches:
            layer[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        return layer

    def _make_head(self) -> None:
        """Prepare the coarse fields that `_shift` interpolates: how much of the head's motion each place follows."""
        left, top, right, bottom = self.face
        self._radius = ((right - left) * 0.62, (bottom - top) * 0.78)
        self._middle = ((left + right) / 2, top + 0.42 * (bottom - top))
        self._neck = (self._middle[0], bottom + 0.2 * self.height)

    def _shift(self, x: np.ndarray, y: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Return how far the places (x, y) of the cut-out move: turns by depth, tilts about the neck, shoulders barely."""
        chin = self.face[3]
        follows = 1 - smooth_step((y - chin) / (0.7 * self.height))
        u, v = (x - self._middle[0]) / self._radius[0], (y - self._middle[1]) / self._radius[1]
        depth = np.sqrt(np.clip(1 - u * u - v * v, 0, None))
        nose = self.points[_NOSE]
        bump = np.exp(-(((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / (0.15 * self.height) ** 2))
        depth = self.height * (0.42 * depth + 0.1 * bump)
        # The neck carries the head sideways a little when it turns, so that the outline moves too.
        dx = follows * (pose.yaw * (depth + 0.12 * self.height) - pose.roll * (y - self._neck[1]))
        dy = follows * (pose.pitch * (depth + 0.10 * self.height) + pose.roll * (x - self._neck[0]))
        return dx + pose.sway * (0.35 + 0.65 * follows), dy

    def _maps(
        self, pose: Pose, x1: int, y1: int, x2: int, y2: int, dx: float, dy: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where each pixel of the region comes from, worked out every few pixels: the field is smooth."""
        width, height = x2 - x1, y2 - y1
        columns, rows = -(-width // _STEP) + 1, -(-height // _STEP) + 1
        x = (x1 - dx + _STEP * np.arange(columns, dtype=np.float32))[None]
        y = (y1 - dy + _STEP * np.arange(rows, dtype=np.float32))[:, None]
        x = self.centre[0] + (x - self.centre[0]) / _narrowed(pose)
        shift_x, shift_y = self._shift(*np.broadcast_arrays(x, y), pose)
        coarse = np.stack([x - shift_x, y - shift_y], axis=-1).astype(np.float32)
        # An affine warp samples the coarse grid exactly at the pixel positions, as cv2.resize would not.
        grow = np.array([[1 / _STEP, 0, 0], [0, 1 / _STEP, 0]], np.float32)
        fine = cv2.warpAffine(
            coarse,
            grow,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return fine[..., 0], fine[..., 1]

    def _make_mouths(self) -> dict[tuple[int, int], np.ndarray]:
        """Make the mouth's surroundings for each opening and rounding, as a patch that equals the rest at its border."""
        upper, lower = self.points[_INNER_UPPER], self.points[_INNER_LOWER]
        corners = upper[0], upper[-1]
        self._half = float(corners[1][0] - corners[0][0]) / 2
        centre = (corners[0] + corners[1]) / 2
        chin = (self.points[CHIN, 1] - centre[1]) / self._half
        x1, x2 = (round(centre[0] + side * 2.3 * self._half) for side in (-1, 1))
        y1, y2 = round(centre[1] - 1.1 * self._half), round(centre[1] + 2.0 * chin * self._half)
        y2 = min(y2, self.size[1])
        self._mouth_at = (x1, y1)
        grid = np.meshgrid(np.arange(x1, x2, dtype=np.float32), np.arange(y1, y2, dtype=np.float32))
        source = self.layer[max(y1 - 8, 0) : y2 + 8, max(x1 - 8, 0) : x2 + 8]
        origin = (max(x1 - 8, 0), max(y1 - 8, 0))
        light = float(np.median(self.layer[y1:y2, x1:x2, :3].max(axis=-1))) / 190
        mouths = {}
        for opening in range(1, OPENINGS):
            for index, rounding in enumerate(ROUNDINGS):
                mouths[opening, index] = self._mouth(
                    grid, source, origin, (upper, lower, centre, chin), opening / (OPENINGS - 1), rounding, light
                )
        return mouths

    def _mouth(self, grid, source, origin, shape, opening: float, rounding: float, light: float) -> np.ndarray:
        """Return one patch: the lips part along the line between them, the chin follows, the inside is painted."""
        px, py = grid
        upper, lower, centre, chin = shape
        half = self._half
        gap = _WIDEST * opening * (1 - 0.25 * max(rounding, 0)) * half
        line = np.interp(px, upper[:, 0], (upper[:, 1] + lower[:, 1]) / 2).astype(np.float32)
        x, y = (px - centre[0]) / half, (py - line) / half
        narrow = 0.20 * rounding * min(1.0, 3 * opening)
        away = np.clip(1 - (x / 2.2) ** 2, 0, 1) ** 2 * np.exp(-((y / 0.9) ** 2))
        from_x = x * (1 + narrow / (1 - narrow) * away)
        at = centre[0] + from_x * half
        top = np.interp(at, upper[:, 0], upper[:, 1])
        bottom = np.interp(at, lower[:, 0], lower[:, 1])
        middle = (top + bottom) / 2
        profile = np.clip(1 - from_x**2, 0, 1) ** (0.75 - 0.2 * max(rounding, 0))
        new_top, new_bottom = middle - 0.15 * gap * profile, middle + 0.85 * gap * profile
        above = (new_top - py) / half
        shift_up = (new_top - top) * (1 - smooth_step(above / 0.8))
        below = (py - new_bottom) / half
        jaw = 0.68 * gap * np.clip(np.cos(np.clip(x / 2.3, -1, 1) * np.pi / 2), 0, 1) ** 1.5
        falls = np.clip(below / (0.75 * chin), 0, 1) * (1 - smooth_step((below - chin) / (0.95 * chin)))
        shift_down = (new_bottom - bottom) * (1 - smooth_step(below / (0.85 * chin))) + jaw * falls
        from_y = py - np.where(py < (new_top + new_bottom) / 2, shift_up, shift_down)
        patch = cv2.remap(
            source, (at - origin[0]).astype(np.float32), (from_y - origin[1]).astype(np.float32), cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        inside = np.clip(np.minimum(py - new_top, new_bottom - py) + 0.5, 0, 1) * np.clip(gap / 1.5, 0, 1)
        inside *= np.abs(from_x) < 1
        paint = _inside_of_mouth(from_x, (py - middle) / half, (new_bottom - py) / half, gap / half, rounding, light)
        patch[..., :3] = patch[..., :3] * (1 - inside[..., None]) + paint * inside[..., None]
        patch[..., :3] = np.minimum(patch[..., :3], patch[..., 3:])
        return patch

    def _make_eye(
        self, upper: list[int], lower: list[int], brow: list[int]
    ) -> tuple[tuple[int, int], list[np.ndarray]]:
        """Make the eye's surroundings for each blink stage: the skin below the brow is drawn down over the eye."""
        lid, floor, arch = self.points[upper], self.points[lower], self.points[brow]
        lid, floor, arch = (a[np.argsort(a[:, 0], kind="stable")] for a in (lid, floor, arch))
        width = lid[-1, 0] - lid[0, 0]
        x1, x2 = int(lid[0, 0] - 0.3 * width), int(lid[-1, 0] + 0.3 * width) + 1
        y1, y2 = int(arch[:, 1].min() - 2), int(floor[:, 1].max() + 0.2 * width) + 1
        px, py = np.meshgrid(np.arange(x1, x2, dtype=np.float32), np.arange(y1, y2, dtype=np.float32))
        ease = smooth_step(np.minimum(px - x1, x2 - 1 - px) / (0.3 * width))
        still = np.maximum(np.interp(px, arch[:, 0], arch[:, 1]), y1)
        top, bottom = np.interp(px, lid[:, 0], lid[:, 1]), np.interp(px, floor[:, 0], floor[:, 1])
        still = np.minimum(still, top - 0.1 * width)
        stages = []
        for stage in range(1, BLINKS + 1):
            reach = top + (bottom - top) * (stage / BLINKS) * ease * 0.97
            stretched = still + (py - still) * (top - still) / np.maximum(reach - still, 1e-3)
            from_y = np.where((py > still) & (py < reach), stretched, py)
            # The lashes travel with the lid's edge; below it the open eye is uncovered as it is.
            patch = cv2.remap(
                self.layer[y1:y2, x1:x2], (px - x1).astype(np.float32), (from_y - y1).astype(np.float32), cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            stages.append(patch)
        return (x1, y1), stages


def _narrowed(pose: Pose) -> float:
    """Return how wide somebody who turns away is, over their width from the front: from the side a good half."""
    return float(np.hypot(np.cos(pose.turned), 0.55 * np.sin(pose.turned)))


def _inside_of_mouth(x, below_line, above_lip, gap: float, rounding: float, light: float) -> np.ndarray:
    """Paint what open lips show, in half mouth widths: dark, a row of upper teeth that stays with the skull, a tongue."""
    paint = np.empty((*x.shape, 3), np.float32)
    paint[:] = np.array([58, 24, 24], np.float32) * light
    tongue = np.clip(1.2 - above_lip / max(0.4 * gap, 1e-3), 0, 1) * np.clip(1.1 - (x / 0.7) ** 2, 0, 1)
    tongue *= min(1.0, max(gap - 0.15, 0) * 4)
    paint += (np.array([158, 84, 82], np.float32) * light - paint) * (0.8 * tongue)[..., None]
    edge = 0.15 - 0.05 * x**2
    teeth = np.clip((edge - below_line) / 0.05 + 0.5, 0, 1) * np.clip((0.78 - np.abs(x)) / 0.15, 0, 1)
    teeth *= (0.85 - 0.45 * max(rounding, 0)) * (1 - 0.1 * (np.abs(np.sin(x * np.pi / 0.24)) < 0.12))
    shade = np.clip(0.62 + 2.0 * (below_line + 0.15 * gap), 0.5, 1) * (1 - 0.35 * x**2)
    paint += (np.array([218, 206, 194], np.float32) * light * shade[..., None] - paint) * teeth[..., None]
    return np.clip(paint, 0, 255)
