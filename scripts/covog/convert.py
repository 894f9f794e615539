"""Checkpoints under their published key names, into this model and back.

Known files: Moore-AnimateAnyone's `denoising_unet.pth`, `reference_unet.pth`, `pose_guider.pth`, `motion_module.pth`;
CovOG's `denoising_unet-N.pth`, `reference_unet-N.pth`, `pose_guider-N.pth`, `pose_adaptor-N.pth`; AnimateDiff's
`mm_sd_v15_v2.ckpt`; Stable Diffusion 1.5's UNet; ControlNet-openpose's conditioning embedding.
"""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from covog.config import Model, from_dict, to_dict
from covog.model import CovOG
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

Tensors = dict[str, torch.Tensor]

_MOTION = re.compile(r"(.*motion_modules\.\d+\.)temporal_transformer\.(.*)")
_MOTION_NAMES = [
    ("attention_blocks.0.", "attn1."),
    ("attention_blocks.1.", "attn2."),
    ("norms.0.", "norm1."),
    ("norms.1.", "norm2."),
    ("ff_norm.", "norm3."),
]
_AUDIO = re.compile(r"audio_(down|up)_module\.(\d+)\.audio_modules\.0\.(.*)")
_AUDIO_NAMES = [
    ("activate_score_proj.", "gate."),
    ("attn2_1.", "attention."),
    ("zero_conv_face.", "zero_conv."),
    ("ff.", "feed_forward."),
]
_POSITIONS = re.compile(r"(.*)attention_blocks\.(\d)\.pos_encoder\.pe")
_CONTROLNET = "controlnet_cond_embedding."
_OUTPUT = ("conv_norm_out.", "conv_out.")
# Key of a published file's metadata that says in which arithmetic its audio driver was trained.
_RESIDUAL = "audio_residual"

# The parameters that a file of each kind must set: a test on our names. A file with more or fewer is refused.
KINDS: dict[str, Callable[[str], bool]] = {
    "denoising_unet": lambda name: name.startswith(("denoising_unet.", "audio_driver.")),
    "denoising_unet_stills": lambda name: name.startswith("denoising_unet.") and "motion_modules" not in name,
    "reference_unet": lambda name: name.startswith("reference_unet."),
    "pose_guider": lambda name: name.startswith("pose_guider."),
    "pose_adaptor": lambda name: name.startswith("pose_adaptor."),
    "motion_module": lambda name: "motion_modules" in name,
    "stable_diffusion": lambda name: (
        name.startswith(("denoising_unet.", "reference_unet.")) and "motion_modules" not in name
    ),
    "controlnet": lambda name: name.startswith("pose_guider.") and "conv_out" not in name,
}


def read_tensors(path: str | Path) -> Tensors:
    """Read the tensors of a `.safetensors`, `.pth`, `.ckpt` or `.bin` file without running anything that is in it.

    Raises InputError that names the file if it is missing, damaged or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the path of a checkpoint file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no plain weights file, or holds code, which is not run; download it again."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint ({error}); download it again.") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise InputError(f"{path} is not a table of named tensors; give a file of weights.")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def write_tensors(path: str | Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically. Raises OSError that names the file if it cannot be written, as on a full disk."""
    with atomic_write(path) as aside:
        try:
            safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, aside, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from error


def _metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; an empty dict for another kind of file."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError:
        return {}


def to_ours(tensors: Tensors, kind: str, where: str) -> Tensors:
    """Return a published file's tensors under this model's names; position codes are checked and left out.

    Raises InputError that names a position code which is not the sinusoid.
    """
    ours: Tensors = {}
    for name, tensor in tensors.items():
        if _POSITIONS.fullmatch(name):
            if not torch.allclose(tensor.float(), _sinusoid(tensor), atol=2e-3):
                raise InputError(f"{where}: {name} is not the usual position code; this model cannot hold it.")
            continue
        for part, renamed in _our_names(name, kind):
            ours[f"{part}.{renamed}"] = tensor
    return ours


