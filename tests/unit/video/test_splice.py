"""Where copying may begin and end, and parameter sets there and back."""

import numpy as np
import pytest

from talking.video import splice

# Two closed groups of pictures, each stored as I P B B P B B.
NUMBERS = np.array([0, 3, 1, 2, 6, 4, 5, 7, 10, 8, 9, 13, 11, 12])
KEYS = np.isin(np.arange(14), [0, 7])


@pytest.mark.parametrize(
    ("start", "end", "copied"),
    [
        (0, 14, (0, 14)),
        (0, 7, (0, 7)),
        (0, 6, (0, 4)),
        (0, 4, (0, 4)),
        (3, 14, (7, 14)),
        (5, 13, (7, 11)),
        (7, 11, (7, 11)),
    ],
)
def test_whole_groups_are_copied(start, end, copied):
    plan = splice.plan(NUMBERS, KEYS, start, end)
    assert (plan.first, plan.last) == copied
    frames = [*range(start, plan.copy_start), *sorted(NUMBERS[plan.first : plan.last]), *range(plan.copy_end, end)]
    assert frames == list(range(start, end))


@pytest.mark.parametrize(("start", "end"), [(1, 7), (8, 14), (1, 8), (2, 9)])
def test_where_hardly_anything_could_be_copied_nothing_is(start, end):
    plan = splice.plan(NUMBERS, KEYS, start, end)
    assert plan.first == plan.last and plan.copy_start == end


def test_a_group_that_looks_back_is_not_copied():
    # The picture 4 is stored after the key frame 5 and shown before it.
    numbers = np.array([0, 3, 1, 2, 5, 4, 8, 6, 7])
    plan = splice.plan(numbers, np.isin(np.arange(9), [0, 4]), 5, 9)
    assert plan.first == plan.last


def test_parameter_sets_there_and_back():
    sets = splice.Parameters((b"\x67\x64\x00\x28\xac\xd9",), (b"\x68\xee\x3c\x80", b"\x68\x5e\x3c"))
    assert splice.parameters_of(sets.head()) == sets
    assert sets.profile == "high" and sets.free_number() == 2
    joined = sets.joined(splice.Parameters((b"\x67\x64\x00\x1f\x5d",), (b"\x68\x66",)))
    assert splice.parameters_of(joined.head()) == joined
    assert splice.parameters_of(None) is splice.parameters_of(b"\0\0\0\1\x67") is None
