"""Training pictures cut out about faces, moved and zoomed at random, so that a few clips show people at many places and sizes."""

import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from covog.config import LATENT_CELL
from covog.frozen_encoders import FrozenEncoders

# At full strength: the largest change of size, and of place in half pictures.
_ZOOM, _SHIFT = 0.5, 0.5
# Parameters that are added once for each person, whatever is seen or heard of them. They begin at 0, and crops, which leave people
# out, do not train them.
OF_A_PERSON = re.compile(r"(pose_.*|audio_driver\..*zero_conv)\.bias$")


def varied(
    clean: torch.Tensor,
    conditions: dict[str, Any],
    within: torch.Tensor | None,
    face_masks: list[torch.Tensor],
    encoders: FrozenEncoders,
    strength: float,
    crop: int,
    random: torch.Generator,
) -> tuple[torch.Tensor, dict[str, Any], torch.Tensor | None]:
    """Return the clean latents (b, c, f, h, w), the conditions and the latents' weights (b, f, h, w) with pictures, poses and masks
    moved alike, each clip its own way; the embedding stays that of the whole picture.

    With a `crop` they are squares of so many px, each about one of the clip's faces (`face_masks`, (b, p, f, h, w) of each level).
    """
    frames, sides = clean.shape[2], [side * LATENT_CELL for side in clean.shape[3:]]
    seen = [crop, crop] if crop else sides
    drawn = torch.rand(len(clean), 4, generator=random, device=random.device).to(clean.device)
    moves = torch.zeros(len(clean), 2, 3, device=clean.device)
    zoom, shift = (1 + _ZOOM) ** (strength * (2 * drawn[:, 0] - 1)), _SHIFT * strength * (2 * drawn[:, 1:3] - 1)
    for axis, (side, whole) in enumerate(zip(seen[::-1], sides[::-1], strict=True)):
        moves[:, axis, axis] = zoom * side / whole
        moves[:, axis, 2] = shift[:, axis] * side / whole
    if crop:
        # Not beyond the picture's edges, as long as the square fits into it.
        room = (1 - moves[:, [0, 1], [0, 1]]).clamp(min=0)
        moves[:, :, 2] = (moves[:, :, 2] + _a_face(face_masks[0], drawn[:, 3])).clamp(-room, room)

    def moved(pictures: torch.Tensor, cell: int = 1, mode: str = "bilinear", beyond: str = "zeros") -> torch.Tensor:
        size = [len(pictures), pictures.shape[1], *(side // cell for side in seen)]
        grid = F.affine_grid(moves.repeat_interleave(len(pictures) // len(moves), 0), size, align_corners=False)
        return F.grid_sample(pictures, grid, mode=mode, padding_mode=beyond, align_corners=False)

    def recoded(latents: torch.Tensor) -> torch.Tensor:
        return encoders.encode(moved(encoders.decode(latents).float(), beyond="border"))[0].float()

    def each_frame(change: Callable, windows: torch.Tensor) -> torch.Tensor:
        return change(windows.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, frames)).transpose(1, 2)

    reference = conditions["reference_latents"]
    conditions = conditions | {
        "pose": each_frame(moved, conditions["pose"]),
        "reference_pose": moved(conditions["reference_pose"]),
        "reference_latents": each_frame(recoded, reference) if reference.dim() == 5 else recoded(reference),
        "person_masks": moved(conditions["person_masks"], mode="nearest"),
    }
    if "face_masks" in conditions:
        masks = [moved(face_masks[0].flatten(1, 2), LATENT_CELL).unflatten(1, face_masks[0].shape[1:3])]
        for _ in face_masks[1:]:
            masks.append(F.avg_pool2d(masks[-1].flatten(1, 2), 2, ceil_mode=True).unflatten(1, masks[0].shape[1:3]))
        conditions["face_masks"] = masks
    if within is not None:
        within = moved(within, LATENT_CELL, beyond="border")
    return each_frame(recoded, clean), _of_those_seen(conditions) if crop else conditions, within


def _of_those_seen(conditions: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions without those persons of whom nothing is left in the picture: encoding their poses costs most of a step."""
    seen = conditions["present"] & (conditions["person_masks"] > 0).flatten(2).any(dim=2)
    order = seen.int().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(seen.sum(dim=1).max()))]
    persons, row = seen.shape[1], torch.arange(len(seen), device=seen.device)[:, None]

    def kept(value: torch.Tensor) -> torch.Tensor:
        return value[row, order]

    shared = conditions.get("sound")
    own = [name for name in ("person_masks", "scores") if name in conditions]
    own += ["sound"] if shared is not None and shared.dim() == 5 and shared.shape[1] == persons else []
    out = conditions | {name: kept(conditions[name]) for name in own} | {"present": kept(seen)}
    if "face_masks" in out:
        out["face_masks"] = [kept(mask) for mask in out["face_masks"]]
    return out


def _a_face(masks: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return the middles (b, 2), in -1..1 of the picture, of one face of each clip, as `drawn` (b,) 0-1 says; `masks` (b, p, f, h, w)."""
    masks = masks.mean(dim=2)
    height, width = masks.shape[2:]
    weight = masks.sum(dim=(2, 3))
    across = (masks.sum(dim=2) * (torch.arange(width, device=masks.device) + 0.5)).sum(-1) / weight.clamp(min=1e-6)
    down = (masks.sum(dim=3) * (torch.arange(height, device=masks.device) + 0.5)).sum(-1) / weight.clamp(min=1e-6)
    middles = torch.stack([across * 2 / width, down * 2 / height], dim=-1) - 1
    there = (weight > 0).double().cumsum(1)
    # The first person with whom more than the drawn part of the faces is counted; the middle of the picture without faces.
    which = (there > drawn[:, None] * there[:, -1:]).double().argmax(dim=1)
    return torch.where(there[:, -1:] > 0, middles[torch.arange(len(masks)), which], 0).to(masks.dtype)
