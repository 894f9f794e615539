"""Which frames between two looks at a body are looked at too: those in which somebody moves far, or is found in one look only."""

import numpy as np

from talking.core import keypoints
from talking.poses import windows
from talking.poses.looks import Face, Piece

# Points this sure, in the part of the picture that shows the person, decide whether the frames between two looks are looked at;
# legs must be surer: those behind a desk are guessed with 0.5.
_SURE, _SURE_OF_LEGS = 0.5, 0.8
# Farthest, in face sizes, that such a point of the body or of a hand moves from one look to the next where all frames between are
# interpolated, and how far from the line between the two it may lie in the middle. Looks at somebody who sits still differ by 0.03
# on average, by 0.1 at times; fingers by more.
_STEADY, _STEADY_HAND, _AGREES = 0.2, 0.33, 0.2
# A hand that only one of two looks has found is looked for between them unless they are this near; it flickers.
_HAND_NEAR = 2
# A body that neither of two looks has found is looked for between them if they are further apart than this.
_LOST_LONG = 4

# Body and feet come first among our keypoints, knees and what is below them last of these.
BODY_POINTS = keypoints.FACE.start
_LEGS = slice(keypoints.INDEX["left_knee"], BODY_POINTS)
HANDS = (keypoints.LEFT_HAND, keypoints.RIGHT_HAND)
WRISTS = (keypoints.INDEX["left_wrist"], keypoints.INDEX["right_wrist"])


def has_moved(piece: Piece, a: int, b: int) -> bool:
    """Return True if the body or a hand moved far between the looks at frames a and b, was found in one only, or the body in none for long."""
    (early, early_scores), (late, late_scores) = piece.found[a], piece.found[b]
    if not (early_scores.any() and late_scores.any()):
        return bool(early_scores.any() or late_scores.any()) or b - a > _LOST_LONG
    if b - a > _HAND_NEAR and any(early_scores[hand].any() != late_scores[hand].any() for hand in HANDS):
        return True
    moved = np.linalg.norm(late - early, axis=-1) / face_size(piece.face(b))
    far = moved > np.where(np.arange(keypoints.COUNT) < BODY_POINTS, _STEADY, _STEADY_HAND)
    return bool((far & _is_sure(early, early_scores, piece) & _is_sure(late, late_scores, piece)).any())


def steady_hands(piece: Piece, a: int, b: int) -> list[bool]:
    """Return for the left and the right hand whether the looks at frames a and b have found it, or not, at one place."""
    (early, early_scores), (late, late_scores) = piece.found[a], piece.found[b]
    moved = np.linalg.norm(late - early, axis=-1) / face_size(piece.face(b))
    sure = _is_sure(early, early_scores, piece) & _is_sure(late, late_scores, piece)
    steady = []
    for hand, wrist in zip(HANDS, WRISTS, strict=True):
        is_found = [bool(scores[hand].any()) for scores in (early_scores, late_scores)]
        # A hand that nobody has found is at the end of the arm.
        has_stayed = not (sure & (moved > _STEADY_HAND))[hand].any() if any(is_found) else moved[wrist] <= _STEADY
        steady.append(is_found[0] == is_found[1] and bool(has_stayed))
    return steady


def agree(expected: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray], face: Face) -> bool:
    """Return True if a look has found the body and the hands where they were expected; points (133, 2) px and scores (133,)."""
    (points, scores), (expected_points, expected_scores) = found, expected
    sure = (scores >= _SURE) & (expected_scores >= _SURE)
    sure[_LEGS] = False
    apart = np.linalg.norm(points - expected_points, axis=-1)[sure]
    same = all(scores[part].any() == expected_scores[part].any() for part in (slice(None), *HANDS))
    return bool(same and apart.max(initial=0) <= _AGREES * face_size(face))


def face_size(face: Face) -> float:
    """Return the longer side of a face box, in px."""
    return float((face.box[2:] - face.box[:2]).max())


def _is_sure(points: np.ndarray, scores: np.ndarray, piece: Piece) -> np.ndarray:
    """Return which points (133, 2) of scores (133,) are seen for certain in the part of the picture that shows the person."""
    sure = scores >= _SURE
    sure[_LEGS] &= scores[_LEGS] >= _SURE_OF_LEGS
    return windows.inside(points, piece.window) & sure
