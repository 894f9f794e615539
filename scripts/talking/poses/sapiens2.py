"""Sapiens 2 (Meta, 2026) for the 133 keypoints: of its 308 points those that mean the same.

Body, feet and hands are the same points. Of the face's 238 the nearest to each of iBUG 300-W's 68 is taken (docs/keypoints.md);
of the jaw Sapiens 2 marks the chin alone, and where the ears join the head, so eleven points of the contour are absent.
"""

import os
from pathlib import Path

import torch

from talking.core import keypoints
from talking.core.errors import InputError
from talking.poses import sapiens

COUNT = 308
# In RGB: ImageNet's.
_MEAN, _SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# Where the names of COCO-WholeBody's body and feet lie among the 308.
_BODY = {
    name: i
    for i, name in enumerate(
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_hip right_hip left_knee "
        "right_knee left_ankle right_ankle left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel".split()
    )
}
_RIGHT_HAND, _LEFT_HAND = 21, 42
_WRIST = 20
# 300-W point -> point of the 308. Lines are numbered by halving, from left to right in the picture: 1 and 2 are the quarters (of a
# lip or lid: of each half the middle), 3 to 6 the eighths.
_CONTOUR = {0: 270, 1: 263, 2: 269, 8: 77, 14: 243, 15: 237, 16: 244}  # helix, tragus, lobe, chin
_BROWS = {17: 80, 18: 83, 19: 81, 20: 84, 21: 78, 22: 87, 23: 92, 24: 90, 25: 93, 26: 89}  # upper edges
_NOSE = {27: 71, 28: 74, 29: 75, 30: 178, 31: 183, 32: 182, 33: 179, 34: 185, 35: 186}
_EYES = {
    36: 121,
    37: 126,
    38: 127,
    39: 120,
    40: 168,
    41: 167,
    42: 96,
    43: 103,
    44: 102,
    45: 97,
    46: 150,
    47: 151,
}  # lash lines
_LIPS = {48: 188, 49: 192, 50: 197, 51: 190, 52: 198, 53: 193, 54: 189, 55: 195, 56: 202, 57: 191, 58: 201, 59: 194,
         60: 204, 61: 208, 62: 206, 63: 209, 64: 205, 65: 211, 66: 207, 67: 210}  # fmt: skip


def _sources() -> dict[int, int]:
    """Return {keypoint of the 133: point of the 308}."""
    sources = {keypoints.INDEX[name]: i for name, i in _BODY.items()}
    for side, hand, first in (("left", keypoints.LEFT_HAND, _LEFT_HAND), ("right", keypoints.RIGHT_HAND, _RIGHT_HAND)):
        sources[keypoints.INDEX[f"{side}_wrist"]] = sources[hand.start] = first + _WRIST
        # Fingers come in the same order, but from the tip to the root.
        sources |= {hand.start + 1 + 4 * f + j: first + 4 * f + 3 - j for f in range(5) for j in range(4)}
    face = _CONTOUR | _BROWS | _NOSE | _EYES | _LIPS
    return sources | {keypoints.FACE.start + i: of for i, of in face.items()}


SOURCES = _sources()


class _WholeBody(torch.nn.Module):
    """Sapiens 2 with the heat maps of the 133: nothing where it has no such point."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found = self._network(pixel_values=pictures).heatmaps
        heat = found.new_zeros(len(found), keypoints.COUNT, *found.shape[2:])
        heat[:, list(SOURCES)] = found[:, list(SOURCES.values())]
        return heat


def opened(weights: str | Path, batch: int, flip: bool, threads: int) -> sapiens.Sapiens:
    """Load a folder of transformers and return the model.

    Raises InputError if the folder holds no Sapiens 2 of 308 points.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoConfig, Sapiens2ForPoseEstimation

    try:
        config = AutoConfig.from_pretrained(weights, local_files_only=True)
        if config.model_type != "sapiens2" or config.num_labels != COUNT:
            raise ValueError(f"a {config.model_type} of {config.num_labels} labels")
        network = Sapiens2ForPoseEstimation.from_pretrained(
            weights, config=config, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{weights} is no Sapiens 2 of {COUNT} points ({error}); name its folder (config.json, model.safetensors) in "
            "poses.sapiens_weights."
        ) from error
    return sapiens.Sapiens(_WholeBody(network.eval()), batch, flip, threads, _MEAN, _SPREAD)
