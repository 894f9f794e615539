"""Training: one loop for both stages."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch import nn
from torch.utils.data import DataLoader

from covog import checkpoints, config, convert, data, diffusion, latents, provenance, stopping
from covog.config import Config, Training
from covog.frozen_encoders import FrozenEncoders
from covog.journal import Journal
from covog.model import CovOG
from covog.precision import DTYPES, Masters, as_dtype
from covog.stopping import Stop
from talking.core import tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import store

_log = logging.getLogger(__name__)

# Numbers of the kinds of random draws; with the seed, the stage and the batch they seed a draw.
NOISE, STEPS, LATENTS, REFERENCE, UNCONDITIONAL, VALIDATION = range(6)


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
    accelerator = Accelerator(
        mixed_precision="no",  # precision.Masters sets the network's precision
        gradient_accumulation_steps=training.accumulate,
        # A step without a reference leaves the reference UNet without gradients.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=stage == 1)],
    )
    rank, ranks, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    frames = 1 if stage == 1 else settings.data.frames
    if too_little := data.lacking(dataset, settings.data):
        if not allow_empty:
            raise InputError(f"{too_little}; add videos, relax the gates or lower data.frames.")
        if accelerator.is_main_process:
            _leave_empty(folder, too_little)
        return
    found, held_out = data.segments(dataset, settings.data)
    settings = replace(settings, model=_model_settings(settings.model, stage, found))
    begin = [(str(path), convert.read_tensors(path)) for path in start]
    identity = provenance.identity(settings, training, stage, dataset, start)

    model = _first_model(settings, begin)
    trained = _freeze(model, stage, training)
    model.gradient_checkpointing = training.checkpointing
    if accelerator.is_main_process:
        checkpoints.make_way(folder / "checkpoints", identity)
    accelerator.wait_for_everyone()
    resumed = checkpoints.latest(folder / "checkpoints", identity)
    if resumed:
        model.load_state_dict({**model.state_dict(), **resumed.weights})
    progress = resumed.progress if resumed else checkpoints.Progress(identity)
    progress.settings = identity
    encoders = None
    if cache is None:
        encoders = FrozenEncoders(settings.encoders, settings.model.cross_attention_dim).to(device)
    else:
        latents.check(cache, settings)

    schedule = diffusion.scheduler(settings.noise)
    dtype = DTYPES[training.mixed_precision]
    model.to(device)
    masters = Masters(trained, dtype)
    kept = list(masters.parameters.values())
    optimizer = _optimizer(masters.parameters, training)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    if training.compile:
        model.compile()
    wrapped = accelerator.prepare(model)
    ema = EMAModel(kept, decay=training.ema) if training.ema else None
    if resumed:
        optimizer.load_state_dict(resumed.optimizer)
        if progress.scaler:
            scaler.load_state_dict(progress.scaler)
        if ema:
            ema.optimization_step = progress.step
            ema.shadow_params = [resumed.ema[name].to(device) for name in trained]
    elif ema:
        ema.to(device)

    samples = data.Samples(found, frames, settings.data, settings.seed + stage, cache)
    batches = _batches(samples, progress.step * training.accumulate, training, settings.data.workers, rank, ranks)
    fixed = data.FixedSamples(held_out, frames, training.validation_samples, settings.data, cache)

    def predicted_loss(network: nn.Module, batch: dict[str, Any], numbers: tuple[int, ...], steps=None) -> torch.Tensor:
        """Noise a batch, predict, and return the loss; every draw depends on `numbers` alone."""
        draws = [
            diffusion.generator(settings.seed, stage, *numbers, purpose, device=device) for purpose in range(VALIDATION)
        ]
        clean, conditions = _inputs(batch, encoders, draws, device, with_sound=settings.model.audio)
        noise = diffusion.noise_like(clean, settings.noise.offset, draws[NOISE])
        if steps is None:
            steps = diffusion.timesteps(len(clean), settings.noise, draws[STEPS])
        # The same on every rank, as all must take the same way through the network.
        shared = diffusion.generator(settings.seed, stage, numbers[0], UNCONDITIONAL)
        unconditional = len(numbers) > 1 and torch.rand(1, generator=shared).item() < settings.noise.condition_dropout
        noisy = schedule.add_noise(clean, noise, steps)
        conditions = {name: as_dtype(value, dtype) for name, value in conditions.items()}
        prediction = network(noisy.to(dtype), steps, unconditional=unconditional, **conditions)
        wanted = diffusion.target(schedule, clean, noise, steps)
        return diffusion.loss(prediction, wanted, diffusion.loss_weights(schedule, steps, settings.noise))

    @torch.no_grad()
    def validate() -> float:
        """Return the mean loss over fixed samples, each at its own fixed timestep."""
        inner = accelerator.unwrap_model(wrapped)
        losses = []
        with masters.showing(ema.shadow_params if ema else kept):
            for number in range(len(fixed)):
                batch = data.collate([fixed[number]])
                if isinstance(batch, InputError):
                    raise batch
                at = torch.tensor([int((number + 0.5) / len(fixed) * settings.noise.steps)], device=device)
                losses.append(predicted_loss(inner, batch, (number,), at).item())
        return sum(losses) / len(losses)

    def save() -> None:
        """Write a checkpoint (on the main process; the others wait)."""
        if accelerator.is_main_process:
            progress.scaler = scaler.state_dict() or None
            shadow = dict(zip(trained, ema.shadow_params, strict=True)) if ema else None
            weights = {name: parameter.detach() for name, parameter in masters.parameters.items()}
            checkpoints.write(folder / "checkpoints", progress, weights, optimizer.state_dict(), shadow, training.keep)
        accelerator.wait_for_everyone()

    def step() -> torch.Tensor:
        """Take one optimizer step and return the mean loss of its batches, a tensor of the device."""
        total = torch.zeros((), device=device)
        for part in range(training.accumulate):
            number = progress.step * training.accumulate + part
            with accelerator.accumulate(wrapped):
                loss = predicted_loss(wrapped, next(batches), (number, rank))
                accelerator.backward(scaler.scale(loss))
            total += loss.detach() / training.accumulate
            # Processes share their gradients at the last batch, out of the network's own.
            if ranks == 1 or accelerator.sync_gradients:
                masters.take_gradients()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(kept, training.max_gradient_norm, foreach=True)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        masters.give_weights()
        if ema:
            ema.step(kept)
        return total

    main = accelerator.is_main_process
    if main:
        provenance.describe(folder, settings, stage, dataset)
    images = training.batch_size * training.accumulate * frames * ranks
    journal = Journal(progress, folder, accelerator, stage, images)
    is_stopped = Stop(accelerator, progress.step)
    if progress.step == 0 and main:
        journal.note("validation", 0, loss=validate())
    journal.open_bar(training.steps)
    while progress.step < training.steps:
        rate = training.learning_rate * min(1.0, (progress.step + 1) / max(training.warmup_steps, 1))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["times"]
        with _out_of_memory_told(progress.step):
            loss = step()
        progress.step += 1
        journal.add(loss, rate)
        last = progress.step == training.steps
        validates = last or progress.step % training.validate_every == 0
        saves = last or progress.step % training.save_every == 0
        is_due = validates or saves or progress.step % training.log_every == 0
        stop = is_stopped(progress.step, is_due)
        if is_due or stop:
            journal.fetch()
        if main and validates:
            journal.note("validation", progress.step, loss=validate())
        if saves or stop:
            save()
        if validates or saves:
            journal.start_clock()
        if stop and not last:
            raise Stopped(f"stopped by SIGTERM at step {progress.step} and saved; run again to continue.")
    journal.close()
    if main:
        with checkpoints.full_disk_told(folder):
            tables.write("covog_losses", checkpoints.losses_table(progress.losses), folder / "losses.parquet")
            convert.write_model(_last_model(settings, begin, masters, ema), folder / "weights.safetensors")
    accelerator.end_training()


def _first_model(settings: Config, begin: Sequence[tuple[str, convert.Tensors]]) -> CovOG:
    """Return the model that training begins with, in single precision on the CPU: the same each time."""
    torch.manual_seed(settings.seed)
    model = CovOG(settings.model)
    for where, tensors in begin:
        convert.adopt(model, tensors, where, missing_parts=True)
    return model


def _last_model(
    settings: Config, begin: Sequence[tuple[str, convert.Tensors]], masters: Masters, ema: EMAModel | None
) -> CovOG:
    """Return the trained model, its frozen weights as they were at first, not rounded to the arithmetic's precision."""
    model = _first_model(settings, begin)
    values = ema.shadow_params if ema else masters.parameters.values()
    trained = dict(zip(masters.parameters, values, strict=True))
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in trained.items():
            own[name].copy_(value)
    return model


