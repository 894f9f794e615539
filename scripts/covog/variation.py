"""Training pictures moved and zoomed at random, so that a few clips show people at many places and sizes."""

from typing import Any

import torch
import torch.nn.functional as F

from covog.frozen_encoders import FrozenEncoders

# At full strength: the largest change of size, and of place in half pictures.
_ZOOM, _SHIFT = 0.5, 0.5


def varied(
    clean: torch.Tensor,
    conditions: dict[str, Any],
    within: torch.Tensor | None,
    encoders: FrozenEncoders,
    strength: float,
    random: torch.Generator,
) -> tuple[torch.Tensor, dict[str, Any], torch.Tensor | None]:
    """Return the clean latents (b, c, 1, h, w), the conditions and the latents' weights (b, 1, h, w) of stills with pictures, poses
    and masks moved alike, each clip its own way; the embedding stays that of the whole picture, and face masks, which only stage 2 uses, are not moved."""
    drawn = 2 * torch.rand(len(clean), 3, generator=random, device=random.device).to(clean.device) - 1
    moves = torch.zeros(len(clean), 2, 3, device=clean.device)
    moves[:, 0, 0] = moves[:, 1, 1] = (1 + _ZOOM) ** (strength * drawn[:, 0])
    moves[:, :, 2] = _SHIFT * strength * drawn[:, 1:]

    def moved(pictures: torch.Tensor, mode: str = "bilinear", beyond: str = "zeros") -> torch.Tensor:
        grid = F.affine_grid(moves, list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, mode=mode, padding_mode=beyond, align_corners=False)

    def recoded(latents: torch.Tensor) -> torch.Tensor:
        return encoders.encode(moved(encoders.decode(latents).float(), beyond="border"))[0].float()

    conditions = conditions | {
        "pose": moved(conditions["pose"][:, :, 0])[:, :, None],
        "reference_pose": moved(conditions["reference_pose"]),
        "reference_latents": recoded(conditions["reference_latents"]),
        "person_masks": moved(conditions["person_masks"], mode="nearest"),
    }
    return recoded(clean[:, :, 0])[:, :, None], conditions, None if within is None else moved(within, beyond="border")
