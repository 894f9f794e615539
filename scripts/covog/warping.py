"""The reference picture moved: heads and lips are shifted to where the poses of a frame have them, the rest stays."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import LinearNDInterpolator

from covog.conditions import People, Placement
from covog.frozen_encoders import FrozenEncoders
from talking.core import keypoints

# Shoulders are found too roughly: moved by them, pictures of the demo come out 3 dB farther from the truth.
_MOVED = keypoints.FACE
_SURE = 0.3
# What is beyond a half circle over a head, in widths of its face, stays where it is; so do the picture's edges.
_STAYS, _STAYS_POINTS, _EDGE_POINTS = 1.35, 9, 9
# A place that is held is so far, in widths of the face, from what moves.
_APART = 0.5


def flow(
    people: People, frames: np.ndarray, placement: Placement, reference_people: People, reference: int, of: Placement
) -> np.ndarray:
    """Return where in the reference picture each pixel of some frames is taken from: (f, h, w, 2) float32 px (x, y).

    Between keypoints that are known in both, movement is interpolated linearly. `of` is the placement of the reference picture.
    """
    width, height = placement.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    were, sure = _points(reference_people, reference, of)
    edges = _edges(width, height)
    out = np.empty((len(frames), height, width, 2), dtype=np.float32)
    for found, frame in zip(out, frames, strict=True):
        points, known = _points(people, frame, placement)
        known = known & sure
        held = [edges, *(_around(*face, points[known]) for face in zip(points, known, strict=True))]
        places = np.concatenate([*held, points[known]])
        shifts = np.concatenate([np.zeros((len(places) - known.sum(), 2)), (were - points)[known]])
        found[:] = pixels + LinearNDInterpolator(places, shifts, fill_value=0)(pixels)
    return out


def warped(reference: torch.Tensor, flow: torch.Tensor, encoders: FrozenEncoders) -> torch.Tensor:
    """Return the latents (b, c, f, h, w) of reference pictures with latents (b, c, h, w), moved as the `flow` (b, f, H, W, 2) says."""
    clips, frames, height, width = flow.shape[:4]
    pictures = encoders.decode(reference).float().repeat_interleave(frames, dim=0)
    grid = (2 * flow.flatten(0, 1) + 1) / flow.new_tensor([width, height]) - 1
    moved = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 255)
    return encoders.encode(moved)[0].float().unflatten(0, (clips, frames)).transpose(1, 2)


def _points(people: People, frame: int, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Return everybody's points that move (p, n, 2) px of the placed picture, and whether they are known (p, n)."""
    points = placement.points(people.keypoints[frame][:, _MOVED])
    known = (people.confidence[frame][:, _MOVED] >= _SURE) & people.valid[frame][:, None]
    return points, known & np.isfinite(points).all(axis=-1)


def _edges(width: int, height: int) -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, width - 1, _EDGE_POINTS), np.linspace(0, height - 1, _EDGE_POINTS))
    points = np.stack([across, down], axis=-1)
    inside = np.zeros(points.shape[:2], dtype=bool)
    inside[1:-1, 1:-1] = True
    return points[~inside]


def _around(points: np.ndarray, known: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Return places (n, 2) px about a head that stay, if its face is known: not near points of anybody that move."""
    face = points[known]
    if len(face) < 2:
        return np.empty((0, 2))
    width, middle = np.ptp(face[:, 0]), (face.min(axis=0) + face.max(axis=0)) / 2
    angles = np.linspace(np.pi, 2 * np.pi, _STAYS_POINTS)
    places = middle + _STAYS * width * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return places[np.linalg.norm(places[:, None] - moving, axis=-1).min(axis=1) > _APART * width]
