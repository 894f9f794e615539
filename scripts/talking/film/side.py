"""A person seen from the side, who talks: the jaw drops and the lips part, as far as a profile shows it."""

import cv2
import numpy as np

from talking.film.puppet import OPENINGS, ROUNDINGS, Puppet

_LIPS = [0, 13, 14, 17, 61, 78, 291, 308]
_UPPER, _LOWER, _TOP, _CHIN = 13, 14, 10, 152
_EARS = [234, 454]
# Widest gap between the lips, in face heights; how far below the chin the throat follows.
_GAP, _THROAT = 0.1, 0.25
_INSIDE = (58, 24, 24)


class SidePuppet(Puppet):
    """A puppet of the kind "left" or "right": which way it looks in the picture. It does not blink."""

    def _make_mouths(self) -> dict[tuple[int, int], np.ndarray]:
        """Make the lower face for each opening and rounding, and the face's box, which ends at the nose."""
        ahead = 1 if self.kind == "right" else -1
        across = self.points[:, 0] * ahead
        ear, nose = across[_EARS].min(), across.max()
        self.face = np.array(
            [
                min(ear * ahead, nose * ahead),
                self.points[_TOP, 1],
                max(ear * ahead, nose * ahead),
                self.points[_CHIN, 1],
            ]
        )
        # The box's jaw falls as far as the chin does.
        self._half = 1.7 * _GAP * self.height
        corner, front = across[_LIPS].min(), across[_LIPS].max()
        line = float(self.points[[_UPPER, _LOWER], 1].mean())
        wide = front - corner
        x1, x2 = sorted((round((corner - 2.5 * wide) * ahead), round((front + wide) * ahead)))
        x1, x2 = max(x1, 0), min(x2, self.size[0])
        y1 = round(line - 0.1 * self.height)
        y2 = min(round(self.points[_CHIN, 1] + (_THROAT + 0.1) * self.height), self.size[1])
        self._mouth_at = (x1, y1)
        x, y = np.meshgrid(np.arange(x1, x2, dtype=np.float32), np.arange(y1, y2, dtype=np.float32))
        # How far each place follows the jaw: along the lips' line from their corner on, like a wedge; below it the cheek follows, too.
        parts = np.clip((x * ahead - corner) / (0.8 * wide), 0, 1) ** 0.8
        cheek = _smooth((x * ahead - (corner - 2.5 * wide)) / (3.2 * wide))
        follows = parts + (cheek - parts) * _smooth((y - line) / (0.3 * self.height))
        falls = 1 - _smooth((y - self.points[_CHIN, 1]) / (_THROAT * self.height))
        lips = cv2.remap(self.layer, x, np.full_like(y, line), cv2.INTER_LINEAR)
        mouths = {}
        for opening in range(1, OPENINGS):
            for index, rounding in enumerate(ROUNDINGS):
                gap = _GAP * self.height * opening / (OPENINGS - 1) * (1 - 0.25 * max(rounding, 0))
                down = gap * follows * falls * (y > line)
                patch = cv2.remap(
                    self.layer, x, np.maximum(y - down, np.minimum(y, line)).astype(np.float32), cv2.INTER_LINEAR
                )
                inside = np.clip(np.minimum(y - line, line + gap * parts - y) + 0.5, 0, 1)[..., None] * min(
                    gap / 1.5, 1
                )
                dark = np.array([*_INSIDE, 255], np.float32) * (lips[..., 3:] / 255.0)
                mouths[opening, index] = np.round(patch * (1 - inside) + dark * inside).astype(np.uint8)
        return mouths


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
