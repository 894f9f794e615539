"""Toy models and batches of CovOG for the tests."""

from dataclasses import replace

import torch

from covog import config
from covog.config import Model
from covog.model import CovOG

# Toys are too small to share out: waiting for a second thread costs more than it does, above all on a busy machine.
torch.set_num_threads(1)

TOY = {
    "block_out_channels": [32, 32, 64, 64],
    "layers_per_block": 1,
    "heads": 4,
    "cross_attention_dim": 16,
    "pose_guider_channels": [4, 4, 8, 8],
    "pose_adaptor_channels": [4, 4, 4, 8],
    "motion_heads": 4,
    "motion_max_frames": 24,
    "audio_layers": 2,
    "audio_channels": 6,
    "audio_hidden": 8,
    "audio_tokens": 3,
    "audio_dim": 16,
}

TRAINING = config.Training(
    steps=6, batch_size=2, accumulate=2, learning_rate=1e-3, mixed_precision="no", checkpointing=False, ema=0.9,
    log_every=1, save_every=2, keep=2, validate_every=3, validation_samples=2, validation_steps=0,
)  # fmt: skip


def training_settings(**training) -> config.Config:
    """Return settings with which a toy is trained within seconds, both stages alike; sound sizes are the data set's."""
    stage = replace(TRAINING, **training)
    return config.Config(
        model=Model(**{**TOY, "audio_layers": 0, "audio_channels": 0}),
        encoders=config.Encoders(vae="patches", image_encoder="random"),
        data=config.Data(width=64, height=40, frames=3, workers=0),
        stage1=stage,
        stage2=stage,
    )


def model(seed: int = 0, alive: bool = True, **changes) -> CovOG:
    """Return a toy model in double precision, so that small effects stand out of rounding; `alive` gives its zero-initialised outputs random weights."""
    torch.manual_seed(seed)
    toy = CovOG(Model(**{**TOY, **changes})).eval()
    if alive:
        for name, parameter in toy.named_parameters():
            if name.startswith("pose_") or parameter.abs().max() == 0:
                torch.nn.init.normal_(parameter, std=0.2)
    return toy.double()


def batch(
    clips: int = 1,
    people: int = 2,
    frames: int = 3,
    height: int = 64,
    width: int = 96,
    seed: int = 0,
    dtype: torch.dtype = torch.double,
) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """Return noisy latents, timesteps and conditions; person i's face lies in the i-th of equal vertical strips."""
    widths = Model(**TOY)
    noise = torch.Generator().manual_seed(seed)
    h, w = height // 8, width // 8
    person_masks = torch.zeros(clips, people, height, width)
    for i in range(people):
        person_masks[:, i, :, i * width // people : (i + 1) * width // people] = 1
    faces, face_masks = person_masks.clone(), []
    # A face leaves the lower half of its strip free.
    faces[:, :, height // 2 :] = 0
    for level in range(4):
        size = (-(-h // 2**level), -(-w // 2**level))
        small = torch.nn.functional.adaptive_avg_pool2d(faces, size)
        face_masks.append(small[:, :, None].repeat(1, 1, frames, 1, 1))
    conditions = {
        "pose": torch.rand(clips, 3, frames, height, width, generator=noise),
        "person_masks": person_masks,
        "present": torch.ones(clips, people, dtype=torch.bool),
        "image_embed": torch.randn(clips, 1, widths.cross_attention_dim, generator=noise),
        "reference_latents": torch.randn(clips, 4, h, w, generator=noise),
        "reference_pose": torch.rand(clips, 3, height, width, generator=noise),
        "sound": torch.randn(clips, frames, widths.audio_layers, widths.audio_channels, generator=noise),
        "scores": torch.randn(clips, people, frames, generator=noise),
        "face_masks": face_masks,
    }
    for name, value in conditions.items():
        if name != "present":
            conditions[name] = [m.to(dtype) for m in value] if isinstance(value, list) else value.to(dtype)
    latents = torch.randn(clips, 4, frames, h, w, generator=noise).to(dtype)
    return latents, torch.randint(0, 1000, (clips,), generator=noise), conditions
