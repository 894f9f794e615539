"""The pose encoder that sees one person at a time and sums over them (CovOG's multi-human pose encoder)."""

import functools

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn


class PoseEncoder(ControlNetConditioningEmbedding):
    """ControlNet's conditioning embedding, applied to the pose picture once per person and summed.

    Its convolutions have biases, so the sum is not the embedding of all persons at once, and a padded
    person must be left out rather than given an empty mask.
    """

    def awaken(self) -> None:
        """Set weights that let poses through at once. With those that convolutions have by default, and none in the last one,
        a mouth that moves would be millionths of what the UNet is given."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                # SiLU halves what is small.
                nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
            else:
                nn.init.zeros_(parameter)

    def forward(self, pose: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """Return features (b, c, f, h / 8, w / 8) of pose pictures (b, 3, f, h, w).

        `masks` (b, p, h, w) is 1 inside each person's box, `present` (b, p) bool is false for padded persons.
        """
        masked = pose[:, None] * masks[:, :, None, None].to(pose.dtype)
        # Padded persons are encoded too and then left out: which ones they are is known on the device only.
        rows = masked.transpose(2, 3).flatten(0, 2)
        features = super().forward(rows).unflatten(0, (*present.shape, pose.shape[2]))
        kept = present[:, :, None, None, None, None]
        # Added one by one: torch's own sum of half precision would return single precision under autocast.
        persons = torch.where(kept, features, torch.zeros_like(features)).unbind(1)
        return functools.reduce(torch.add, persons).transpose(1, 2)