def _leave_empty(folder: Path, why: str) -> None:
    _log.warning("nothing is trained: %s", why)
    tables.write("covog_losses", checkpoints.losses_table([]), folder / "losses.parquet")
    with atomic_write(folder / "weights.safetensors") as aside:
        aside.write_bytes(b"")


def _model_settings(settings: config.Model, stage: int, found: list[data.Segment]) -> config.Model:
    """Return the model of a stage: stage 1 has neither motion nor audio; sound sizes left open are the data set's."""
    layers, channels = store.Clip(found[0].clip).sound.shape[-2:]
    settings = replace(
        settings, audio_layers=settings.audio_layers or layers, audio_channels=settings.audio_channels or channels
    )
    if settings.audio and stage == 2 and (settings.audio_layers, settings.audio_channels) != (layers, channels):
        raise InputError(
            f"{found[0].clip} has {layers} × {channels} sound rows, the model needs {settings.audio_layers} × "
            f"{settings.audio_channels}; set model.audio_layers and model.audio_channels."
        )
    return replace(settings, motion=False, audio=False) if stage == 1 else settings


def _freeze(model: CovOG, stage: int, training: Training) -> dict[str, nn.Parameter]:
    """Freeze what a stage does not train, in the arithmetic's precision, and return the rest by name."""
    dtype, trained = DTYPES[training.mixed_precision], {}
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)
    for name, parameter in model.named_parameters():
        if stage == 1:
            # The reference UNet's last up block ends in dead work.
            parameter.requires_grad_(not name.startswith("reference_unet.up_blocks.3."))
        else:
            parameter.requires_grad_("motion_modules" in name or name.startswith("audio_driver."))
        if parameter.requires_grad:
            trained[name] = parameter
        else:
            parameter.data = parameter.data.to(dtype)
    if not trained:
        raise InputError("nothing is left to train: stage 2 needs model.motion or model.audio.")
    return trained


