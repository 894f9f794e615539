"""A training's networks, samples and state: one step, a validation, a checkpoint, the weights at the end. `train` is the loop round it."""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader

from covog import acceleration, checkpoints, config, convert, data, diffusion, latents, optimizers, provenance, sharding
from covog.config import Config, Model, Training
from covog.frozen_encoders import FrozenEncoders
from covog.hearing import hearing_of_training
from covog.model import CovOG
from covog.precision import DTYPES, Masters, as_dtype
from covog.stopping import ignore
from covog.variation import OF_A_PERSON, varied
from covog.warping import warped
from talking.core.errors import InputError
from talking.dataset import store

# What no output depends on: the end of the reference UNet, and what would choose among the tokens of the embedding, which is one.
_UNUSED = re.compile(
    r"reference_unet\.up_blocks\.3\.|.*\.attentions\.\d+\.transformer_blocks\.\d+\.(norm2|attn2\.to_[qk])\."
)
# Numbers of the kinds of random draws; with the seed, the stage and the batch they seed a draw.
NOISE, STEPS, LATENTS, REFERENCE, UNCONDITIONAL, VARIATION = range(6)


@dataclass
class Task:
    """What a batch asks of the network: `noisy` latents at `timesteps` (b,) and the `conditions`, and what is `wanted` of it,
    each clip with its weight (`weights`, b), and each latent with one if `mouth_weight` asks for it (`within`, b, f, h, w)."""

    noisy: Tensor
    timesteps: Tensor
    conditions: dict[str, Any]
    wanted: Tensor
    weights: Tensor
    within: Tensor | None
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
        if accelerator.is_main_process:
            checkpoints.make_way(folder / "checkpoints", identity)
        accelerator.wait_for_everyone()
        resumed = checkpoints.latest(folder / "checkpoints", identity)
        self.progress = resumed.progress if resumed else checkpoints.Progress(identity)
        self.progress.settings = identity
        self.writer = checkpoints.Writer(folder / "checkpoints", self.training.keep)
        config.check(settings)
        self.varies = bool(settings.data.crop) or (stage == 1 and settings.data.variation > 0)
        encodes = cache is None or self.varies or settings.data.warped
        self.coder = FrozenEncoders(settings.encoders, settings.model).to(self.device) if encodes else None
        # Those of whole pictures, whose outputs the cache holds if there is one.
        self.encoders = self.coder if cache is None else None
        if cache is not None:
            latents.check(cache, settings)
        self._make_network(resumed)
        samples = data.Samples(found, self.frames, settings.data, settings.seed + stage, cache)
        self.fixed = data.FixedSamples(held_out, self.frames, self.training.validation_samples, settings.data, cache)
        samples.hearing = hearing_of_training(found, folder, settings.data.lips, bool(resumed))
        self.fixed.hearing = samples.hearing
        self.batches = _batches(samples, self.progress.step, self.training, accelerator)

    def _make_network(self, resumed: checkpoints.Checkpoint | None) -> None:
        training, self.dtype = self.training, DTYPES[self.training.mixed_precision]
        model = _first_model(self.settings, self.begin)
        trained = freeze(model, self.stage, training, OF_A_PERSON if self.settings.data.crop else None)
        if resumed:
            model.load_state_dict({**model.state_dict(), **resumed.weights})
        model.to(self.device)
        if training.checkpointing:
            acceleration.recompute_blocks(model, training.checkpointing_keeps)
        is_sharded = training.shard and self.accelerator.num_processes > 1
        if is_sharded:
            trained = sharding.shard(model, self.device, self.dtype)
        self.masters = Masters(trained, torch.float32 if is_sharded else self.dtype)
        self._kept = list(self.masters.parameters.values())
        self.optimizer = optimizers.optimizer(self.masters.parameters, training)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        if training.compile:
            acceleration.compile_blocks(model)
        self.model, self.network = model, model if is_sharded else self.accelerator.prepare(model)
        self.graph = acceleration.Graph(self._losses, training, self.accelerator) if training.cuda_graph else None
        self.schedule = diffusion.scheduler(self.settings.noise)
        self.ema = EMAModel(self._kept, decay=training.ema, foreach=True) if training.ema else None
        if resumed:
            self.optimizer.load_state_dict(sharding.state_of(self.optimizer, resumed.optimizer))
            if self.progress.scaler:
                self.scaler.load_state_dict(self.progress.scaler)
            if self.ema:
                self.ema.optimization_step = self.progress.step
                averages = (sharding.part_of(resumed.ema[name], p) for name, p in self.masters.parameters.items())
                self.ema.shadow_params = [average.to(self.device) for average in averages]

    def step(self) -> Tensor:
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
        return torch.cat([sharding.whole(norm)[None], torch.stack(rows).mean(dim=0)])

    @contextmanager
    def shown(self) -> Iterator[CovOG]:
        """Lend the model with the weights that training would write now, the averaged ones if there are any; all processes do."""
        with self.masters.showing(self.ema.shadow_params if self.ema else self._kept), sharding.gathered(self.model):
            yield self.model

    @torch.no_grad()
    def validate(self) -> Tensor:
        """Return the record (as of `step`, without a norm: NaN) of the fixed samples, each at its own fixed timestep."""
        rows, count = [], self.training.validation_samples
        with self.shown() as model:
            for number in range(count):
                at = torch.tensor([int((number + 0.5) / count * self.settings.noise.steps)], device=self.device)
                task = self._task(self.fixed.batch(number), (number,), at)
                rows.append(self._record(*self._losses(model, task), task))
        return torch.cat([torch.full((1,), torch.nan, device=self.device), torch.stack(rows).mean(dim=0)])

    def save(self, waits: bool) -> None:
        """Write a checkpoint on the main process while training goes on, or wait until it is written."""
        shadow = dict(zip(self.masters.parameters, self.ema.shadow_params, strict=True)) if self.ema else None
        weights = {name: parameter.detach() for name, parameter in self.masters.parameters.items()}
        is_main = self.accelerator.is_main_process
        state = sharding.whole_on_main((weights, self.optimizer.state_dict(), shadow), is_main)
        if is_main:
            self.progress.scaler = self.scaler.state_dict() or None
            self.writer.write(checkpoints.Checkpoint(self.progress, *state))
            if waits:
                self.writer.wait()
        self.accelerator.wait_for_everyone()

    def last_model(self) -> CovOG:
        """Return the trained model, its frozen weights as they were at first, not rounded; all processes call it."""
        model = _first_model(self.settings, self.begin)
        values = self.ema.shadow_params if self.ema else self._kept
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in zip(self.masters.parameters, values, strict=True):
                own[name].copy_(sharding.whole(value))
        return model

    def _task(self, batch: dict[str, Any], numbers: tuple[int, ...], timesteps: Tensor | None = None) -> Task:
        """Noise a batch; every draw depends on `numbers` alone: those of the batch and the rank, or of a validation sample."""
        noising, seed = self.settings.noise, (self.settings.seed, self.stage, *numbers)
        draws = [diffusion.generator(*seed, purpose, device=self.device) for purpose in range(UNCONDITIONAL)]
        clean, conditions = inputs(batch, self.encoders, self.coder, draws, self.settings.model.audio)
        within = batch["loss_weights"].to(self.device, non_blocking=True) if "loss_weights" in batch else None
        is_training = timesteps is None
        if self.varies and is_training:
            faces = [mask.to(self.device, non_blocking=True) for mask in batch["face_masks"]]
            how, random = self.settings.data, diffusion.generator(*seed, VARIATION, device=self.device)
            of = clean, conditions, within, faces
            clean, conditions, within = varied(*of, self.coder, how.variation, how.crop, random)
        unconditional, reference = False, conditions["reference_latents"]
        if self.settings.model.differences:
            noisy, timesteps = diffusion.from_reference(reference, self.frames)
            wanted, weights = diffusion.difference(clean, reference), torch.ones_like(clean[:, 0, 0, 0, 0])
        else:
            noise = diffusion.noise_like(clean, noising.offset, draws[NOISE])
            if is_training:
                timesteps = torch.randint(0, noising.steps, (len(clean),), generator=draws[STEPS], device=self.device)
                # The same on every rank, as all must take the same way through the network.
                shared = diffusion.generator(*seed[:3], UNCONDITIONAL)
                unconditional = torch.rand(1, generator=shared).item() < noising.condition_dropout
            noisy = self.schedule.add_noise(clean, noise, timesteps)
            wanted = diffusion.target(self.schedule, clean, noise, timesteps)
            weights = diffusion.loss_weights(self.schedule, timesteps, noising)
        conditions = {name: as_dtype(value, self.dtype) for name, value in conditions.items()}
        return Task(noisy.to(self.dtype), timesteps, conditions, wanted, weights, within, unconditional)

    @staticmethod
    def _losses(network: nn.Module, task: Task) -> tuple[Tensor, Tensor]:
        """Return the weighted loss, and each clip's error (b,) without the clip's weight."""
        prediction = network(task.noisy, task.timesteps, unconditional=task.unconditional, **task.conditions)
        errors = diffusion.errors(prediction, task.wanted, task.within)
        return (task.weights * errors).mean(), errors.detach()

    def _record(self, loss: Tensor, errors: Tensor, task: Task) -> Tensor:
        parts = diffusion.by_noise(errors, task.timesteps, self.settings.noise)
        return torch.cat([loss.detach()[None], parts.flatten()])


