"""What stands before and behind people in a hard shot: raised hands, microphones, pictures and writing on the wall."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from talking.core import boxes
from talking.film import photographs

# MediaPipe's pose points of the left arm.
_SHOULDER, _ELBOW, _WRIST = 11, 13, 15
# Length of a hand as a fraction of its forearm; visible fraction of the upper arm below the sleeve; how much nearer to the camera a
# raised arm is.
_HAND, _BARE, _NEARER = 0.75, 0.55, 1.12
# Skin is redder than blue by the arm's median; shaded skin by this fraction of it.
_SHADED_SKIN = 0.35
# In face heights: the reach of a microphone before and behind the hand, the widths of its head and its handle.
_MICROPHONE = (0.62, 0.34, 0.30, 0.15)
_LINES = [
    "the ferry was late again so we walked along the river",
    "forty perhaps fifty people if the weather is good",
    "he taught us all the names of the stars",
    "bread in the oven on Sundays and coffee far too strong",
    "sales in the north went up by twelve percent",
]


@functools.lru_cache(maxsize=16)
def _bare_arm(person: str, bent: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a person's left arm, RGBA (colours times alpha), pointing down; where it begins (2,) in px; the row of the wrist.

    It begins at the elbow if it is `bent`, else where the sleeve ends.
    """
    from mediapipe.python.solutions.pose import Pose

    picture = photographs.photograph(person, "posture")
    with Pose(static_image_mode=True) as pose:
        points = pose.process(picture).pose_landmarks.landmark
    places = (np.array([points[i].x, points[i].y]) * picture.shape[1::-1] for i in (_SHOULDER, _ELBOW, _WRIST))
    shoulder, elbow, wrist = places
    forearm = float(np.linalg.norm(wrist - elbow))
    first = elbow if bent else elbow + _BARE * (shoulder - elbow)
    along = wrist + _HAND * (wrist - elbow) - first
    length = float(np.linalg.norm(along))
    # The picture is about as wide as a forearm with its hand is long; the arm is in its middle.
    half, above = 0.87 * forearm, 0.09 * forearm
    aside = np.array([-along[1], along[0]]) / length * half
    size = (round(2 * half), round(length + 3 * above))
    here = np.array([[half, above], [half, above + length], [0, above]], np.float32)
    move = cv2.getAffineTransform(np.stack([first, first + along, first + aside]).astype(np.float32), here)
    colours = cv2.warpAffine(picture, move, size).astype(np.float32)
    red = colours[..., 0] - colours[..., 2]
    height, width = red.shape
    middle = red[height // 3 : height // 2, width * 47 // 100 : width * 53 // 100]
    share = np.clip((red / np.median(middle) - _SHADED_SKIN) / 0.2, 0, 1)
    # Beside the hand there may be a leg, which is skin too.
    share[int(height - 0.6 * forearm) :, : int(0.37 * width)] = 0
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(0.035 * forearm)) | 1,) * 2)
    _, part = cv2.connectedComponents(cv2.morphologyEx((share > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin))
    arm = cv2.dilate((part == part[int(0.4 * height), width // 2]).astype(np.uint8), np.ones((3, 3), np.uint8))
    share = cv2.GaussianBlur(share * arm, (0, 0), 1)
    layer = np.dstack([colours * share[..., None], 255 * share]).round().astype(np.uint8)
    return layer, np.array([half, above]), above + length - _HAND * forearm


@dataclass
class Arm:
    """A raised arm in a shot: whose and which, drawn from its picture `layer` for each frame by `moves` (frames, 2, 3).

    `hand` (4,) is the hand's box in the layer.
    """

    person: str
    side: str
    layer: np.ndarray
    hand: np.ndarray
    moves: np.ndarray

    def draw(self, onto: np.ndarray, step: int, left: int = 0, top: int = 0) -> None:
        """Draw the arm over a picture, in place, whose corner is at `left`, `top` px of the video's."""
        move = self.moves[step] - np.array([[0, 0, left], [0, 0, top]])
        x1, y1, x2, y2 = _bounds(move, np.array([0, 0, self.layer.shape[1], self.layer.shape[0]]))
        x1, y1 = max(int(x1), 0), max(int(y1), 0)
        x2, y2 = min(int(x2) + 1, onto.shape[1]), min(int(y2) + 1, onto.shape[0])
        if x1 >= x2 or y1 >= y2:
            return
        moved = cv2.warpAffine(self.layer, move - [[0, 0, x1], [0, 0, y1]], (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
        region = onto[y1:y2, x1:x2]
        around = cv2.cvtColor(255 - moved[..., 3], cv2.COLOR_GRAY2RGB)
        cv2.add(cv2.multiply(region, around, scale=1 / 255), cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), dst=region)

    def hand_box(self, step: int) -> np.ndarray:
        """Return the box (4,) around the hand in px of the video."""
        return _bounds(self.moves[step], self.hand)

    def covered(self, box: np.ndarray, step: int) -> float:
        """Return the fraction (0-1) of a box (4,) that the arm and what it holds cover."""
        size = np.maximum(np.ceil(box[2:] - box[:2]).astype(int), 1)
        move = self.moves[step] - np.array([[0, 0, box[0]], [0, 0, box[1]]])
        alpha = cv2.warpAffine(self.layer[..., 3], move, tuple(size.tolist()), flags=cv2.INTER_LINEAR)
        return float(alpha.mean()) / 255


def raised(
    person: str, height: float, at: np.ndarray, way: np.ndarray, is_right: bool, holds: bool = False, bent: bool = False
) -> Arm:
    """Return the arm of a person of face `height` px whose hand's middle is at `at` (frames, 2) px, pointing along `way` (frames, 2).

    `is_right` says that it is the arm on the picture's right: the person's left. One that holds a microphone has the microphone's
    head there; of one that is `bent` only the forearm is seen, and its elbow is there.
    """
    layer, first, wrist = _bare_arm(person, bent)
    scale = _NEARER * height / photographs.face_height(person, "posture")
    layer = cv2.resize(layer, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    begin = round(wrist * scale)
    rows, columns = np.nonzero(layer[begin:, :, 3] > 127)
    hand = np.array([columns.min(), rows.min() + begin, columns.max() + 1, rows.max() + begin + 1], dtype=float)
    anchor = first * scale if bent else (hand[:2] + hand[2:]) / 2
    if holds:
        layer, anchor = _with_microphone(layer, anchor, height)
    if not is_right:
        layer = np.ascontiguousarray(layer[:, ::-1])
        width = layer.shape[1]
        anchor, hand = (
            np.array([width - anchor[0], anchor[1]]),
            np.array([width - hand[2], hand[1], width - hand[0], hand[3]]),
        )
    x, y = (way / np.linalg.norm(way, axis=1, keepdims=True)).T
    turn = np.stack([np.stack([y, x], axis=-1), np.stack([-x, y], axis=-1)], axis=1)
    moves = np.concatenate([turn, (at - turn @ anchor)[..., None]], axis=-1)
    return Arm(person, "left" if is_right else "right", layer, hand, moves)


def _with_microphone(layer: np.ndarray, grip: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an arm's picture with a microphone behind the fingers, and where its head is."""
    before, behind, head, handle = (length * height for length in _MICROPHONE)
    axis = np.array([0.62, 0.78])
    # The picture grows below, where the microphone reaches beyond the hand.
    layer = np.pad(layer, ((0, round(before)), (0, 0), (0, 0)))
    under = np.zeros(layer.shape, np.uint8)
    end, tail = grip + before * axis, grip - behind * axis

    def stroke(a: np.ndarray, b: np.ndarray, colour: tuple, width: float) -> None:
        ends = (tuple(int(v) for v in p.round()) for p in (a, b))
        cv2.line(under, *ends, colour, max(1, round(width)), cv2.LINE_AA)

    stroke(tail, end, (34, 34, 38, 255), handle)
    shine = 0.2 * handle * np.array([axis[1], -axis[0]])
    stroke(tail + shine, end + shine, (84, 84, 90, 255), 0.2 * handle)
    middle = tuple(int(v) for v in end.round())
    cv2.circle(under, middle, max(2, round(head / 2)), (58, 58, 62, 255), -1, cv2.LINE_AA)
    cv2.circle(
        under,
        (middle[0] + round(head / 8), middle[1] - round(head / 8)),
        max(1, round(head / 5)),
        (92, 92, 98, 255),
        -1,
        cv2.LINE_AA,
    )
    over = layer.astype(np.float32)
    return np.round(over + under * (1 - over[..., 3:] / 255)).astype(np.uint8), end


def _bounds(move: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the box (4,) around a box (4,) moved by an affine map (2, 3)."""
    corners = np.array([[box[i], box[j], 1] for i in (0, 2) for j in (1, 3)]) @ move.T
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def hang_portrait(wall: np.ndarray, person: str, x: float, y: float, height: float) -> np.ndarray:
    """Hang a framed photograph on a wall (h, w, 3), in place, its face of `height` px about x, y; return the frame's box (4,)."""
    points = photographs.landmarks(person, "portrait")
    middle, size = points.mean(axis=0), photographs.face_height(person, "portrait")
    scale = height / size
    edge = max(2, round(0.12 * height))
    width, tall = round(2.0 * height), round(2.3 * height)
    picture = cv2.warpAffine(
        photographs.photograph(person, "portrait"),
        np.array([[scale, 0, width / 2 - scale * middle[0]], [0, scale, 0.46 * tall - scale * middle[1]]]),
        (width, tall),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    picture = cv2.copyMakeBorder(picture, *[edge] * 4, cv2.BORDER_CONSTANT, value=(66, 46, 30))
    left, top = round(x - picture.shape[1] / 2), round(y - 0.46 * tall - edge)
    box = boxes.clip(
        np.array([left, top, left + picture.shape[1], top + picture.shape[0]]), wall.shape[1], wall.shape[0]
    )
    x1, y1, x2, y2 = box.astype(int)
    part = picture[y1 - top : y2 - top, x1 - left : x2 - left].astype(np.float32)
    wall[y1:y2, x1:x2] = cv2.GaussianBlur((0.88 * part).astype(np.uint8), (0, 0), max(0.5, 0.004 * height))
    return box


def write_on_wall(wall: np.ndarray, height: float) -> None:
    """Cover a wall (h, w, 3) with lines of writing, letters of about `height` px, in place."""
    layer = np.zeros(wall.shape[:2], np.uint8)
    font, scale = cv2.FONT_HERSHEY_COMPLEX | cv2.FONT_ITALIC, height / 21
    for number, y in enumerate(np.arange(1.6 * height, wall.shape[0], 2.1 * height)):
        text = "   ".join(_LINES[(number + k) % len(_LINES)] for k in range(3))
        x = round(-height * (3 + 5 * (number % 4)))
        cv2.putText(layer, text, (x, round(y)), font, scale, 255, max(1, round(height / 9)), cv2.LINE_AA)
    share = cv2.GaussianBlur(layer, (0, 0), max(0.5, height / 40))[..., None] / 255.0 * 0.6
    wall[:] = np.round(wall * (1 - share) + 225 * share).astype(np.uint8)
