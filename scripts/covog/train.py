"""Training: one loop for both stages."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from covog import convert, data, optimizers, provenance
from covog.config import Config, Training
from covog.journal import Journal
from covog.previews import Previews
from covog.stopping import Stop
from covog.trainer import Trainer
from talking.core import tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

_log = logging.getLogger(__name__)


class Stopped(InputError):
    """Training received SIGTERM and has saved; a rerun continues."""


def train(
    settings: Config,
    stage: int,
    dataset: Path,
    folder: Path,
    start: Sequence[Path] = (),
    cache: Path | None = None,
    allow_empty: bool = False,
) -> None:
    """Train stage 1 (stills) or 2 (video) on a data set; `folder` gets weights, losses, checkpoints and TensorBoard files.

    `start` are weights files to begin with, a later one over an earlier one (converted ones, then those of stage 1),
    random weights for the rest; `cache` the folder of cached latents. A rerun continues from the last checkpoint.
    With `allow_empty`, a data set with too few clips gives an empty weights file and a table without losses.
    Raises InputError for what a user can correct, Stopped after a SIGTERM.
    """
    training = settings.stage1 if stage == 1 else settings.stage2
    accelerator = _accelerator(training, stage)
    parts = data.segments(dataset, settings.data)
    if too_little := data.lacking(dataset, parts, settings.data.frames):
        if not allow_empty:
            raise InputError(f"{too_little}; add videos, relax the gates or lower data.frames.")
        if accelerator.is_main_process:
            _log.warning("nothing is trained: %s", too_little)
            tables.write("covog_losses", tables.empty("covog_losses"), folder / "losses.parquet")
            with atomic_write(folder / "weights.safetensors") as aside:
                aside.write_bytes(b"")
        return
    trainer = Trainer(settings, stage, dataset, parts, folder, start, cache, accelerator)
    with closing(trainer.writer):
        if accelerator.is_main_process:
            provenance.describe(folder, trainer.settings, stage, dataset)
        _loop(trainer, folder)
        last = trainer.last_model()
        if accelerator.is_main_process:
            losses = tables.of_rows("covog_losses", trainer.progress.losses)
            tables.write("covog_losses", losses, folder / "losses.parquet")
            convert.write_model(last, folder / "weights.safetensors")
    accelerator.end_training()


def _loop(trainer: Trainer, folder: Path) -> None:
    """Take the steps that are left, with losses, validations and checkpoints between them."""
    training, progress = trainer.training, trainer.progress
    images = training.batch_size * training.accumulate * trainer.frames * trainer.accelerator.num_processes
    journal = Journal(progress, folder, trainer.accelerator, trainer.stage, images, training.log_with)
    stop = Stop(trainer.accelerator, progress.step)
    previews = Previews(trainer, folder)
    if progress.step == 0:
        journal.note_validation(trainer.validate(), previews.draw())
    journal.open_bar(training.steps)
    while progress.step < training.steps:
        rate = optimizers.learning_rate(training, progress.step)
        optimizers.set_rate(trainer.optimizer, rate)
        with _out_of_memory_told(progress.step):
            journal.add(trainer.step(), rate)
        last = progress.step == training.steps
        validates = last or progress.step % training.validate_every == 0
        saves = last or (training.save_every and progress.step % training.save_every == 0)
        is_due = validates or saves or progress.step % training.log_every == 0
        stops = stop(progress.step, is_due)
        saves = saves or stops or 0 < training.save_minutes * 60 <= stop.unsaved_s
        if is_due or saves:
            journal.fetch()
        if validates:
            journal.note_validation(trainer.validate(), previews.draw())
        if saves:
            trainer.save(waits=last or stops)
            stop.saved()
        if validates or saves:
            journal.start_clock()
        if stops and not last:
            raise Stopped(f"stopped by SIGTERM at step {progress.step} and saved; run again to continue.")
    journal.close()


def _accelerator(training: Training, stage: int) -> Accelerator:
    torch.use_deterministic_algorithms(training.deterministic)
    # A step without a reference leaves the reference UNet without gradients.
    shared = DistributedDataParallelKwargs(find_unused_parameters=stage == 1, gradient_as_bucket_view=True)
    return Accelerator(
        mixed_precision="no",  # precision.Masters sets the network's precision
        gradient_accumulation_steps=training.accumulate,
        kwargs_handlers=[shared],
    )


@contextmanager
def _out_of_memory_told(step: int) -> Iterator[None]:
    """Raise InputError if the GPU's or the machine's memory is full."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_on_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
        if not (is_on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error)):
            raise
        raise InputError(
            f"the {'GPU' if is_on_gpu else 'machine'}'s memory is full at step {step}; set checkpointing and run again, which "
            "continues from the last checkpoint; or lower data.width, data.height, data.frames or batch_size, delete the "
            "checkpoints and start from the beginning."
        ) from error
