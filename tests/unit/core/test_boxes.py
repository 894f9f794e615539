import numpy as np
import pytest

from talking.core import boxes


def test_area_of_a_box_without_extent_is_zero():
    assert boxes.area([[0, 0, 4, 3], [5, 5, 5, 9], [4, 4, 2, 2]]).tolist() == [12, 0, 0]


def test_iou_of_known_boxes():
    assert boxes.iou([0, 0, 2, 2], [1, 0, 3, 2]) == pytest.approx(1 / 3)
    assert boxes.iou([0, 0, 2, 2], [5, 5, 6, 6]) == 0
    assert boxes.iou([1, 1, 1, 1], [1, 1, 1, 1]) == 0


def test_iou_matrix_pairs_every_box_with_every_box():
    a, b = np.array([[0, 0, 2, 2], [4, 4, 6, 6]]), np.array([[0, 0, 2, 2], [4, 4, 6, 8], [9, 9, 10, 10]])
    assert boxes.iou_matrix(a, b) == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0]]))


def test_scaling_keeps_the_centre_and_clipping_stays_inside():
    assert boxes.scale([0, 0, 10, 20], 2, 0.5).tolist() == [-5, 5, 15, 15]
    assert boxes.clip([-5, 5, 15, 15], 12, 10).tolist() == [0, 5, 12, 10]


def test_union_holds_every_box():
    assert boxes.union([[0, 5, 2, 6], [1, 0, 9, 5]]).tolist() == [0, 0, 9, 6]
