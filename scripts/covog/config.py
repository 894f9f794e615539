"""Every setting of the model, its training, generation and measurement: dataclasses, read from one YAML file."""

import dataclasses
import difflib
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from talking.core.atomic import atomic_write
from talking.core.cli import setting
from talking.core.errors import InputError

# Pixels of a picture, in width and in height, that are one latent.
LATENT_CELL = 8
# Files of the package covog.presets.
PRESETS = ["tiny", "paper", "smoke"]


@dataclass
class Model:
    """Widths and switches of the model; the defaults are the paper's."""

    block_out_channels: list[int] = setting([320, 640, 1280, 1280], "channels of the UNets' four levels")
    layers_per_block: int = setting(2, "residual layers of a down block")
    latent_channels: int = setting(
        4,
        "numbers for each 8×8 px of a picture: 4 of the VAE; 1 to 192 of the code of patches (encoders.vae)",
        minimum=1,
    )
    differences: bool = setting(
        False,
        "make the picture's difference to the reference picture, in one step and without noise: the denoising UNet sees the "
        "reference's latents, and at first repeats them; there is no reference UNet (else all of the picture, of noise, as "
        "published)",
    )
    heads: int = setting(8, "attention heads of the spatial transformers")
    norm_groups: int = setting(32, "groups of the group norms")
    norm_epsilon: float = setting(
        1e-5,
        "epsilon of the residual blocks' group norms; a large one, as 1, leaves small signals small, so that their size still tells",
    )
    cross_attention_dim: int = setting(768, "width of the reference picture's embedding")
    pose_guider_channels: list[int] = setting([16, 32, 96, 256], "channels of the pose guider")
    pose_adaptor_channels: list[int] = setting([16, 32, 64, 128], "channels of the reference pose's adaptor")
    motion: bool = setting(True, "whether there are motion modules (stage 2)")
    motion_heads: int = setting(8, "attention heads of the motion modules")
    motion_layers: int = setting(1, "transformer blocks of a motion module")
    motion_max_frames: int = setting(32, "most frames that the motion modules' position code can number")
    motion_mid_block: bool = setting(True, "whether the middle block has a motion module")
    audio: bool = setting(True, "whether there is an audio driver (stage 2)")
    audio_layers: int = setting(12, "layers of the sound embedding, 0 as in the data set")
    audio_channels: int = setting(768, "channels of the sound embedding, 0 as in the data set")
    audio_hidden: int = setting(512, "hidden width of the audio projection")
    audio_tokens: int = setting(32, "audio tokens a frame")
    audio_dim: int = setting(1024, "width of an audio token")
    audio_residual: str = setting(
        "keep",
        "keep: audio blocks keep their residual; released: the published arithmetic, which loses it",
        choices=["keep", "released"],
    )
    person_masks: bool = setting(True, "encode the pose once per person (else once for the whole picture)")


@dataclass
class Encoders:
    """The frozen networks around the model."""

    vae: str = setting(
        "stabilityai/sd-vae-ft-mse",
        "folder of the VAE, or 'patches': a fixed code without download, of model.latent_channels",
    )
    image_encoder: str = setting(
        "lambdalabs/sd-image-variations-diffusers", "folder of the CLIP image encoder, or 'random': a tiny one"
    )
    image_encoder_subfolder: str = setting("image_encoder", "folder of the CLIP image encoder inside it")
    image_crop: str = setting(
        "whole",
        "what the CLIP image encoder sees as a square: the whole picture, squashed (as released), or its centre, as in "
        "CLIP's own training",
        choices=["whole", "centre"],
    )