def _first_model(settings: Config, begin: Sequence[tuple[str, convert.Tensors]]) -> CovOG:
    """Return the model that training begins with, in single precision on the CPU: the same each time."""
    torch.manual_seed(settings.seed)
    model = CovOG(settings.model)
    for where, tensors in begin:
        convert.adopt(model, tensors, where, missing_parts=True)
    return model


def _model_settings(settings: Model, stage: int, found: list[data.Segment]) -> Model:
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


def freeze(model: CovOG, stage: int, training: Training, without: re.Pattern | None = None) -> dict[str, nn.Parameter]:
    """Freeze what a stage does not train, and names `without` matches, in the arithmetic's precision; return the rest by name."""
    dtype = DTYPES[training.mixed_precision]
    for buffer in model.buffers():
        buffer.data = as_dtype(buffer.data, dtype)
    for name, parameter in model.named_parameters():
        is_of_stage_2 = "motion_modules" in name or name.startswith("audio_driver.")
        is_trained = is_of_stage_2 if stage == 2 else not _UNUSED.match(name)
        parameter.requires_grad_(is_trained and not (without and without.match(name)))
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trained:
        raise InputError("nothing is left to train: stage 2 needs model.motion or model.audio.")
    return trained


def _batches(
    samples: data.Samples, step: int, training: Training, accelerator: Accelerator
) -> Iterator[dict[str, Any]]:
    """Yield this rank's batches from optimizer step `step` on, for ever; batch n has the samples n·size … (n + 1)·size."""
    size, ranks = training.batch_size, accelerator.num_processes
    batches = itertools.count(step * training.accumulate * ranks + accelerator.process_index, ranks)
    loader = DataLoader(
        samples,
        batch_sampler=(range(n * size, (n + 1) * size) for n in batches),
        collate_fn=data.collate,
        num_workers=samples.settings.workers,
        worker_init_fn=ignore,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def inputs(
    batch: dict[str, Any],
    encoders: FrozenEncoders | None,
    coder: FrozenEncoders | None,
    draws: list[torch.Generator],
    with_sound: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """Return a batch's clean latents (b, c, f, h, w), sampled from the VAE's distribution, and the model's conditions, on the
    device of the draws; `encoders` encode pictures, the `coder` those of a reference that is moved."""
    device = draws[LATENTS].device
    on = tree_map(lambda value: value.to(device, non_blocking=True), batch)
    if encoders is not None:
        rows = on["pictures"].transpose(1, 2)
        on["mean"], on["std"] = (v.unflatten(0, rows.shape[:2]) for v in encoders.encode(rows.flatten(0, 1)))
        on["reference_mean"], on["reference_std"] = encoders.encode(on["reference_picture"])
        on["image_embed"] = encoders.image_embeds(on["reference_picture"])

    def sampled(mean: Tensor, std: Tensor, random: torch.Generator) -> Tensor:
        return mean.float() + std.float() * torch.randn(mean.shape, generator=random, device=device)

    conditions = {
        "pose": on["pose"].float() / 255,
        "person_masks": on["person_masks"].float(),
        "present": on["present"],
        "image_embed": on["image_embed"].float()[:, None],
        "reference_latents": sampled(on["reference_mean"], on["reference_std"], draws[REFERENCE]),
        "reference_pose": on["reference_pose"].float() / 255,
    }
    if "flow" in on:
        conditions["reference_latents"] = warped(conditions["reference_latents"], on["flow"], coder)
    if with_sound:
        conditions |= {"sound": on["sound"], "scores": on["scores"], "face_masks": on["face_masks"]}
    return sampled(on["mean"], on["std"], draws[LATENTS]).transpose(1, 2), conditions
