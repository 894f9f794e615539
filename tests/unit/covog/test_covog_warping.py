"""The reference picture moved by poses: heads and lips go where keypoints are, the rest stays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from covog import conditions, config, warping
from covog.conditions import People, Placement
from covog.frozen_encoders import FrozenEncoders
from talking.core import keypoints

WIDTH, HEIGHT = 128, 96
PLACEMENT = Placement.fit((WIDTH, HEIGHT), (WIDTH, HEIGHT))
# Frames: as in the reference picture; moved; turned to half as wide; with an open mouth.
SHIFTS, NARROWED, OPENED = [(0, 0), (5, -3), (0, 0), (0, 0)], [1, 1, 0.5, 1], [0, 0, 0, 3]
MIDDLE = np.array([48.0, 40.0])


def drawn(frame: int) -> np.ndarray:
    """Return the picture (h, w, 3) of a face of rings before stripes."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    picture[:, ::8] = 120
    x, y = np.round(MIDDLE + SHIFTS[frame]).astype(int).tolist()
    for size, grey in ((16, 200), (12, 150), (8, 220)):
        cv2.ellipse(picture, (x, y), (round(size * NARROWED[frame]), size), 0, 0, 360, (grey,) * 3, -1, cv2.LINE_AA)
    return picture


def people() -> People:
    """Return one person whose face's points lie on rings, in the frames above."""
    frames = len(SHIFTS)
    points, confidence = np.zeros((frames, 1, keypoints.COUNT, 2)), np.zeros((frames, 1, keypoints.COUNT))
    count = keypoints.FACE.stop - keypoints.FACE.start
    angles, rings = np.linspace(0, 8 * np.pi, count), np.repeat([16, 12], count // 2)
    ring = rings[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    for frame, (shift, narrowed, opened) in enumerate(zip(SHIFTS, NARROWED, OPENED, strict=True)):
        points[frame, 0, keypoints.FACE] = MIDDLE + shift + ring * (narrowed, 1)
        lips = points[frame, 0, keypoints.INNER_LIPS]
        across = np.tile(np.linspace(-4, 4, len(lips) // 2), 2)
        down = np.repeat([4, 6 + opened], len(lips) // 2)
        lips[:] = MIDDLE + shift + np.stack([across * narrowed, down], axis=-1)
    confidence[:, :, keypoints.FACE] = 1
    faces = np.tile(np.array([32.0, 24, 64, 56]), (frames, 1, 1))
    return People(points, confidence, faces, np.ones((frames, 1), dtype=bool), faces, np.zeros((frames, 1)))


def flow(shown: People, frames: list[int]) -> np.ndarray:
    return warping.flow(shown, np.array(frames), PLACEMENT, people(), 0, PLACEMENT)


@pytest.fixture(scope="module")
def encoders():
    model = config.Model(cross_attention_dim=16, latent_channels=192)
    return FrozenEncoders(config.Encoders(vae="patches", image_encoder="random"), model)


def moved(encoders: FrozenEncoders, frames: list[int]) -> np.ndarray:
    """Return the reference picture as it is in these frames (f, h, w, 3)."""
    reference = encoders.encode(torch.from_numpy(drawn(0)).permute(2, 0, 1)[None])[0]
    latents = warping.warped(reference, torch.from_numpy(flow(people(), frames))[None], encoders)
    return encoders.decode(latents[0].transpose(0, 1)).permute(0, 2, 3, 1).numpy().astype(float)


def test_a_face_goes_where_its_points_are_and_what_is_far_from_it_stays(encoders):
    for frame, picture in zip((0, 1, 2), moved(encoders, [0, 1, 2]), strict=True):
        wanted = drawn(frame).astype(float)
        error = np.abs(picture - wanted)[14:60, 24:72].mean()
        if frame == 0:
            assert np.abs(picture - wanted).max() <= 2
        else:
            assert error < 0.4 * np.abs(drawn(0).astype(float) - wanted)[14:60, 24:72].mean()
        np.testing.assert_allclose(picture[:, 96:], wanted[:, 96:], atol=2)


def test_lips_that_open_pull_what_is_between_them_apart_and_unknown_ones_do_not():
    across, between = int(MIDDLE[0]), int(MIDDLE[1]) + 6
    opened = flow(people(), [3])[0, between, across] - (across, between)
    # At two fifths of the way from the upper lip, which stays, to the lower one, which is 3 px lower.
    assert opened[1] == pytest.approx(-1.2, abs=0.3)
    held = people()
    held.confidence[:, :, keypoints.INNER_LIPS] = 0
    np.testing.assert_allclose(flow(held, [3]), flow(held, [0]), atol=1e-4)
    assert np.abs(flow(conditions.without_lips(people()), [3]) - flow(conditions.without_lips(people()), [0])).max() < 1


def test_without_known_points_nothing_moves():
    still = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)
    nobody = replace(people(), valid=np.zeros((len(SHIFTS), 1), dtype=bool))
    np.testing.assert_allclose(flow(nobody, [1])[0], still, atol=1e-4)
    empty = People(*(getattr(people(), name)[:, :0] for name in people().__dataclass_fields__))
    found = warping.flow(empty, np.array([1]), PLACEMENT, empty, 0, PLACEMENT)
    np.testing.assert_allclose(found[0], still, atol=1e-4)
