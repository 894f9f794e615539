"""Outputs of the frozen encoders for every frame of a clip, computed once and read back."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from covog import config, convert
from covog.conditions import Placement
from covog.config import to_dict
from covog.frozen_encoders import FrozenEncoders
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import media

# Width and height in px, and how pictures of another shape are fitted (`Data.fit`).
Size = tuple[int, int, str]
_FRAMES_AT_A_TIME = 16
_MADE_BY = "encoders.json"


def path_of(cache: Path, clip: Path) -> Path:
    """Return the cache file of a clip's folder."""
    return cache / f"{clip.name}.safetensors"


def write(cache: Path, folder: Path, size: Size, encoders: FrozenEncoders, device: torch.device) -> None:
    """Write mean and standard deviation (f, c, h / 8, w / 8) and embedding (f, d) of every frame of a clip, in half precision."""
    clip = store.Clip(folder)
    placement = Placement.fit((clip.width, clip.height), size[:2], size[2])
    made: dict[str, list[torch.Tensor]] = {"mean": [], "std": [], "image_embed": []}
    for pictures in media.batches(clip.pictures(0, clip.frames), _FRAMES_AT_A_TIME):
        placed = torch.from_numpy(np.stack([placement.picture(p) for p in pictures])).permute(0, 3, 1, 2).to(device)
        for name, found in zip(made, (*encoders.encode(placed), encoders.image_embeds(placed)), strict=True):
            made[name].append(found.half().cpu())
    convert.write_tensors(
        path_of(cache, folder),
        {name: torch.cat(parts) for name, parts in made.items()},
        {"of": _fingerprint(folder, size)},
    )


def read(cache: Path, folder: Path, size: Size, frames: np.ndarray, reference: int) -> dict[str, np.ndarray]:
    """Return a window's `mean`, `std`, `reference_mean`, `reference_std` and `image_embed` as float32.

    Raises InputError that names the file if it is missing, damaged or of another size or clip.
    """
    path = path_of(cache, folder)
    try:
        with safe_open(path, "np") as file:
            if (file.metadata() or {}).get("of") != _fingerprint(folder, size):
                raise InputError(f"{path} was made from another clip or size; {_anew(cache)}.")
            sample = {}
            for name in ("mean", "std"):
                rows = file.get_slice(name)
                sample[name] = rows[int(frames[0]) : int(frames[-1]) + 1][frames - frames[0]].astype(np.float32)
                sample[f"reference_{name}"] = rows[reference : reference + 1][0].astype(np.float32)
            sample["image_embed"] = file.get_slice("image_embed")[reference : reference + 1][0].astype(np.float32)
            return sample
    except (SafetensorError, OSError, IndexError) as error:
        raise InputError(f"{path} is missing or damaged ({error}); {_anew(cache)}.") from error


def cache_all(clips: list[Path], cache: Path, settings: config.Config, device: torch.device) -> None:
    """Write the cache files of all clips that have none or an outdated one, and remove those of other clips."""
    from tqdm import tqdm

    size = (settings.data.width, settings.data.height, settings.data.fit)
    cache.mkdir(parents=True, exist_ok=True)
    if not _is_of(cache, settings):
        for file in cache.glob("*.safetensors"):
            file.unlink()
        with atomic_write(cache / _MADE_BY) as aside:
            aside.write_text(json.dumps(_made_by(settings)))
    wanted = {path_of(cache, clip) for clip in clips}
    for file in set(cache.glob("*.safetensors")) - wanted:
        file.unlink()
    encoders = FrozenEncoders(settings.encoders, settings.model).to(device)
    for folder in tqdm(clips, desc="latents", unit=" clips"):
        try:
            read(cache, folder, size, np.array([0]), 0)
        except InputError:
            write(cache, folder, size, encoders, device)


def check(cache: Path, settings: config.Config) -> None:
    """Raise InputError if a cache was made with other frozen encoders than the settings name."""
    if not _is_of(cache, settings):
        raise InputError(
            f"{cache} was made with other frozen encoders than the section encoders names; {_anew(cache)}."
        )


def _anew(cache: Path) -> str:
    return f"run cache_latents.py again, or delete {cache}.done and run the workflow again"


def _made_by(settings: config.Config) -> dict[str, Any]:
    return to_dict(settings.encoders) | {"latent_channels": settings.model.latent_channels}


def _is_of(cache: Path, settings: config.Config) -> bool:
    try:
        return json.loads((cache / _MADE_BY).read_text(encoding="utf-8")) == _made_by(settings)
    except (FileNotFoundError, ValueError):
        return False


def _fingerprint(folder: Path, size: Size) -> str:
    files = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["files"]
    return hashlib.sha256(json.dumps([files["video.mp4"]["sha256"], list(size)]).encode()).hexdigest()
