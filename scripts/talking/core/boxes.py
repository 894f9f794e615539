"""Boxes `x1, y1, x2, y2` in pixels, as arrays of shape (..., 4)."""

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (...,) in square pixels; a box with no extent has area 0."""
    boxes = np.asarray(boxes, dtype=float)
    size = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return size[..., 0] * size[..., 1]


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the boxes (...,4) in which `a` and `b`, broadcast, overlap; an empty overlap has no extent."""
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    low = np.maximum(a[..., :2], b[..., :2])
    return np.concatenate([low, np.maximum(np.minimum(a[..., 2:], b[..., 2:]), low)], axis=-1)


def union(boxes: np.ndarray) -> np.ndarray:
    """Return the smallest box (4,) around boxes (n, 4) with n ≥ 1."""
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of `a` and `b`, broadcast; 0 where both are empty."""
    both = area(intersection(a, b))
    either = area(a) + area(b) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU of every box of `a` (n, 4) with every box of `b` (m, 4) as (n, m)."""
    return iou(np.asarray(a, dtype=float).reshape(-1, 1, 4), np.asarray(b, dtype=float).reshape(1, -1, 4))


def scale(boxes: np.ndarray, width: float, height: float | None = None) -> np.ndarray:
    """Return boxes whose width and height are multiplied about their centres (height as width if not given)."""
    boxes = np.asarray(boxes, dtype=float)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) / 2 * np.array([width, width if height is None else height])
    return np.concatenate([centre - half, centre + half], axis=-1)


def clip(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the parts of boxes that lie inside a picture of `width` × `height` pixels."""
    limit = np.array([width, height, width, height], dtype=float)
    return np.clip(np.asarray(boxes, dtype=float), 0, limit)
