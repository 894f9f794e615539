"""A training's networks, samples and state: one step, a validation, a checkpoint, the weights at the end. `train` is the loop round it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn
from torch.utils.data import DataLoader

from covog import acceleration, checkpoints, config, convert, data, diffusion, latents, optimizers, provenance, stopping
from covog.conditions import LATENT_CELL
from covog.config import Config, Training
from covog.frozen_encoders import FrozenEncoders
from covog.model import CovOG
from covog.precision import DTYPES, Masters, as_dtype
from covog.variation import varied
from covog.warping import warped
from talking.core.errors import InputError
from talking.dataset import store

# What no output depends on: the end of the reference UNet, and what would choose among the tokens of the embedding, which is one.
_UNUSED = re.compile(
    r"reference_unet\.up_blocks\.3\.|.*\.attentions\.\d+\.transformer_blocks\.\d+\.(norm2|attn2\.to_[qk])\."
)
_POSE_BIAS = re.compile(r"pose_.*\.bias$")
# Numbers of the kinds of random draws; with the seed, the stage and the batch they seed a draw.
NOISE, STEPS, LATENTS, REFERENCE, UNCONDITIONAL, VARIATION = range(6)


@dataclass
class Task:
    """What a batch asks of the network: `noisy` latents at `timesteps` (b,) and the `conditions`, and what is `wanted` of it,
    each clip with its weight (`weights`, b), and each latent with one if `mouth_weight` asks for it (`within`, b, f, h, w)."""

    noisy: torch.Tensor
    timesteps: torch.Tensor
    conditions: dict[str, Any]
    wanted: torch.Tensor
    weights: torch.Tensor
    within: torch.Tensor | None
    unconditional: bool


class Trainer:
    """One training stage between its steps; `progress` says how far it is."""

    def __init__(
        self,
        settings: Config,
        stage: int,
        dataset: Path,
        parts: tuple[list[data.Segment], list[data.Segment]],
        folder: Path,
        start: Sequence[Path],
        cache: Path | None,
        accelerator: Accelerator,
    ) -> None:
        """Begin a training or resume it from its last checkpoint. Raises InputError for what a user can correct."""
        self.training = settings.stage1 if stage == 1 else settings.stage2
        found, held_out = parts
        self.settings = settings = replace(settings, model=_model_settings(settings.model, stage, found))
        self.stage, self.accelerator, self.device = stage, accelerator, accelerator.device
        self.frames = 1 if stage == 1 else settings.data.frames
        self.begin = [(str(path), convert.read_tensors(path)) for path in start]
        identity = provenance.identity(settings, self.training, stage, dataset, start)
        resumed = self._last_checkpoint(folder / "checkpoints", identity)
        self.progress = resumed.progress if resumed else checkpoints.Progress(identity)
        self.progress.settings = identity
        self.writer = checkpoints.Writer(folder / "checkpoints", self.training.keep)
        if (settings.data.warped or settings.data.crop) and not settings.model.differences:
            raise InputError("data.warped and data.crop need model.differences.")
        if settings.data.crop % LATENT_CELL:
            raise InputError(f"data.crop is {settings.data.crop}; it must be a multiple of {LATENT_CELL} px.")
        self.varies = bool(settings.data.crop) or (stage == 1 and settings.data.variation > 0)
        recodes = self.varies or settings.data.warped
        encoders = None
        if cache is None or recodes:
            encoders = FrozenEncoders(settings.encoders, settings.model).to(self.device)
        if cache is not None:
            latents.check(cache, settings)
        self.encoders, self.coder = encoders if cache is None else None, encoders if recodes else None
        self._make_network(resumed)
        self._make_samples(found, held_out, cache)

    def _last_checkpoint(self, folder: Path, identity: dict[str, Any]) -> checkpoints.Checkpoint | None:
        if self.accelerator.is_main_process:
            checkpoints.make_way(folder, identity)
        self.accelerator.wait_for_everyone()
        return checkpoints.latest(folder, identity)

    def _make_network(self, resumed: checkpoints.Checkpoint | None) -> None:
        training, self.dtype = self.training, DTYPES[self.training.mixed_precision]
        model = _first_model(self.settings, self.begin)
        trained = freeze(model, self.stage, training)
        if self.settings.data.crop:
            # They begin at 0. Without them, encoding nobody's pose gives nothing, so that crops may leave people out.
            for name in filter(_POSE_BIAS.match, list(trained)):
                trained.pop(name).requires_grad_(False)
        if resumed:
            model.load_state_dict({**model.state_dict(), **resumed.weights})
        model.gradient_checkpointing = training.checkpointing
        model.to(self.device)
        self.masters = Masters(trained, self.dtype)
        self.optimizer = optimizers.optimizer(self.masters.parameters, training)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        if training.compile:
            acceleration.compile_blocks(model)
        self.model, self.network = model, self.accelerator.prepare(model)
        self.graph = acceleration.Graph(self._losses, training, self.accelerator) if training.cuda_graph else None
        self.schedule = diffusion.scheduler(self.settings.noise)
        self.ema = EMAModel(self._kept, decay=training.ema, foreach=True) if training.ema else None
        if resumed:
            self.optimizer.load_state_dict(resumed.optimizer)
            if self.progress.scaler:
                self.scaler.load_state_dict(self.progress.scaler)
            if self.ema:
                self.ema.optimization_step = self.progress.step
                self.ema.shadow_params = [resumed.ema[name].to(self.device) for name in trained]

    def _make_samples(self, found: list[data.Segment], held_out: list[data.Segment], cache: Path | None) -> None:
        settings, training = self.settings, self.training
        samples = data.Samples(found, self.frames, settings.data, settings.seed + self.stage, cache)
        self.batches = _batches(
            samples, self.progress.step * training.accumulate, training, settings.data.workers, self.accelerator
        )
        self.fixed = data.FixedSamples(held_out, self.frames, training.validation_samples, settings.data, cache)

    @property
    def _kept(self) -> list[nn.Parameter]:
        return list(self.masters.parameters.values())

    @property
    def images_a_step(self) -> int:
        """Frames of a step of all processes."""
        return self.training.batch_size * self.training.accumulate * self.frames * self.accelerator.num_processes

    def step(self) -> torch.Tensor:
        """Take one optimizer step; return its record on the device: norm of the gradients, loss, and the errors' sums and the
        clips' counts of each part of `diffusion.by_noise`, means over its batches."""
        rows = []
        for part in range(self.training.accumulate):
            number = self.progress.step * self.training.accumulate + part
            task = self._task(next(self.batches), (number, self.accelerator.process_index))
            if self.graph:
                loss, errors = self.graph(self.network, task)
            else:
                with self.accelerator.accumulate(self.network):
                    loss, errors = self._losses(self.network, task)
                    self.accelerator.backward(self.scaler.scale(loss))
            rows.append(self._record(loss, errors, task))
            # Processes share their gradients at the last batch, out of the network's own.
            if self.accelerator.num_processes == 1 or self.accelerator.sync_gradients:
                self.masters.take_gradients()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._kept, self.training.max_gradient_norm, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.masters.give_weights()
        if self.ema:
            self.ema.step(self._kept)
        self.progress.step += 1
        return torch.cat([norm[None], torch.stack(rows).mean(dim=0)])

    @contextmanager
    def shown(self) -> Iterator[CovOG]:
        """Lend the model with the weights that training would write now, the averaged ones if there are any."""
        with self.masters.showing(self.ema.shadow_params if self.ema else self._kept):
            yield self.model

    @torch.no_grad()
    def validate(self) -> torch.Tensor:
        """Return the record (as of `step`, without a norm: NaN) of the fixed samples, each at its own fixed timestep."""
        rows, count = [], len(self.fixed)
        with self.shown() as model:
            for number in range(count):
                batch = data.collate([self.fixed[number]])
                if isinstance(batch, InputError):
                    raise batch
                at = torch.tensor([int((number + 0.5) / count * self.settings.noise.steps)], device=self.device)
                task = self._task(batch, (number,), at)
                rows.append(self._record(*self._losses(model, task), task))
        return torch.cat([torch.full((1,), torch.nan, device=self.device), torch.stack(rows).mean(dim=0)])

    def save(self, waits: bool) -> None:
        """Write a checkpoint on the main process while training goes on, or wait until it is written."""
        if self.accelerator.is_main_process:
            self.progress.scaler = self.scaler.state_dict() or None
            shadow = dict(zip(self.masters.parameters, self.ema.shadow_params, strict=True)) if self.ema else None
            weights = {name: parameter.detach() for name, parameter in self.masters.parameters.items()}
            self.writer.write(self.progress, weights, self.optimizer.state_dict(), shadow)
            if waits:
                self.writer.wait()
        self.accelerator.wait_for_everyone()

    def last_model(self) -> CovOG:
        """Return the trained model, its frozen weights as they were at first, not rounded to the arithmetic's precision."""
        model = _first_model(self.settings, self.begin)
        values = self.ema.shadow_params if self.ema else self._kept
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in zip(self.masters.parameters, values, strict=True):
                own[name].copy_(value)
        return model

    def inputs(
        self, batch: dict[str, Any], draws: list[torch.Generator]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return a batch's clean latents (b, c, f, h, w) and the model's conditions."""
        clean, conditions = inputs(batch, self.encoders, draws, self.device, self.settings.model.audio)
        if "flow" in batch:
            flow = batch["flow"].to(self.device, non_blocking=True)
            conditions["reference_latents"] = warped(conditions["reference_latents"], flow, self.coder)
        return clean, conditions

    def close(self) -> None:
        """Wait for a checkpoint that is being written."""
        self.writer.close()

    def _task(self, batch: dict[str, Any], numbers: tuple[int, ...], timesteps: torch.Tensor | None = None) -> Task:
        """Noise a batch; every draw depends on `numbers` alone: those of the batch and the rank, or of a validation sample."""
        noise_settings, seed = self.settings.noise, (self.settings.seed, self.stage, *numbers)
        draws = [diffusion.generator(*seed, purpose, device=self.device) for purpose in range(UNCONDITIONAL)]
        clean, conditions = self.inputs(batch, draws)
        within = batch["loss_weights"].to(self.device, non_blocking=True) if "loss_weights" in batch else None
        is_training = timesteps is None
        if self.varies and is_training:
            random = diffusion.generator(*seed, VARIATION, device=self.device)
            faces = [mask.to(self.device, non_blocking=True) for mask in batch["face_masks"]]
            clean, conditions, within = varied(
                clean,
                conditions,
                within,
                faces,
                self.coder,
                self.settings.data.variation,
                self.settings.data.crop,
                random,
            )
        noise = diffusion.noise_like(clean, noise_settings.offset, draws[NOISE])
        if is_training:
            timesteps = diffusion.timesteps(len(clean), noise_settings, draws[STEPS])
        # The same on every rank, as all must take the same way through the network.
        shared = diffusion.generator(*seed[:3], UNCONDITIONAL)
        unconditional = is_training and torch.rand(1, generator=shared).item() < noise_settings.condition_dropout
        if self.settings.model.differences:
            wanted = diffusion.difference(clean, conditions["reference_latents"])
            weights = torch.ones_like(clean[:, 0, 0, 0, 0])
        else:
            wanted = diffusion.target(self.schedule, clean, noise, timesteps)
            weights = diffusion.loss_weights(self.schedule, timesteps, noise_settings)
        return Task(
            self.schedule.add_noise(clean, noise, timesteps).to(self.dtype),
            timesteps,
            {name: as_dtype(value, self.dtype) for name, value in conditions.items()},
            wanted,
            weights,
            within,
            unconditional,
        )

    @staticmethod
    def _losses(network: nn.Module, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighted loss, and each clip's error (b,) without the clip's weight."""
        prediction = network(task.noisy, task.timesteps, unconditional=task.unconditional, **task.conditions)
        errors = diffusion.errors(prediction, task.wanted, task.within)
        return (task.weights * errors).mean(), errors.detach()

    def _record(self, loss: torch.Tensor, errors: torch.Tensor, task: Task) -> torch.Tensor:
        return torch.cat(
            [loss.detach()[None], diffusion.by_noise(errors, task.timesteps, self.settings.noise).flatten()]
        )


def _first_model(settings: Config, begin: Sequence[tuple[str, convert.Tensors]]) -> CovOG:
    """Return the model that training begins with, in single precision on the CPU: the same each time."""
    torch.manual_seed(settings.seed)
    model = CovOG(settings.model)
    for where, tensors in begin:
        convert.adopt(model, tensors, where, missing_parts=True)
    return model


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


def freeze(model: CovOG, stage: int, training: Training) -> dict[str, nn.Parameter]:
    """Freeze what a stage does not train, in the arithmetic's precision, and return the rest by name."""
    dtype, trained = DTYPES[training.mixed_precision], {}
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)
    for name, parameter in model.named_parameters():
        if stage == 1:
            without = model.config.differences and name.startswith("reference_unet.")
            parameter.requires_grad_(not (without or _UNUSED.match(name)))
        else:
            parameter.requires_grad_("motion_modules" in name or name.startswith("audio_driver."))
        if parameter.requires_grad:
            trained[name] = parameter
        else:
            parameter.data = parameter.data.to(dtype)
    if not trained:
        raise InputError("nothing is left to train: stage 2 needs model.motion or model.audio.")
    return trained


def _batches(
    samples: data.Samples, first: int, training: Training, workers: int, accelerator: Accelerator
) -> Iterator[dict[str, Any]]:
    """Yield this rank's batches from batch number `first` on, for ever; batch n has the samples n·size … (n + 1)·size."""

    def numbers() -> Iterator[list[int]]:
        batch = first * accelerator.num_processes + accelerator.process_index
        while True:
            yield list(range(batch * training.batch_size, (batch + 1) * training.batch_size))
            batch += accelerator.num_processes

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


def inputs(
    batch: dict[str, Any],
    encoders: FrozenEncoders | None,
    draws: list[torch.Generator],
    device: torch.device,
    with_sound: bool,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return a batch's clean latents (b, c, f, h, w), sampled from the VAE's distribution, and the model's conditions."""
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