def to_published(model: CovOG, part: str) -> Tensors:
    """Return the tensors of `denoising_unet`, `reference_unet`, `pose_guider`, `pose_adaptor` or `motion_module`
    under their published names."""
    accepts = KINDS[part]
    published: Tensors = {}
    for name, tensor in model.state_dict().items():
        if not accepts(name):
            continue
        module, rest = name.split(".", 1)
        if rest.endswith(".pos_embed.pe"):
            stem = rest.removesuffix("pos_embed.pe")
            for number in range(2):
                # A copy each: safetensors refuses two names of one tensor.
                published[_published_motion(f"{stem}attention_blocks.{number}.pos_encoder.pe")] = tensor.clone()
        elif module == "audio_driver":
            published[_published_audio(rest)] = tensor
        else:
            published[_published_motion(rest)] = tensor
    return published


def load(model: CovOG, tensors: Tensors, kind: str, where: str) -> None:
    """Set the model's parameters from a published file of one of `KINDS`.

    Raises InputError that names the file and up to three keys which are left over, unset or of another shape.
    """
    ours, own = to_ours(tensors, kind, where), model.state_dict()
    ours = _used(model, ours) if kind == "stable_diffusion" else ours
    wanted = {name for name in own if KINDS[kind](name) and not name.endswith("pos_embed.pe")}
    _refuse(where, "holds keys that this model has no place for", sorted(set(ours) - wanted))
    _refuse(where, "leaves parameters unset", sorted(wanted - set(ours)))
    _refuse_shapes(where, own, ours)
    model.load_state_dict({**own, **ours})


def kind_of(path: str | Path, tensors: Tensors) -> str:
    """Return which of `KINDS` a file is, by its keys and, for the two UNets and the two pose encoders, by its name.

    Raises InputError if that is unclear.
    """
    name = Path(path).name
    if any(key.startswith(_CONTROLNET) for key in tensors):
        return "controlnet"
    if tensors and all("motion_modules" in key for key in tensors):
        return "motion_module"
    for kind in ("reference_unet", "pose_guider", "pose_adaptor"):
        if name.startswith(kind):
            return kind
    if name.startswith("denoising_unet"):
        return "denoising_unet" if any("motion_modules" in key for key in tensors) else "denoising_unet_stills"
    if name.startswith("diffusion_pytorch_model") and "conv_out.weight" in tensors:
        return "stable_diffusion"
    raise InputError(f"{path}: cannot determine the kind of this checkpoint; give it with --kind ({', '.join(KINDS)}).")


def write_model(model: CovOG, path: str | Path) -> None:
    """Write a model's parameters with its widths and switches, for `read_model`."""
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("pos_embed.pe")}
    write_tensors(path, own, {"model": json.dumps(to_dict(model.config))})


def read_model(path: str | Path) -> CovOG:
    """Make the model that `write_model` wrote.

    Raises InputError that names the file if it is not such a file.
    """
    tensors = read_tensors(path)
    model = CovOG(read_widths(path))
    adopt(model, tensors, str(path))
    return model


def read_widths(path: str | Path) -> Model:
    """Return the widths and switches of a model that `write_model` wrote.

    Raises InputError that names the file if it is not such a file.
    """
    try:
        return from_dict(Model, json.loads(_metadata(path)["model"]), str(path))
    except KeyError as error:
        raise InputError(f"{path} has no widths of a model; give a weights file that training has written.") from error


def adopt(model: CovOG, tensors: Tensors, where: str, missing_parts: bool = False) -> None:
    """Set a model's parameters from tensors under its own names.

    A reference UNet is passed over by a model of differences, which has none. With `missing_parts`, motion modules and audio driver may be absent on either side, as between the stages.
    Raises InputError that names the file and up to three keys that do not fit.
    """
    own, tensors = model.state_dict(), _used(model, tensors)
    wanted = {name for name in own if not name.endswith("pos_embed.pe")}
    optional = {n for n in wanted | set(tensors) if missing_parts and ("motion_modules" in n or "audio_driver" in n)}
    _refuse(where, "holds keys that this model has no place for", sorted(set(tensors) - wanted - optional))
    _refuse(where, "leaves parameters unset", sorted(wanted - set(tensors) - optional))
    _refuse_shapes(where, own, tensors)
    model.load_state_dict({**own, **{name: tensor for name, tensor in tensors.items() if name in own}})


