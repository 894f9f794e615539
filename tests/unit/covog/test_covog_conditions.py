"""Pose pictures, masks and scores: their place, their size, and that they move with the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from covog.conditions import (
    People,
    Placement,
    face_boxes,
    face_masks,
    mouth_boxes,
    person_masks,
    pose_pictures,
    speaking,
    steer,
    without_lips,
)
from covog_clips import pose
from talking.core import keypoints

SOUND = np.zeros((6, 2, 3))


def people(frames=6, count=2) -> People:
    points = pose(frames, count)
    return People(
        points,
        np.ones(points.shape[:3]),
        np.concatenate([points.min(2), points.max(2)], axis=-1),
        np.ones(points.shape[:2], dtype=bool),
        np.concatenate([points.min(2), points.max(2)], axis=-1),
        np.arange(frames * count, dtype=float).reshape(frames, count),
    )


@pytest.mark.parametrize("source", [(96, 64), (1920, 1080), (1080, 1920), (640, 384), (333, 777)])
def test_points_boxes_and_pictures_are_placed_alike(source):
    placement = Placement.fit(source, (640, 384))
    width, height = source
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    x1, y1, x2, y2 = width // 4, height // 4, width // 2, height // 2
    picture[y1:y2, x1:x2] = 255
    placed = placement.picture(picture)
    assert placed.shape == (384, 640, 3)
    rows, columns = np.nonzero(placed[..., 0] > 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    box = placement.boxes(np.array([x1, y1, x2, y2]))
    np.testing.assert_allclose(found, box, atol=1)
    np.testing.assert_allclose(placement.points(np.array([[x1, y1], [x2, y2]])).ravel(), box)
    assert placement.scale[0] == pytest.approx(placement.scale[1], rel=0.01)


@pytest.mark.parametrize("size", [(640, 384), (128, 64)])
def test_face_masks_are_the_drawn_box_averaged_over_areas(size):
    random = np.random.default_rng(0)
    low = random.uniform(0, 0.6, (2, 3, 2)) * size
    found = np.concatenate([low, np.minimum(low + random.uniform(10, 80, (2, 3, 2)), size)], axis=-1)
    masks = face_masks(found, size)
    drawn = np.zeros((2, 3, size[1], size[0]), dtype=np.float32)
    for i, j in np.ndindex(2, 3):
        x1, y1, x2, y2 = np.round(found[i, j]).astype(int)
        drawn[i, j, y1:y2, x1:x2] = 1
    for level, mask in enumerate(masks):
        wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(drawn), 8 * 2**level).numpy()
        np.testing.assert_allclose(mask, wanted, atol=1e-6)


def test_face_masks_of_odd_sizes_have_the_sizes_of_the_unets_levels():
    masks = face_masks(np.array([[[0.0, 0, 104, 72]]]), (104, 72))
    assert [m.shape[2:] for m in masks] == [(9, 13), (5, 7), (3, 4), (2, 2)]
    assert all(m[0, 0, 0, 0] == 1 for m in masks)


def test_a_missing_pose_has_the_face_tracks_box_and_draws_nothing():
    given = people()
    given.valid[2, 1] = False
    given.confidence[2, 1] = 0
    placement = Placement.fit((96, 64), (192, 128))
    found = face_boxes(given, np.arange(6), placement)
    np.testing.assert_allclose(found[1, 2], given.faces[2, 1] * 2)
    assert not np.allclose(found[1, 3], given.faces[3, 1] * 2)
    made = steer(given, SOUND, np.array([1, 2]), 0, placement)
    assert made["pose"][0, :, 96:].any()
    assert not made["pose"][1, :, 96:].any()
    assert made["pose"][1, :, :96].any()


def talking(given: People, frames: slice) -> People:
    """Return the people with their mouths and jaws wide open in some frames."""
    points = given.keypoints.copy()
    for part in (keypoints.OUTER_LIPS, keypoints.INNER_LIPS, keypoints.JAW):
        points[frames, :, part, 1] += 4
    return replace(given, keypoints=points)


def test_without_lips_nothing_tells_what_a_mouth_does():
    placement, frames = Placement.fit((96, 64), (192, 128)), np.arange(6)
    first, second = (talking(people(), slice(start, None, 2)) for start in (0, 1))
    drawn, other = (steer(p, SOUND, frames, 0, placement) for p in (first, second))
    assert (drawn["pose"] != other["pose"]).any() and (drawn["face_masks"][0] != other["face_masks"][0]).any()
    bare, same = (steer(p, SOUND, frames, 0, placement, without_lips(p)) for p in (first, second))
    np.testing.assert_array_equal(bare["pose"], same["pose"])
    for one, two in zip(bare["face_masks"], same["face_masks"], strict=True):
        np.testing.assert_array_equal(one, two)
    # The reference picture shows its lips, so its pose does too.
    np.testing.assert_array_equal(bare["reference_pose"], drawn["reference_pose"])


def test_only_lips_and_jaw_are_dropped_and_the_chin_stays_under_the_nose():
    placement, frames = Placement.fit((96, 64), (192, 128)), np.arange(6)
    held = without_lips(people())
    np.testing.assert_allclose(held.keypoints, people().keypoints, atol=1e-4)
    gone = {keypoints.NAMES.index(f"face_{i}") for i in [3, 4, 5, 6, 7, 9, 10, 11, 12, 13, *range(48, 68)]}
    assert {int(i) for i in np.flatnonzero(held.confidence[0, 0] == 0)} == gone
    lost = np.argwhere((pose_pictures(people(), frames, placement) > pose_pictures(held, frames, placement)).any(-1))
    mouths = people().keypoints[:, :, keypoints.OUTER_LIPS].mean(2) * 2
    away = np.abs(mouths[lost[:, 0]] - lost[:, None, :0:-1]).min(axis=1)
    # Lips are 3 px to each side of a mouth's middle, the jaw 4 px above it, here twice as much and a dot's radius.
    assert len(lost) > 50 and (away.max(axis=0) <= [8, 10]).all()


def test_without_a_face_there_are_no_lips_to_drop():
    given = people()
    given.confidence[:, 1] = 0
    held = without_lips(given)
    np.testing.assert_array_equal(held.keypoints[:, 0], without_lips(people()).keypoints[:, 0])
    assert np.isfinite(held.keypoints).all()
    assert not held.confidence[:, 1].any()


@pytest.mark.parametrize("way", ["bars", "stretch", "crop"])
def test_mouth_boxes_lie_round_the_lips_wherever_the_picture_is_placed(way):
    placement, frames = Placement.fit((96, 64), (160, 128), way), np.array([1, 4])
    given = people()
    given.confidence[4, 1] = 0
    given.valid[4, 1] = False
    found = mouth_boxes(given, frames, placement)
    middle = given.keypoints[frames][:, :, keypoints.OUTER_LIPS].mean(2).swapaxes(0, 1)
    wanted = np.concatenate([middle - (4.8, 4.8), middle + (4.8, 4.8)], axis=-1)
    wanted[1, 1] = given.faces[4, 1]
    wanted[1, 1, 1] = wanted[1, 1, 1::2].mean()
    inside = np.clip(placement.boxes(wanted), 0, (160, 128) * 2)
    np.testing.assert_allclose(found, inside, atol=1e-3)


def test_person_masks_cover_a_person_over_the_whole_clip_whatever_window_is_asked():
    given, placement = people(frames=12), Placement.fit((96, 64), (96, 64))
    masks = person_masks(given, placement)
    assert masks.shape == (2, 64, 96)
    for frame in range(12):
        for person in range(2):
            x, y = np.floor(given.keypoints[frame, person]).astype(int).T
            assert masks[person][y, x].all()
    assert not masks[0][:, 60:].any()


def test_scores_are_a_third_of_the_raw_ones():
    np.testing.assert_allclose(speaking(people(), np.array([1, 4])), [[2 / 3, 8 / 3], [1, 3]])


@pytest.mark.parametrize(
    ("way", "inner", "left", "shown"),
    [
        ("bars", (64, 32), (0, 8), (64, 32)),
        ("stretch", (64, 48), (0, 0), (64, 48)),
        ("crop", (96, 48), (-16, 0), (64, 48)),
    ],
)
def test_pictures_of_another_shape_are_fitted_with_bars_by_stretching_or_by_cropping(way, inner, left, shown):
    placement = Placement.fit((128, 64), (64, 48), way)
    assert (placement.inner, (placement.left, placement.top)) == (inner, left)
    picture = np.zeros((64, 128, 3), dtype=np.uint8)
    # A white field in the middle.
    picture[24:40, 48:80] = 255
    placed = placement.picture(picture)
    assert placed.shape == (48, 64, 3)
    rows, columns = np.nonzero(placed[..., 0] > 127)
    x1, y1, x2, y2 = placement.boxes(np.array([48.0, 24, 80, 40]))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx((x1, y1, x2, y2), abs=1)
    bare = placement.without_bars()
    assert placement.cut_bars(placed).shape == (shown[1], shown[0], 3)
    np.testing.assert_array_equal(bare.picture(picture), placement.cut_bars(placed))
    np.testing.assert_allclose(bare.points([[64.0, 32.0]]), [[shown[0] / 2, shown[1] / 2]])
