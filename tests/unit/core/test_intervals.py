import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talking.core import intervals

LENGTH = 60
masks = st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH).map(lambda m: np.array(m))


@given(masks)
def test_a_mask_survives_the_way_to_intervals_and_back(mask):
    assert (intervals.to_mask(intervals.from_mask(mask), LENGTH) == mask).all()


@given(masks, masks)
def test_set_operations_equal_those_on_masks(a, b):
    of_a, of_b = intervals.from_mask(a), intervals.from_mask(b)
    assert intervals.intersect(of_a, of_b) == intervals.from_mask(a & b)
    assert intervals.subtract(of_a, of_b) == intervals.from_mask(a & ~b)
    assert intervals.union([*of_b, *of_a]) == intervals.from_mask(a | b)
    assert intervals.total(of_a) == a.sum()


def test_union_joins_touching_and_drops_empty_intervals():
    assert intervals.union([(5, 9), (0, 3), (3, 4), (7, 7), (6, 8)]) == [(0, 4), (5, 9)]


def test_a_chain_of_short_runs_does_not_flip_a_long_one():
    labels = [0] * 50 + [1, 0] * 6 + [1] * 40
    merged = intervals.merge_short(labels, 25)
    assert (merged[:50] == 0).all() and (merged[62:] == 1).all()
    assert (np.diff(merged) != 0).sum() == 1


@given(st.lists(st.integers(0, 2), min_size=1, max_size=120), st.integers(1, 30))
def test_merging_leaves_no_short_run_and_keeps_the_length(labels, minimum):
    merged = intervals.merge_short(labels, minimum)
    assert len(merged) == len(labels)
    edges = np.flatnonzero(np.diff(merged)) + 1
    runs = np.diff([0, *edges, len(merged)])
    assert len(runs) == 1 or runs.min() >= minimum
    assert set(merged) <= set(labels)


@pytest.mark.parametrize("labels", [[], [0], [1, 1, 1]])
def test_merging_leaves_what_is_one_run_alone(labels):
    assert intervals.merge_short(labels, 25).tolist() == labels