@dataclass
class Data:
    """Training samples: size, frames, what is left out."""

    width: int = setting(640, "px, width of the pictures, a multiple of 8")
    height: int = setting(384, "px, height of the pictures, a multiple of 8")
    fit: str = setting(
        "bars",
        "how pictures of another shape are fitted: bars (all of it, with black bars, which are not measured), stretch (as "
        "released: all of it, distorted) or crop (the middle)",
        choices=["bars", "stretch", "crop"],
    )
    frames: int = setting(15, "frames of a stage 2 window")
    max_stride: int = setting(2, "largest step between a window's frames in the video; drawn each time")
    variation: float = setting(
        0.0,
        "0-1, how far the pictures of stage 1, and with crops of both stages, are moved and zoomed at random",
        minimum=0,
        maximum=1,
    )
    crop: int = setting(
        0,
        "px, a multiple of 8: training sees squares of this side, each about one face; 0: whole pictures",
        minimum=0,
    )
    warped: bool = setting(
        False,
        "move heads and lips of the reference picture to where the poses of each frame have them, before the model "
        "adds differences (model.differences)",
    )
    reference_distance: int = setting(30, "frames between reference and target at least, where the clip allows")
    held_out: float = setting(0.2, "0-1, fraction of the training clips kept for validation if there is no split val")
    min_face_px: float = setting(
        16.0,
        "px, clips with a smaller face in the pictures of this size are left out: a mouth would have no latents",
    )
    lips: str = setting(
        "drawn",
        "lips and jaw in the pose pictures: drawn, heard (where a map from the sound says, which is found from the training clips "
        "and kept beside the weights), dropped (so that only the sound can tell them) or random (dropped in half of the training "
        "samples); a model generates with what it was trained with, after random without them",
        choices=["drawn", "heard", "dropped", "random"],
    )
    mouth_weight: float = setting(
        1.0, "how many times as much the loss of latents in a mouth counts as that of others", minimum=0
    )
    workers: int = setting(4, "processes that load samples")
    max_broken: int = setting(20, "broken samples that training replaces before it fails")


@dataclass
class Noise:
    """Noise schedule and loss weights."""

    steps: int = setting(1000, "steps of the schedule")
    beta_start: float = setting(0.00085, "first beta")
    beta_end: float = setting(0.012, "last beta")
    beta_schedule: str = setting("scaled_linear", "course of the betas", choices=["linear", "scaled_linear"])
    zero_terminal_snr: bool = setting(True, "rescale the betas so that the last step is pure noise")
    prediction: str = setting("v_prediction", "what the model predicts", choices=["v_prediction", "epsilon"])
    offset: float = setting(0.05, "strength of the noise shared by a clip's frames and pixels")
    snr_gamma: float = setting(5.0, "gamma of the min-SNR loss weights, 0 for equal weights")
    snr_weights: str = setting(
        "released",
        "released: for v-prediction 1 is added to the SNR before it is bounded, so that pure noise has weight 1; "
        "paper: it is added after, so that pure noise has weight 0",
        choices=["released", "paper"],
    )
    condition_dropout: float = setting(
        0.1, "0-1, fraction of training steps without reference picture and its embedding"
    )


