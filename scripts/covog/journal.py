"""What training records of each step: losses, gradient norm, speed, memory; fetched from the device now and then, as each fetch makes it wait."""

import importlib.util
import math
import resource
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker
from tqdm import tqdm

from covog.checkpoints import Progress
from covog.diffusion import NOISE_PARTS
from talking.core.errors import InputError


class Journal:
    """The losses of a training, in its `Progress`, on the bar and in TensorBoard's files or Weights & Biases; only the main process writes."""

    def __init__(
        self, progress: Progress, folder: Path, accelerator: Accelerator, stage: int, images: int, log_with: str
    ) -> None:
        """Continue a training's records; `images` are the frames of a step of all processes."""
        self._progress, self._accelerator, self._stage, self._images = progress, accelerator, stage, images
        self._waiting: list[tuple[torch.Tensor, float]] = []
        self._board = _board(log_with, folder, progress.step) if accelerator.is_main_process else None
        self._folder, self._bar = folder, None
        self.start_clock()

    def open_bar(self, steps: int) -> None:
        """Show the progress towards so many steps."""
        name, is_quiet = f"stage {self._stage}", not self._accelerator.is_main_process
        self._bar = tqdm(total=steps, initial=self._progress.step, desc=name, unit=" steps", disable=is_quiet)
        self.start_clock()

    def start_clock(self) -> None:
        """Count the time from here on as that of the next steps."""
        self._since = time.monotonic()

    def add(self, record: torch.Tensor, rate: float) -> None:
        """Note the record (`Trainer.step`) of the step just done, a tensor of the device, without waiting for it."""
        self._waiting.append((record, rate))
        self._bar.update()

    def fetch(self) -> None:
        """Wait for the records added since, mean over all processes, and write them down.

        Raises InputError that names the step if one is not a finite number.
        """
        if not self._waiting:
            return
        rows = self._accelerator.reduce(torch.stack([row for row, _ in self._waiting]), reduction="mean").tolist()
        speed = self._images * len(rows) / (time.monotonic() - self._since)
        shared = {"images_per_s": speed, "memory_gb": memory_gb(self._accelerator.device)}
        first = self._progress.step - len(rows)
        for number, (row, (_, rate)) in enumerate(zip(rows, self._waiting, strict=True)):
            if not math.isfinite(loss := row[1]):
                raise InputError(
                    f"the loss is {loss} at step {first + number}; lower stage{self._stage}.learning_rate or use "
                    f"mixed_precision bf16, delete {self._folder / 'checkpoints'} and start from the beginning."
                )
            self._note("train", first + number + 1, row, {"gradient_norm": row[0], "learning_rate": rate} | shared)
        self._waiting.clear()
        said = f"loss {rows[-1][1]:.4f}, {speed:.1f} images/s, {shared['memory_gb']:.1f} GB"
        self._bar.set_postfix_str(said, refresh=False)
        self.start_clock()

    def note_validation(self, record: torch.Tensor, pictures: np.ndarray | None) -> None:
        """Write down the record of a validation after the step just done, and its pictures (h, w, 3) uint8 if there are any."""
        self._note("validation", self._progress.step, record.tolist(), {})
        if self._board and pictures is not None:
            form = {"dataformats": "NHWC"} if self._board.name == "tensorboard" else {}
            self._board.log_images({"validation/pictures": pictures[None]}, self._progress.step, **form)

    def _note(self, kind: str, step: int, row: list[float], others: dict[str, float]) -> None:
        loss, sums, counts = row[1], row[2 : 2 + NOISE_PARTS], row[2 + NOISE_PARTS :]
        errors = [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]
        values = {"loss": loss, **others}
        self._progress.losses.append({"step": step, "kind": kind, **values, "error_by_noise": errors})
        if self._board:
            parts = {f"error_by_noise/{part}": error for part, error in enumerate(errors) if not math.isnan(error)}
            self._board.log({f"{kind}/{name}": value for name, value in (values | parts).items()}, step)

    def close(self) -> None:
        """Close the bar and the files."""
        self._bar.close()
        if self._board:
            self._board.finish()


def _board(log_with: str, folder: Path, step: int) -> GeneralTracker:
    """Begin to write to TensorBoard's files, or to a run of Weights & Biases. Raises InputError if that is not installed."""
    if log_with == "wandb":
        if importlib.util.find_spec("wandb") is None:
            raise InputError("log_with: wandb needs the package wandb; install it, or set log_with: tensorboard.")
        board = WandBTracker("covog", dir=str(folder), name=f"{folder.parent.name}, {folder.name}")
    else:
        # What a killed training noted of steps that are taken again is not shown: from this one on.
        board = TensorBoardTracker("tensorboard", str(folder), purge_step=step + 1 if step else 0)
    board.start()
    return board


def memory_gb(device: torch.device) -> float:
    """Return the peak memory so far, of the GPU or else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
