"""Measures of motion against pictures that move by known amounts."""

import cv2
import numpy as np
import pytest

from covog import metrics, motion

REGION = [np.array([[40.0, 30, 130, 90]])]


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """A wall of soft spots, brightness 30 to 200, larger than the pictures."""
    spots = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (200, 300, 3)).astype(np.float32), (0, 0), 3)
    return cv2.normalize(spots, None, 30, 200, cv2.NORM_MINMAX).astype(np.uint8)


def part(wall: np.ndarray, x: float, y: float) -> np.ndarray:
    return cv2.warpAffine(wall, np.float32([[1, 0, -x], [0, 1, -y]]), (192, 112))


def alone(before: np.ndarray, now: np.ndarray, regions: list[np.ndarray]) -> list[float]:
    """Measure pictures that move as the truth does: they are the truth, or it with other colours."""
    return motion.warping_errors((before, now), (before, now), regions)


def test_a_moved_picture_has_almost_no_warping_error_and_flicker_has_its_amount(wall):
    before, moved = part(wall, 20, 20), part(wall, 23, 18)
    assert alone(before, before, REGION) == [0]
    assert np.abs(moved.astype(float) - before).mean() > 8
    assert alone(before, moved, REGION)[0] < 0.3
    assert alone(before, part(wall, 20.5, 20), REGION)[0] < 0.6
    flickering = motion.warping_errors((before, moved), (before, moved + 8), REGION)[0]
    assert flickering == pytest.approx(8, abs=0.3)


def test_what_does_not_move_with_the_truth_and_noise_have_a_warping_error(wall):
    before, moved = part(wall, 20, 20), part(wall, 23, 18)
    assert motion.warping_errors((before, moved), (before, before), REGION)[0] > 5
    noise = tuple(np.random.default_rng(0).integers(0, 256, (2, 112, 192, 3)).astype(np.uint8))
    # Two even draws of 0-255 differ by 85 in the mean.
    assert motion.warping_errors((before, moved), noise, REGION)[0] == pytest.approx(85.3, abs=2)
    assert np.isnan(alone(*noise, [np.full((1, 4), np.nan)])).all()


def test_each_region_has_its_own_error(wall):
    before = part(wall, 20, 20)
    flickering = before.copy()
    flickering[:, 100:] += 12
    left, right, none = (np.array([[x1, 20.0, x2, 90]]) for x1, x2 in ((10, 70), (120, 180), (np.nan, np.nan)))
    found = motion.warping_errors(
        (before, before), (before, flickering), [left, right, np.concatenate([left, none]), none]
    )
    assert found[:3] == pytest.approx([0, 12, 0], abs=0.1)
    assert np.isnan(found[3])


def listening(offsets: np.ndarray, speaking: np.ndarray) -> dict:
    """Measure people whose brightness tells their eyes' and head's offsets (f, p, 2) in px of a face of 224 px."""
    frames, people, _ = offsets.shape
    points = np.zeros((frames, people, 68, 2))
    for person in range(people):
        points[:, person] = np.random.default_rng(person).uniform(0, 20, (68, 2)) + (10 + 40 * person, 10)

    def marker(square):
        eyes, head, _ = square[len(square) // 2, len(square) // 2].astype(float)
        found = np.zeros((68, 2)) + (head, 0)
        found[16, 0] += 200
        found[motion.EYES_BROWS] += (0, eyes)
        return found

    unknown = np.full((frames, people, 4), np.nan)
    faces = metrics.Faces(unknown, speaking, points, unknown, unknown)
    measures = metrics.Measures(faces, np.zeros(frames * 640), metrics.Networks(face_marker=marker))
    for at in offsets:
        picture = np.zeros((40, 100, 3), dtype=np.uint8)
        for person, (eyes, head) in enumerate(at):
            picture[:, 40 * person : 40 * (person + 1), :2] = eyes, head
        measures.add(picture, picture)
    return measures.finish()


def test_interactivity_is_how_far_a_listeners_eyes_move_while_another_speaks():
    speaking = np.zeros((9, 2), dtype=bool)
    speaking[:5, 0] = True
    offsets = np.zeros((9, 2, 2))
    # The listener's eyes move by 3 px a frame; the speaker's by 9, which does not count, nor what happens while nobody speaks.
    offsets[:, 1, 0] = 3 * np.arange(9)
    offsets[5:, 1, 0] += 20 * np.arange(4)
    offsets[:, 0, 0] = 9 * np.arange(9)
    assert listening(offsets, speaking)["interactivity", "listening"] == pytest.approx(3)
    # A head that moves as a whole is no reaction of the eyes.
    offsets[:, 1, 1] = 5 * np.arange(9)
    found = listening(offsets, speaking)
    assert found["interactivity", "listening"] == pytest.approx(3)
    still = listening(np.zeros((9, 2, 2)), speaking)
    assert still["interactivity", "listening"] == 0
    assert still["landmark_jitter", "everything"] == 0
    assert ("interactivity", "listening") not in listening(offsets, np.zeros((9, 2), dtype=bool))


def test_landmark_jitter_is_nothing_for_even_motion_and_the_turn_of_a_shaking_head():
    speaking = np.zeros((8, 1), dtype=bool)
    even = np.zeros((8, 1, 2))
    even[:, 0, 1] = 4 * np.arange(8)
    assert listening(even, speaking)["landmark_jitter", "everything"] == 0
    even[::2, 0, 1] += 3
    assert listening(even, speaking)["landmark_jitter", "everything"] == pytest.approx(6)


def test_dlibs_landmarks_of_a_drawn_face_follow_its_brows():
    pytest.importorskip("dlib")
    marker, points = motion.dlib_marker(), np.array([[60, 60], [140, 150]]).repeat(34, axis=0).astype(float)

    def face(lift: int) -> np.ndarray:
        picture = np.full((220, 220, 3), 120, dtype=np.uint8)
        cv2.ellipse(picture, (100, 105), (46, 62), 0, 0, 360, (220, 180, 160), -1)
        for x in (80, 120):
            cv2.ellipse(picture, (x, 92), (9, 4), 0, 0, 360, (250, 250, 250), -1)
            cv2.circle(picture, (x, 92), 4, (40, 30, 20), -1)
            cv2.line(picture, (x - 11, 80 - lift), (x + 11, 80 - lift), (60, 40, 30), 3)
        cv2.line(picture, (100, 95), (97, 118), (190, 150, 130), 2)
        cv2.ellipse(picture, (100, 138), (16, 5), 0, 0, 360, (170, 60, 60), -1)
        return cv2.GaussianBlur(picture, (0, 0), 1)

    assert np.abs(motion.face_movement(marker, face(0), face(0), points)[0]).max() == 0
    moved, _ = motion.face_movement(marker, face(0), face(5), points)
    brows, contour = moved[17:27, 1].mean(), moved[:17, 1].mean()
    assert brows < contour - 4
