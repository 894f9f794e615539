"""Owners of hands: all hands of a frame are assigned to arms at once, each to one arm."""

import itertools

import numpy as np
from scipy import ndimage, optimize

from talking.core import boxes, keypoints

_HANDS = (keypoints.LEFT_HAND, keypoints.RIGHT_HAND)
_SHOULDERS, _ELBOWS, _WRISTS = (
    [keypoints.INDEX[f"{side}_{joint}"] for side in ("left", "right")] for joint in ("shoulder", "elbow", "wrist")
)
# Two findings whose points lie this near each other on average, in hand sizes, are one hand; clasped hands are further apart.
_SAME = 0.35
# A hand may hang on an arm whose wrist lies within this of its root, in hand sizes.
_HANGS = 1.0
# Longest an upper arm and a forearm look, in face sizes.
_LONGEST = 2.2
# Frames over which an arm's visibility is averaged, so that a hand does not change its owner from frame to frame.
_FRAMES = 11
_NEVER = 1e6


def owned(points: np.ndarray, scores: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (f, p, 133, 2) and scores (f, p, 133) in which every hand hangs on one arm only.

    Hands found more than once, for two people or for both arms of one, are one hand. It goes to the arm whose wrist is nearest,
    which is well seen and not too long for its face (f, p, 4), whoever it was found for; cost is least over all people of a frame
    (assignment: Kuhn, 1955). A wrist that was guessed onto somebody else's hand gets score 0.
    """
    points, scores = points.copy(), scores.copy()
    doubt = _doubt(points, scores, faces)
    found = np.stack([scores[..., hand].mean(-1) > 0 for hand in _HANDS], axis=-1)
    # With one hand of one person, the only question is whether it hangs on its arm.
    for frame in np.flatnonzero(found.any((1, 2))):
        _decide(points[frame], scores[frame], found[frame], doubt[frame])
    return points, scores


def _doubt(points: np.ndarray, scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the doubt (f, p, 2) of the left and right arms: unseen or too long; about 0 for good ones."""
    face = np.sqrt(boxes.area(faces))[..., None]
    shoulder, elbow, wrist = (points[..., joints, :] for joints in (_SHOULDERS, _ELBOWS, _WRISTS))
    lengths = np.stack([np.linalg.norm(elbow - shoulder, axis=-1), np.linalg.norm(wrist - elbow, axis=-1)])
    too_long = np.clip(lengths / np.maximum(face, 1) / _LONGEST - 1, 0, 3).sum(0)
    unseen = 1 - np.minimum(scores[..., _ELBOWS], scores[..., _WRISTS])
    doubt = np.nan_to_num(too_long + unseen, nan=1.0)
    return ndimage.uniform_filter1d(doubt, _FRAMES, axis=0, mode="nearest")


def _decide(points: np.ndarray, scores: np.ndarray, found: np.ndarray, doubt: np.ndarray) -> None:
    """Give the hands of one frame to arms, in place: points (p, 133, 2), scores (p, 133), found and doubt (p, 2)."""
    arms = list(np.ndindex(found.shape))
    owners = [arm for arm in arms if found[arm]]
    findings = np.stack([points[person, _HANDS[side]] for person, side in owners])
    of_finding = np.stack([scores[person, _HANDS[side]] for person, side in owners])
    size = np.ptp(findings, axis=1).max(-1)
    hand = _same_hands(findings, size)
    wrists = np.array([points[person, _WRISTS[side]] for person, side in arms])
    seen = np.array([scores[person, _WRISTS[side]] > 0 for person, side in arms])
    apart = np.linalg.norm(wrists[:, None] - findings[None, :, 0], axis=-1) / np.maximum(size, 1)
    cost = np.where(seen[:, None] & (apart < _HANGS), apart + doubt.reshape(-1, 1), _NEVER)
    # Of a hand found more than once, an arm takes its own finding; else the one that lies best.
    own = np.array([[arm == owner for owner in owners] for arm in arms])
    preferred = np.where(own, cost - _NEVER, cost)
    hands = range(hand.max() + 1)
    best = np.stack([np.where(hand == h, preferred, np.inf).argmin(1) for h in hands], axis=1)
    of_hand = np.take_along_axis(cost, best, axis=1)
    for person, side in arms:
        scores[person, _HANDS[side]] = 0
    winners = {}
    for arm, h in zip(*optimize.linear_sum_assignment(of_hand), strict=True):
        if of_hand[arm, h] < _NEVER:
            (person, side), finding = arms[arm], best[arm, h]
            points[person, _HANDS[side]], scores[person, _HANDS[side]] = findings[finding], of_finding[finding]
            winners[h] = person
    for number, (person, side) in enumerate(owners):
        if winners.get(hand[number], person) != person and apart[arms.index((person, side)), number] < _HANGS:
            scores[person, _WRISTS[side]] = 0


def _same_hands(findings: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the number (n,) of the hand that each finding (n, 21, 2) shows; `size` (n,) is in px."""
    hand = np.arange(len(findings))
    for i, j in itertools.combinations(range(len(findings)), 2):
        apart = np.linalg.norm(findings[i] - findings[j], axis=-1).mean()
        if apart < _SAME * max(size[i], size[j]):
            hand[hand == hand[j]] = hand[i]
    return np.unique(hand, return_inverse=True)[1]
