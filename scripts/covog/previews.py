"""Pictures that a training generates at its validations: the same samples, sound and noise each time, below the truth."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from covog import diffusion, generate
from covog.frozen_encoders import FrozenEncoders
from covog.trainer import UNCONDITIONAL, Trainer, inputs
from talking.core.atomic import atomic_write

# Pictures side by side: samples of stage 1, frames of one window in stage 2.
_ACROSS = 4


class Previews:
    """The pictures of one training in `validation/step_000500.jpg`; those of steps that it has yet to take again are removed."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._trainer, self._folder, self._encoders = trainer, folder / "validation", trainer.coder
        for old in self._folder.glob("step_*.jpg"):
            if int(old.stem.removeprefix("step_")) > trainer.progress.step:
                old.unlink(missing_ok=True)

    def draw(self) -> np.ndarray | None:
        """Write the pictures of this step and return them (h, w, 3) uint8; None if the settings ask for none."""
        trainer = self._trainer
        if not trainer.training.validation_steps:
            return None
        settings, stage, frames = trainer.settings, trainer.stage, trainer.frames
        size, pairs = (settings.data.width, settings.data.height), []
        with trainer.shown() as model:
            generator = generate.Generator(
                model,
                self._decoder(),
                settings.noise,
                replace(
                    settings.generation,
                    steps=trainer.training.validation_steps,
                    window=frames,
                    precision=trainer.training.mixed_precision,
                ),
                trainer.device,
            )
            # In the mode and the shapes of a validation, for which compiled blocks are compiled already.
            model.train()
            for number in range(min(_ACROSS, trainer.training.validation_samples) if frames == 1 else 1):
                of = settings.seed, stage, number
                draws = [diffusion.generator(*of, purpose, device=trainer.device) for purpose in range(UNCONDITIONAL)]
                of_batch = trainer.fixed.batch(number), trainer.encoders, trainer.coder, draws
                clean, conditions = inputs(*of_batch, settings.model.audio)
                made = generator.sample(conditions, frames, size, None, diffusion.generator(*of))
                pairs.append(torch.cat([clean, made]))
        both = torch.cat(pairs, dim=2)
        shown = np.linspace(0, both.shape[2] - 1, min(_ACROSS, both.shape[2])).round().astype(int).tolist()
        rows = [[generator.encoders.decode(latents[None, :, at]) for at in shown] for latents in both]
        drawn = torch.cat([torch.cat(row, dim=3) for row in rows], dim=2)[0].permute(1, 2, 0).cpu().numpy()
        if trainer.accelerator.is_main_process:
            with atomic_write(self._folder / f"step_{trainer.progress.step:06d}.jpg") as aside:
                aside.write_bytes(cv2.imencode(".jpg", drawn[..., ::-1])[1].tobytes())
        return drawn

    def _decoder(self) -> FrozenEncoders:
        if self._encoders is None:
            # With cached latents only the VAE is missing.
            alone = replace(self._trainer.settings.encoders, image_encoder="random")
            with torch.random.fork_rng(devices=[]):
                self._encoders = FrozenEncoders(alone, self._trainer.settings.model)
        return self._encoders
