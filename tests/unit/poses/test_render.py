"""Pose pictures and CovOG's face box, on skeletons whose places are known."""

import numpy as np
import pytest

from talking.core import keypoints
from talking.poses import render


def _person(**places: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    points, scores = np.zeros((1, keypoints.COUNT, 2)), np.zeros((1, keypoints.COUNT))
    for name, place in places.items():
        points[0, keypoints.INDEX[name]], scores[0, keypoints.INDEX[name]] = place, 1
    return points, scores


def _standing(height: int = 360, width: int = 640) -> tuple[np.ndarray, np.ndarray]:
    points, scores = _person(left_shoulder=(0.6, 0.4), right_shoulder=(0.4, 0.4), left_elbow=(0.7, 0.7))
    return points * (width, height), scores


def test_a_limb_joins_its_two_points_in_colour() -> None:
    points, scores = _standing()
    picture = render.draw_poses(points, scores, 360, 640)
    assert picture.shape == (360, 640, 3) and picture.dtype == np.uint8
    middle = points[0, [keypoints.INDEX["left_shoulder"], keypoints.INDEX["left_elbow"]]].mean(0).round().astype(int)
    colour = picture[middle[1], middle[0]].astype(int)
    assert colour.max() > 100 and np.ptp(colour) > 50
    assert not picture[:, :200].any() and not picture[270:].any()


def test_points_below_the_score_are_left_out() -> None:
    points, scores = _standing()
    scores[0, keypoints.INDEX["left_elbow"]] = 0.2
    picture = render.draw_poses(points, scores, 360, 640, min_score=0.3)
    assert not picture[180:].any()
    assert render.draw_poses(points, scores, 360, 640, min_score=0.1)[180:].any()


def test_face_points_are_white_and_the_fingers_of_a_hand_differ_in_colour() -> None:
    points, scores = _person(face_30=(320, 180))
    picture = render.draw_poses(points, scores, 360, 640)
    assert picture[180, 320].tolist() == [255, 255, 255]
    hand = {
        f"left_hand_{finger}_{j}": (50 + 100 * i, 100 + 40 * j)
        for i, finger in enumerate(["thumb", "ring"])
        for j in (1, 2)
    }
    points, scores = _person(**hand)
    picture = render.draw_poses(points, scores, 360, 640).astype(int)
    assert np.abs(picture[160, 50] - picture[160, 150]).max() > 100


@pytest.mark.parametrize("height", [360, 720, 1080])
def test_a_pose_covers_the_same_share_of_the_picture_at_every_size(height: int) -> None:
    width = height * 16 // 9
    share = (render.draw_poses(*_standing(height, width), height, width).max(-1) > 60).mean()
    # 0.7 picture heights of limbs, 0.011 heights wide, and four joints.
    assert share == pytest.approx(0.0049, rel=0.25)


def test_scale_draws_the_poses_of_a_larger_picture() -> None:
    points, scores = _standing(720, 1280)
    half = render.draw_poses(points, scores, 360, 640, scale=0.5)
    np.testing.assert_array_equal(half, render.draw_poses(points / 2, scores, 360, 640))


def test_nobody_unknown_points_and_points_far_away_draw_nothing() -> None:
    empty = np.zeros((0, keypoints.COUNT, 2)), np.zeros((0, keypoints.COUNT))
    assert not render.draw_poses(*empty, 90, 160).any()
    lost = np.full((1, keypoints.COUNT, 2), np.nan), np.ones((1, keypoints.COUNT))
    assert not render.draw_poses(*lost, 90, 160).any()
    away = np.full((1, keypoints.COUNT, 2), 1e9), np.ones((1, keypoints.COUNT))
    assert not render.draw_poses(*away, 90, 160).any()


def _face(left: float = 450, right: float = 550, top: float = 300, chin: float = 420) -> np.ndarray:
    points = np.full((keypoints.COUNT, 2), np.nan)
    points[keypoints.FACE_BOX_POINTS] = [
        (left, top),
        ((left + right) / 2, chin),
        (right, top),
        ((left + right) / 2, (top + chin) / 2),
    ]
    return points


def test_face_box_grows_the_box_of_the_four_points() -> None:
    points = _face()
    # 100 × 120 about (500, 360), 1.4 times as wide and 1.6 times as high.
    np.testing.assert_allclose(render.face_box(points), [430, 264, 570, 456])


def test_face_box_without_extent_gives_way_to_the_upper_body() -> None:
    points = _face(top=420, chin=420)
    points[keypoints.LEFT_SHOULDER], points[keypoints.RIGHT_SHOULDER] = (600, 500), (400, 500)
    # The shoulders, 200 apart, are lifted by 240: 200 × 240 about (500, 380), 1.4 times as wide and 1.6 times as high.
    np.testing.assert_allclose(render.face_box(points), [360, 188, 640, 572])
    points[keypoints.FACE_BOX_POINTS] = _face()[keypoints.FACE_BOX_POINTS]
    np.testing.assert_allclose(render.face_box(points), [430, 264, 570, 456])


def test_face_box_of_many_people_and_frames_at_once() -> None:
    points = np.stack([_face(), _face(100, 140, 50, 90)])[None].repeat(3, axis=0)
    boxes = render.face_box(points)
    assert boxes.shape == (3, 2, 4)
    np.testing.assert_allclose(boxes[2, 1], [92, 38, 148, 102])


def test_face_box_without_a_face_point_is_nan_and_score_0_is_no_point() -> None:
    points = _face()
    points[keypoints.CHIN] = np.nan
    assert np.isnan(render.face_box(points)).all()
    points, scores = np.nan_to_num(_face()), np.zeros(keypoints.COUNT)
    assert np.isnan(render.face_box(points, scores)).all()
    scores[keypoints.FACE_BOX_POINTS] = 0.9
    np.testing.assert_allclose(render.face_box(points, scores), [430, 264, 570, 456])


def test_a_small_picture_shows_whether_lips_are_apart():
    points, scores = np.zeros((1, keypoints.COUNT, 2)), np.zeros((1, keypoints.COUNT))
    lips = [keypoints.FACE.start, keypoints.FACE.start + 1]
    points[0, lips] = [[40, 20], [40, 22]]
    scores[0, lips] = 1
    upper, between, lower = render.draw_poses(points, scores, 56, 96)[20:23, 40, 0].astype(int)
    assert min(upper, lower) > 4 * between