def converted(model: CovOG, files: list[Path], kinds: list[str] | None = None) -> CovOG:
    """Set the model's parameters from published files, one after the other; kinds are determined where not given.

    A file with an audio driver sets the model's `audio_residual`: to the value that `publish` wrote, else to the published arithmetic.

    Raises InputError as `load` and `kind_of` do.
    """
    for number, file in enumerate(files):
        tensors = read_tensors(file)
        kind = kinds[number] if kinds else kind_of(file, tensors)
        load(model, tensors, kind, str(file))
        if any(name.startswith("audio_proj.") for name in tensors):
            model.config.audio_residual = _metadata(file).get(_RESIDUAL, "released")
    return model


def publish(model: CovOG, folder: Path) -> None:
    """Write the four parts of a model, as far as it has them, as `{part}.safetensors` under their published key names."""
    for part in ("denoising_unet", "reference_unet", "pose_guider", "pose_adaptor"):
        if tensors := to_published(model, part):
            write_tensors(folder / f"{part}.safetensors", tensors, {_RESIDUAL: model.config.audio_residual})


def _our_names(name: str, kind: str) -> list[tuple[str, str]]:
    if kind == "controlnet":
        rest = name.removeprefix(_CONTROLNET)
        # ControlNet's own UNet and its last convolution, which ends in its own width, are not taken.
        return [] if rest == name or rest.startswith("conv_out.") else [("pose_guider", rest)]
    if kind == "stable_diffusion":
        parts = ["denoising_unet"] if name.startswith(_OUTPUT) else ["denoising_unet", "reference_unet"]
        return [(part, name) for part in parts]
    if kind in ("reference_unet", "pose_guider", "pose_adaptor"):
        return [(kind, name)]
    if match := _AUDIO.fullmatch(name):
        side, number, rest = match.groups()
        return [
            ("audio_driver", f"{side}.{number}.{_renamed(rest.removeprefix('transformer_blocks.0.'), _AUDIO_NAMES)}")
        ]
    if name.startswith("audio_proj."):
        return [("audio_driver", "projection." + name.removeprefix("audio_proj."))]
    if match := _MOTION.fullmatch(name):
        return [("denoising_unet", match[1] + _renamed(match[2], _MOTION_NAMES))]
    return [("denoising_unet", name)]


def _renamed(name: str, pairs: list[tuple[str, str]], back: bool = False) -> str:
    for published, ours in pairs:
        old, new = (ours, published) if back else (published, ours)
        # At a name's beginning or after a point: `ff.` is not part of `buff.`
        name = re.sub(rf"(^|\.){re.escape(old)}", lambda m, new=new: m[1] + new, name)
    return name


def _published_motion(name: str) -> str:
    match = re.fullmatch(r"(.*motion_modules\.\d+\.)(.*)", name)
    return f"{match[1]}temporal_transformer.{_renamed(match[2], _MOTION_NAMES, back=True)}" if match else name


def _published_audio(name: str) -> str:
    if name.startswith("projection."):
        return "audio_proj." + name.removeprefix("projection.")
    side, number, rest = name.split(".", 2)
    outer = rest.startswith(("norm.", "proj_in.", "proj_out."))
    rest = rest if outer else "transformer_blocks.0." + _renamed(rest, _AUDIO_NAMES, back=True)
    return f"audio_{side}_module.{number}.audio_modules.0.{rest}"


def _sinusoid(like: torch.Tensor) -> torch.Tensor:
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    return SinusoidalPositionalEmbedding(like.shape[2], max_seq_length=like.shape[1]).pe


def _used(model: CovOG, tensors: Tensors) -> Tensors:
    return {n: t for n, t in tensors.items() if model.reference_unet is not None or not n.startswith("reference_unet.")}


def _refuse_shapes(where: str, own: Tensors, given: Tensors) -> None:
    differ = [n for n in given if n in own and own[n].shape != given[n].shape]
    shapes = [f"{n} {tuple(given[n].shape)} for {tuple(own[n].shape)}" for n in sorted(differ)]
    _refuse(where, "holds tensors of another shape", shapes)


def _refuse(where: str, what: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise InputError(f"{where} {what}: {shown}.")