@dataclass
class Training:
    """One training stage."""

    steps: int = setting(30_000, "optimiser steps")
    batch_size: int = setting(1, "clips a step, on each GPU")
    accumulate: int = setting(1, "batches whose gradients are added before a step")
    learning_rate: float = setting(1e-5, "learning rate")
    audio_rate: float = setting(1.0, "learning rate of the audio driver divided by that of the other weights")
    warmup_steps: int = setting(0, "steps over which the learning rate rises")
    rate_schedule: str = setting(
        "constant",
        "learning rate after the warm-up: constant, or cosine (falls to 0 at the last step)",
        choices=["constant", "cosine"],
    )
    adam_betas: list[float] = setting([0.9, 0.999], "AdamW's betas")
    adam_epsilon: float = setting(1e-8, "AdamW's epsilon")
    weight_decay: float = setting(1e-2, "AdamW's weight decay")
    optimizer: str = setting(
        "adamw",
        "adamw, adamw_8bit (needs bitsandbytes or torchao) or adafactor (least memory)",
        choices=["adamw", "adamw_8bit", "adafactor"],
    )
    max_gradient_norm: float = setting(1.0, "gradients are scaled down to this norm")
    mixed_precision: str = setting(
        "bf16", "arithmetic of the networks; the release trained in fp16", choices=["no", "fp16", "bf16"]
    )
    checkpointing: bool = setting(False, "compute activations again in the backward pass: less memory, and more work")
    checkpointing_keeps: str = setting(
        "nothing",
        "what checkpointing keeps: nothing (a third more work), or products (outputs of matrix products, convolutions and "
        "attention, so that none is computed twice: a quarter less memory than without checkpointing)",
        choices=["nothing", "products"],
    )
    compile: bool = setting(
        False, "compile the repeated blocks with torch.compile; a block that cannot be compiled is an error"
    )
    cuda_graph: bool = setting(
        False, "capture a step's work on the GPU once and repeat it (one GPU, bf16, no checkpointing; not measured)"
    )
    shard: bool = setting(
        False,
        "of several processes, let each hold a part of the weights, gradients and moments (FSDP2; optimizer adamw, bf16 or no)",
    )
    deterministic: bool = setting(
        False, "only kernels that repeat their results: slower, meant for exact resumes on a GPU (not measured)"
    )
    ema: float = setting(0.0, "decay of the averaged weights, 0 for none")
    log_every: int = setting(20, "steps between writing losses, which are fetched from the device then")
    save_minutes: float = setting(15.0, "minutes between checkpoints, 0 for none by time")
    save_every: int = setting(0, "steps between checkpoints, 0 for none by steps")
    keep: int = setting(2, "checkpoints kept")
    log_with: str = setting(
        "tensorboard",
        "where losses and validation pictures are also shown: tensorboard (files beside the weights) or wandb (needs that package)",
        choices=["tensorboard", "wandb"],
    )
    validate_every: int = setting(500, "steps between validations", minimum=1)
    validation_samples: int = setting(8, "fixed samples of a validation", minimum=1)
    validation_steps: int = setting(10, "denoising steps of the pictures that a validation generates, 0 for none")


@dataclass
class Generation:
    """How videos are made."""

    steps: int = setting(25, "denoising steps")
    guidance: float = setting(3.5, "strength of classifier-free guidance, 1 for none")
    guidance_rescale: float = setting(
        0.0, "0-1, how far guided predictions are scaled back to the spread of unguided ones (0.7 in Lin et al., 2024)"
    )
    window: int = setting(15, "frames made at once")
    overlap: int = setting(5, "frames that a window shares with the one before it")
    precision: str = setting("no", "arithmetic of the networks", choices=["no", "fp16", "bf16"])


@dataclass
class Evaluation:
    """What is measured on which clips."""

    clips: int = setting(0, "clips of each split to generate, 0 for all")
    frames: int = setting(0, "frames of each clip to generate, 0 for all")


@dataclass
class Config:
    """All settings of a run; each field is a section of the YAML file."""

    seed: int = setting(12580, "seed of everything drawn at random")
    model: Model = field(default_factory=Model)
    encoders: Encoders = field(default_factory=Encoders)
    data: Data = field(default_factory=Data)
    noise: Noise = field(default_factory=Noise)
    stage1: Training = field(default_factory=Training)
    stage2: Training = field(default_factory=Training)
    generation: Generation = field(default_factory=Generation)
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class WorkflowSettings:
    """The section `covog` of the workflow's config: what is trained, and on which machine."""

    train: str = setting(
        "frozen",
        "frozen: train and measure CovOG once and keep it when videos are added; latest: train again whenever the data set has "
        "changed; never: stop at the data set",
        choices=["frozen", "latest", "never"],
    )
    preset: str = setting(
        "tiny",
        "settings to start from: tiny (small random networks, for a laptop), paper (as published, from published weights), "
        "smoke (full size, two steps)",
        choices=PRESETS,
    )
    settings: dict[str, Any] = setting(
        {}, "settings of scripts/covog/config.py that replace the preset's, for example {stage1: {steps: 300}}"
    )
    baseline: bool = setting(False, "also train and measure the model without audio driver and person masks")
    cache_latents: bool = setting(True, "compute the outputs of the frozen encoders once for every frame")
    gpu: int = setting(0, "GPUs that training requests, on each node; latents and measures take one of them", minimum=0)
    nodes: int = setting(1, "nodes of a SLURM cluster that training takes", minimum=1)
    launcher: str = setting("", "command that starts the training, in place of python, accelerate launch or srun")
    start: list[str] = setting([], "published weights to start from, in place of those that the preset downloads")
    weights_dir: str = setting("", "folder that is searched for weights before anything is downloaded")


