"""Pose pictures, masks and scores: their place, their size, and that they move with the picture."""

import numpy as np
import pytest
import torch

from covog.conditions import People, Placement, face_boxes, face_masks, person_masks, speaking, steer
from covog_clips import pose


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
    made = steer(given, np.array([1, 2]), 0, placement)
    assert made["pose"][0, :, 96:].any()
    assert not made["pose"][1, :, 96:].any()
    assert made["pose"][1, :, :96].any()


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