def _optimizer(trained: dict[str, nn.Parameter], training: Training) -> torch.optim.Optimizer:
    hears = {name: name.startswith("audio_driver.") for name in trained}
    parameters = [
        {"params": [p for name, p in trained.items() if hears[name] == is_audio], "times": times}
        for is_audio, times in ((False, 1.0), (True, training.audio_rate))
        if is_audio in hears.values()
    ]
    shared = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    adam = shared | {"betas": tuple(training.adam_betas), "eps": training.adam_epsilon}
    if training.optimizer == "adafactor":
        return torch.optim.Adafactor(parameters, **shared)
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **adam)
    try:
        import bitsandbytes
    except ImportError as error:
        raise InputError("optimizer adamw_8bit needs the package bitsandbytes; install it or use adamw.") from error
    return bitsandbytes.optim.AdamW8bit(parameters, **adam)


def _batches(
    samples: data.Samples, first: int, training: Training, workers: int, rank: int, ranks: int
) -> Iterator[dict[str, Any]]:
    """Yield this rank's batches from batch number `first` on, for ever; batch n has the samples n·size … (n + 1)·size."""

    def numbers() -> Iterator[list[int]]:
        batch = first * ranks + rank
        while True:
            yield list(range(batch * training.batch_size, (batch + 1) * training.batch_size))
            batch += ranks

    loader = DataLoader(
        samples,
        batch_sampler=numbers(),
        collate_fn=data.collate,
        num_workers=workers,
        worker_init_fn=stopping.ignore,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def _inputs(
    batch: dict[str, Any],
    encoders: FrozenEncoders | None,
    draws: list[torch.Generator],
    device: torch.device,
    with_sound: bool,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return a batch's clean latents (b, 4, f, h, w), sampled from the VAE's distribution, and the model's conditions."""
    on = {
        name: [v.to(device, non_blocking=True) for v in value]
        if isinstance(value, list)
        else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }
    if encoders is not None:
        clips, frames = on["pictures"].shape[0], on["pictures"].shape[2]
        mean, std = encoders.encode(on["pictures"].transpose(1, 2).flatten(0, 1))
        on["mean"], on["std"] = (v.unflatten(0, (clips, frames)) for v in (mean, std))
        on["reference_mean"], on["reference_std"] = encoders.encode(on["reference_picture"])
        on["image_embed"] = encoders.image_embeds(on["reference_picture"])

    def sampled(mean: torch.Tensor, std: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return mean.float() + std.float() * torch.randn(mean.shape, generator=random, device=device)

    conditions = {
        "pose": on["pose"].float() / 255,
        "person_masks": on["person_masks"].float(),
        "present": on["present"],
        "image_embed": on["image_embed"].float()[:, None],
        "reference_latents": sampled(on["reference_mean"], on["reference_std"], draws[REFERENCE]),
        "reference_pose": on["reference_pose"].float() / 255,
    }
    if with_sound:
        conditions |= {"sound": on["sound"], "scores": on["scores"], "face_masks": on["face_masks"]}
    return sampled(on["mean"], on["std"], draws[LATENTS]).transpose(1, 2), conditions


class _out_of_memory_told:
    """Raise InputError if the GPU's or the machine's memory is full."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        on_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
        if on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise InputError(
                f"the {'GPU' if on_gpu else 'machine'}'s memory is full at step {self.step}; lower data.width, data.height, "
                "data.frames or batch_size, or set checkpointing, and run again: training continues from the last checkpoint."
            ) from error
