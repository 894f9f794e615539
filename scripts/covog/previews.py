"""Pictures that a training generates at its validations: the same samples, sound and noise each time, below the truth."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from covog import data, diffusion, generate
from covog.frozen_encoders import FrozenEncoders
from covog.trainer import UNCONDITIONAL, Trainer, inputs
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

# Pictures side by side: samples of stage 1, frames of one window in stage 2.
_ACROSS = 4


class Previews:
    """The pictures of one training in `validation/step_000500.jpg`; those of steps that it has yet to take again are removed."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._trainer, self._folder, self._encoders = trainer, folder / "validation", trainer.encoders
        for old in self._folder.glob("step_*.jpg"):
            if int(old.stem.removeprefix("step_")) > trainer.progress.step:
                old.unlink()

    def draw(self) -> np.ndarray | None:
        """Write the pictures of this step and return them (h, w, 3) uint8; None if the settings ask for none."""
        trainer = self._trainer
        if not trainer.training.validation_steps:
            return None
        is_still = trainer.frames == 1
        count = min(_ACROSS, len(trainer.fixed)) if is_still else 1
        batch = data.collate([trainer.fixed[number] for number in range(count)])
        if isinstance(batch, InputError):
            raise batch
        settings = trainer.settings
        numbers = settings.seed, trainer.stage
        draws = [diffusion.generator(*numbers, purpose, device=trainer.device) for purpose in range(UNCONDITIONAL)]
        clean, conditions = inputs(batch, trainer.encoders, draws, trainer.device, settings.model.audio)
        with trainer.shown() as model:
            generator = generate.Generator(
                model,
                self._decoder(),
                settings.noise,
                replace(
                    settings.generation,
                    steps=trainer.training.validation_steps,
                    window=trainer.frames,
                    precision=trainer.training.mixed_precision,
                ),
                trainer.device,
            )
            size = settings.data.width, settings.data.height
            made = generator.sample(conditions, trainer.frames, size, None, diffusion.generator(*numbers))
            model.train()
        rows = []
        for latents in (clean, made):
            # Samples side by side, or frames of one.
            across = latents[:, :, 0] if is_still else latents[0].transpose(0, 1)
            at = np.linspace(0, len(across) - 1, min(_ACROSS, len(across))).round().astype(int)
            pictures = torch.cat([generator.encoders.decode(one[None]) for one in across[at]])
            rows.append(np.concatenate(list(pictures.permute(0, 2, 3, 1).cpu().numpy()), axis=1))
        drawn = np.concatenate(rows)
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._folder / f"step_{trainer.progress.step:06d}.jpg") as aside:
            aside.write_bytes(cv2.imencode(".jpg", drawn[..., ::-1])[1].tobytes())
        return drawn

    def _decoder(self) -> FrozenEncoders:
        if self._encoders is None:
            # With cached latents only the VAE is missing.
            alone = replace(self._trainer.settings.encoders, image_encoder="random")
            with torch.random.fork_rng(devices=[]):
                self._encoders = FrozenEncoders(alone, self._trainer.settings.model.cross_attention_dim)
        return self._encoders
