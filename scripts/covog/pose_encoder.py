"""The pose encoder that sees one person at a time and sums over them (CovOG's multi-human pose encoder)."""

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding


class PoseEncoder(ControlNetConditioningEmbedding):
    """ControlNet's conditioning embedding, applied to the pose picture once per person and summed.

    Its convolutions have biases, so the sum is not the embedding of all persons at once, and a padded
    person must be left out rather than given an empty mask.
    """

    def forward(self, pose: torch.Tensor, masks: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return features (b, c, f, h / 8, w / 8) of pose pictures (b, 3, f, h, w).

        `masks` (b, p, h, w) is 1 inside each person's box, `present` (b, p) bool is false for padded persons.
        """
        _, _, frames, height, width = pose.shape
        clip, person = present.nonzero(as_tuple=True)
        # All real persons of all clips are one batch: padded ones cost nothing and add nothing.
        masked = pose[clip] * masks[clip, person][:, None, None].to(pose.dtype)
        rows = masked.transpose(1, 2).reshape(-1, pose.shape[1], height, width)
        features = super().forward(rows)
        features = features.reshape(len(clip), frames, *features.shape[1:])
        summed = features.new_zeros(*present.shape, *features.shape[1:])
        summed[clip, person] = features
        return summed.sum(dim=1).transpose(1, 2)
