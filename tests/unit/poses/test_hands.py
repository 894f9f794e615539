"""Hands: each is given to one arm of all people of a frame."""

import numpy as np

from talking.core import keypoints
from talking.poses import hands

LEFT, RIGHT = keypoints.LEFT_HAND, keypoints.RIGHT_HAND
WRISTS = [keypoints.INDEX["left_wrist"], keypoints.INDEX["right_wrist"]]


def _person(x: float, frames: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (f, 133, 2), scores (f, 133) and face boxes (f, 4) of somebody whose arms hang down, seen well."""
    points, scores = np.zeros((frames, keypoints.COUNT, 2)), np.zeros((frames, keypoints.COUNT))
    for side, sign in (("left", 1), ("right", -1)):
        for joint, (dx, dy) in {"shoulder": (90, 150), "elbow": (110, 280), "wrist": (100, 400)}.items():
            points[:, keypoints.INDEX[f"{side}_{joint}"]] = (x + sign * dx, 100 + dy)
            scores[:, keypoints.INDEX[f"{side}_{joint}"]] = 0.9
    return points, scores, np.tile([x - 50.0, 40, x + 50, 160], (frames, 1))


def _reach(person, group: slice, elbow: tuple[float, float], wrist: tuple[float, float], score: float = 0.9) -> None:
    """Lead one arm of a person over `elbow` to `wrist`."""
    side = "left" if group == LEFT else "right"
    for joint, at in (("elbow", elbow), ("wrist", wrist)):
        person[0][:, keypoints.INDEX[f"{side}_{joint}"]] = at
        person[1][:, keypoints.INDEX[f"{side}_{joint}"]] = score


def _hand(person, group: slice, root: tuple[float, float], turn: float = 0.0, off: float = 0.0) -> None:
    """Let a hand be found for one arm: an open one of 90 px from the root, turned by radians, with points `off` px away."""
    fingers = [(0.0, 0.0)] + [
        (0.9 * k * np.sin(a), 0.9 * k * np.cos(a)) for a in (-0.8, -0.3, 0, 0.3, 0.6) for k in (40, 60, 80, 100)
    ]
    turned = np.array(fingers) @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    person[0][:, group] = np.array(root) + turned + off
    person[1][:, group] = person[1][:, WRISTS[group == RIGHT]][:, None]


def _owned(*people) -> tuple[np.ndarray, np.ndarray]:
    return hands.owned(*(np.stack(of, axis=1) for of in zip(*people, strict=True)))


def test_hands_that_nobody_disputes_stay_as_they_are() -> None:
    one, other = _person(300), _person(900)
    for person, x in ((one, 300), (other, 900)):
        _hand(person, LEFT, (x + 100, 500))
        _hand(person, RIGHT, (x - 100, 500))
    points, scores = _owned(one, other)
    np.testing.assert_array_equal(points, np.stack([one[0], other[0]], axis=1))
    np.testing.assert_array_equal(scores, np.stack([one[1], other[1]], axis=1))


def test_one_hand_found_for_two_people_goes_to_the_arm_that_is_seen() -> None:
    """The neighbour's arm was guessed onto a hand: further than an arm reaches, and hardly seen."""
    owner, guesser = _person(700), _person(300)
    _hand(owner, RIGHT, (600, 500))
    _reach(guesser, LEFT, (480, 430), (610, 510), score=0.4)
    _hand(guesser, LEFT, (600, 500), off=6)
    for people, who in (((owner, guesser), 0), ((guesser, owner), 1)):
        _, scores = _owned(*people)
        assert (scores[:, who, RIGHT] > 0.8).all()
        assert not scores[:, 1 - who, LEFT].any()
        # The wrist lies on the other's hand, so it is not known either; the rest of that arm may be.
        assert not scores[:, 1 - who, WRISTS[0]].any() and (scores[:, who, WRISTS[1]] > 0.8).all()


def test_crossing_arms_keep_their_own_hands() -> None:
    """At a table each reaches to where the other sits; wrists and hands lie beside each other."""
    one, other = _person(500), _person(740)
    _reach(one, LEFT, (610, 400), (690, 420))
    _hand(one, LEFT, (690, 420), turn=0.9)
    _reach(other, RIGHT, (640, 400), (560, 430))
    _hand(other, RIGHT, (560, 430), turn=-0.9)
    points, scores = _owned(one, other)
    assert (scores[:, 0, LEFT] > 0.8).all() and (scores[:, 1, RIGHT] > 0.8).all()
    np.testing.assert_array_equal(points[:, 0, LEFT], one[0][:, LEFT])
    np.testing.assert_array_equal(points[:, 1, RIGHT], other[0][:, RIGHT])


def test_a_hand_found_for_the_neighbour_is_given_to_the_arm_that_it_hangs_on() -> None:
    owner, guesser = _person(700), _person(300)
    _reach(guesser, LEFT, (480, 430), (620, 540), score=0.4)
    _hand(guesser, LEFT, (600, 500))
    points, scores = _owned(owner, guesser)
    assert (scores[:, 0, RIGHT] > 0).all() and not scores[:, 1, LEFT].any()
    np.testing.assert_array_equal(points[:, 0, RIGHT], guesser[0][:, LEFT])


def test_a_hand_far_from_its_own_wrist_is_nobodys() -> None:
    one = _person(300)
    _hand(one, LEFT, (700, 500))
    _, scores = _owned(one)
    assert not scores[:, 0, LEFT].any() and (scores[:, 0, WRISTS[0]] > 0.8).all()


def test_both_arms_on_one_hand_are_one_hand_but_folded_hands_are_two() -> None:
    for turn, hands_left in ((0.0, 1), (1.5, 2)):
        one = _person(300)
        _reach(one, LEFT, (420, 420), (330, 480))
        _reach(one, RIGHT, (190, 420), (300, 480))
        _hand(one, LEFT, (325, 480))
        _hand(one, RIGHT, (318, 480), turn=turn)
        _, scores = _owned(one)
        assert [(scores[:, 0, group] > 0).all() for group in (LEFT, RIGHT)].count(True) == hands_left
        assert (scores[:, 0, WRISTS] > 0.8).all()


def test_one_bad_frame_does_not_move_a_hand_to_somebody_else() -> None:
    owner, guesser = _person(700), _person(300)
    _hand(owner, RIGHT, (600, 500))
    _reach(guesser, LEFT, (480, 430), (602, 502), score=0.5)
    _hand(guesser, LEFT, (600, 500), off=3)
    owner[1][7, keypoints.INDEX["right_elbow"]] = 0.1
    _, scores = _owned(owner, guesser)
    assert (scores[:, 0, RIGHT] > 0.8).all() and not scores[:, 1, LEFT].any()
