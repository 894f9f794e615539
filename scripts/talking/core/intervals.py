"""Half-open integer intervals `[start, end)`: speaking periods, visibility, cuts and gates are all made of these.

A set of intervals is a list of `(start, end)` tuples, sorted, disjoint and non-empty.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

Interval = tuple[int, int]


def from_mask(mask: Sequence[bool] | np.ndarray) -> list[Interval]:
    """Return the runs of true values of a 1-D mask as intervals of its indices."""
    padded = np.concatenate([[False], np.asarray(mask, dtype=bool), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def to_mask(intervals: Iterable[Interval], length: int) -> np.ndarray:
    """Return a boolean array of `length` values that is true inside the intervals (parts outside are cut off)."""
    mask = np.zeros(length, dtype=bool)
    for start, end in intervals:
        mask[max(start, 0) : max(end, 0)] = True
    return mask


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of any intervals, in any order, overlapping, touching or empty."""
    out: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[1] > i[0]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def closed(intervals: Iterable[Interval], gap: int) -> list[Interval]:
    """Return the union of intervals, with gaps of up to `gap` between them closed."""
    out: list[Interval] = []
    for start, end in union(intervals):
        if out and start - out[-1][1] <= gap:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def intersect(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """Return the parts that lie in both sets, in one sweep over the two sorted lists."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        start, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if start < end:
            out.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return out


def subtract(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """Return the parts of `a` that lie in no interval of `b`."""
    out, j = [], 0
    for start, end in a:
        while j < len(b) and b[j][1] <= start:
            j += 1
        k = j
        while k < len(b) and b[k][0] < end:
            if start < b[k][0]:
                out.append((start, b[k][0]))
            start = max(start, b[k][1])
            k += 1
        if start < end:
            out.append((start, end))
    return out


def total(intervals: Iterable[Interval]) -> int:
    """Return the summed length of disjoint intervals."""
    return sum(end - start for start, end in intervals)


def merge_short(labels: Sequence[int] | np.ndarray, min_length: int) -> np.ndarray:
    """Return a copy of a label sequence in which no run is shorter than `min_length`, unless only one run is left.

    The shortest run is merged first, into the longer of its neighbours, and merging goes on
    until nothing short is left: a chain of short runs between two long ones can therefore not
    flip a long one, whatever the order of the labels. Labels are compared, never tested for truth.
    """
    labels = np.asarray(labels).copy()
    if labels.size == 0:
        return labels
    bounds = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    edges = [0, *bounds.tolist(), labels.size]
    runs = [[a, b, labels[a]] for a, b in itertools.pairwise(edges)]
    while len(runs) > 1:
        i = min(range(len(runs)), key=lambda k: runs[k][1] - runs[k][0])
        if runs[i][1] - runs[i][0] >= min_length:
            break
        neighbours = [k for k in (i - 1, i + 1) if 0 <= k < len(runs)]
        winner = max(neighbours, key=lambda k: runs[k][1] - runs[k][0])
        runs[i][2] = runs[winner][2]
        joined: list[list] = []
        for run in runs:
            if joined and joined[-1][2] == run[2]:
                joined[-1][1] = run[1]
            else:
                joined.append(run)
        runs = joined
    for start, end, label in runs:
        labels[start:end] = label
    return labels