def load(path: str | Path) -> Config:
    """Read a YAML file; keys that are left out have their defaults.

    Raises InputError that names the file and the key if a key is unknown or a value of the wrong type.
    """
    try:
        content = yaml.safe_load(Path(path).read_text()) or {}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name another file, or train a model first.") from None
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML ({error}).") from error
    return from_dict(Config, content, str(path))


def from_dict(kind: type, values: Any, where: str) -> Any:
    """Return the dataclass `kind` filled from a nested dict; `where` names its source in errors.

    Raises InputError as `load` does.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where} must be a section of keys and values, not {values!r}.")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    filled = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            raise InputError(f"{where}: unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "."))
        filled[key] = _value(fields[key], value, f"{where}: {key}")
    return kind(**filled)


def check(settings: Config) -> None:
    """Raise InputError if settings do not go together."""
    if (settings.data.warped or settings.data.crop) and not settings.model.differences:
        raise InputError("data.warped and data.crop need model.differences.")
    if settings.data.crop % LATENT_CELL:
        raise InputError(f"data.crop is {settings.data.crop}; it must be a multiple of {LATENT_CELL} px.")
    for name, training in (("stage1", settings.stage1), ("stage2", settings.stage2)):
        if training.shard and (training.optimizer != "adamw" or training.mixed_precision == "fp16"):
            raise InputError(f"{name}.shard needs optimizer adamw, and mixed_precision bf16 or no; set shard: false.")


def to_dict(config: Any) -> dict[str, Any]:
    """Return the nested dict that `from_dict` reads back."""
    return dataclasses.asdict(config)


def save(config: Config, path: str | Path) -> None:
    """Write the whole config as YAML."""
    with atomic_write(path) as aside:
        aside.write_text(yaml.safe_dump(to_dict(config), sort_keys=False))


def _value(of: dataclasses.Field, value: Any, where: str) -> Any:
    kind = of.type
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        value = [_meant(v, item) for v in value] if isinstance(value, list) else value
        if not isinstance(value, list) or not all(_is(v, item) for v in value):
            raise InputError(f"{where} must be a list of {item.__name__} values, not {value!r}.")
        return [item(v) for v in value]
    value = _meant(value, kind)
    if not _is(value, kind):
        raise InputError(f"{where} must be of type {kind.__name__}, not {value!r}.")
    if "choices" in of.metadata and value not in of.metadata["choices"]:
        raise InputError(f"{where} must be one of {', '.join(of.metadata['choices'])}, not {value!r}.")
    for bound, beyond, words in (("minimum", operator.lt, "at least"), ("maximum", operator.gt, "at most")):
        if bound in of.metadata and beyond(value, of.metadata[bound]):
            raise InputError(f"{where} must be {words} {of.metadata[bound]}, not {value!r}.")
    return kind(value)


def _meant(value: Any, kind: type) -> Any:
    """Return what a text means to YAML if that has the expected type: Snakemake passes values in groups of --config as text."""
    if not isinstance(value, str) or kind is str:
        return value
    try:
        said = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return said if _is(said, kind) else value


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        # YAML reads 1e-5, without a point, as text.
        return not isinstance(value, bool) and _is_number(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
