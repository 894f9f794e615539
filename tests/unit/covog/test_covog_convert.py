"""Published key names into the model and back, and what is refused."""

import pytest
import torch

from covog import convert
from covog_toys import TOY, model
from talking.core.errors import InputError

PARTS = ["denoising_unet", "reference_unet", "pose_guider", "pose_adaptor"]


def test_round_trip_sets_every_parameter_and_gives_the_published_names_back():
    one, other = model(seed=1), model(seed=2)
    for part in PARTS:
        published = convert.to_published(one, part)
        convert.load(other, published, part, part)
        again = convert.to_published(other, part)
        assert again.keys() == published.keys()
        assert all(torch.equal(again[name], published[name]) for name in published)
    mine, theirs = one.state_dict(), other.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_published_names_are_those_of_the_released_checkpoints():
    names = convert.to_published(model(), "denoising_unet").keys()
    block = "audio_down_module.1.audio_modules.0.transformer_blocks.0"
    motion = "up_blocks.0.motion_modules.0.temporal_transformer"
    assert {
        "audio_proj.proj1.weight",
        "audio_up_module.1.audio_modules.0.proj_in.weight",
        f"{block}.activate_score_proj.bias",
        f"{block}.attn2_1.to_out.0.bias",
        f"{block}.zero_conv_face.weight",
        f"{block}.ff.net.0.proj.weight",
        f"{motion}.norm.weight",
        f"{motion}.transformer_blocks.0.attention_blocks.1.pos_encoder.pe",
        f"{motion}.transformer_blocks.0.attention_blocks.0.to_out.0.bias",
        f"{motion}.transformer_blocks.0.norms.1.weight",
        f"{motion}.transformer_blocks.0.ff_norm.weight",
        f"{motion}.transformer_blocks.0.ff.net.2.bias",
    } <= set(names)


def test_animatediff_file_below_state_dict_with_module_prefix(tmp_path):
    one, other = model(seed=1), model(seed=2)
    published = convert.to_published(one, "motion_module")
    torch.save(
        {"state_dict": {f"module.{n}": t for n, t in published.items()}, "epoch": 3}, tmp_path / "mm_sd_v15_v2.ckpt"
    )
    tensors = convert.read_tensors(tmp_path / "mm_sd_v15_v2.ckpt")
    assert convert.kind_of(tmp_path / "mm_sd_v15_v2.ckpt", tensors) == "motion_module"
    convert.load(other, tensors, "motion_module", "mm")
    mine, theirs = one.state_dict(), other.state_dict()
    assert all(torch.equal(mine[n], theirs[n]) for n in mine if "motion_modules" in n)
    assert not torch.equal(mine["denoising_unet.conv_in.weight"], theirs["denoising_unet.conv_in.weight"])


def test_stage_1_unet_needs_neither_motion_nor_audio():
    stills, whole = model(seed=1, motion=False, audio=False), model(seed=2)
    published = convert.to_published(stills, "denoising_unet")
    kind = convert.kind_of("denoising_unet-30000.pth", published)
    convert.load(whole, published, kind, "file")
    assert torch.equal(whole.denoising_unet.conv_out.weight, stills.denoising_unet.conv_out.weight)
    with pytest.raises(InputError, match=r"leaves parameters unset: audio_driver\.down\.0\.attention"):
        convert.load(whole, published, "denoising_unet", "file")


def test_controlnet_sets_the_pose_guider_but_its_last_convolution():
    one, other = model(seed=1), model(seed=2)
    own = other.pose_guider.conv_out.weight.clone()
    file = {f"controlnet_cond_embedding.{n}": t for n, t in one.pose_guider.state_dict().items()}
    file["controlnet_cond_embedding.conv_out.weight"] = torch.zeros(99, 8, 3, 3)
    file["down_blocks.0.resnets.0.norm1.weight"] = torch.zeros(3)
    convert.load(other, file, convert.kind_of("diffusion_pytorch_model.bin", file), "file")
    assert torch.equal(other.pose_guider.blocks[3].weight, one.pose_guider.blocks[3].weight)
    assert torch.equal(other.pose_guider.conv_out.weight, own)


def test_stable_diffusion_sets_both_unets():
    one, other = model(seed=1, motion=False, audio=False), model(seed=2)
    published = convert.to_published(one, "denoising_unet")
    convert.load(other, published, convert.kind_of("diffusion_pytorch_model.safetensors", published), "file")
    assert torch.equal(other.reference_unet.conv_in.weight, one.denoising_unet.conv_in.weight)
    assert torch.equal(other.denoising_unet.conv_out.weight, one.denoising_unet.conv_out.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"extra.weight": torch.zeros(1)}), r"no place for: reference_unet\.extra\.weight"),
        (lambda t: t.pop("conv_in.bias"), r"unset: reference_unet\.conv_in\.bias"),
        (lambda t: t.update({"conv_in.bias": torch.zeros(5)}), r"another shape: reference_unet\.conv_in\.bias \(5,\)"),
    ],
)
def test_leftover_unset_and_misshapen_are_refused_by_name(change, message):
    tensors = convert.to_published(model(), "reference_unet")
    change(tensors)
    with pytest.raises(InputError, match=f"some.pth .*{message}"):
        convert.load(model(), tensors, "reference_unet", "some.pth")


def test_a_learnt_position_code_is_refused():
    tensors = convert.to_published(model(), "motion_module")
    name = next(n for n in tensors if n.endswith(".pe"))
    tensors[name] = tensors[name] + 0.1
    with pytest.raises(InputError, match="is not the usual position code"):
        convert.load(model(), tensors, "motion_module", "mm.ckpt")


class Harmful:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize("content", [{"weight": Harmful()}, {"weight": "text"}, [1, 2]])
def test_files_that_hold_code_or_no_tensors_are_refused(tmp_path, content, capsys):
    torch.save(content, tmp_path / "reference_unet.pth")
    with pytest.raises(InputError, match=r"reference_unet\.pth"):
        convert.read_tensors(tmp_path / "reference_unet.pth")
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_damaged_and_missing_files_are_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} does not exist"):
        convert.read_tensors(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a checkpoint at all")
    with pytest.raises(InputError, match=name):
        convert.read_tensors(tmp_path / name)


def test_safetensors_file_reads_back(tmp_path):
    tensors = convert.to_published(model(), "pose_adaptor")
    convert.write_tensors(tmp_path / "pose_adaptor.safetensors", tensors)
    again = convert.read_tensors(tmp_path / "pose_adaptor.safetensors")
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_a_model_reads_back_with_its_widths_and_hands_its_stills_to_the_next_stage(tmp_path):
    stills = model(seed=1, motion=False, audio=False)
    convert.write_model(stills, tmp_path / "stage1.safetensors")
    again = convert.read_model(tmp_path / "stage1.safetensors")
    assert again.config == stills.config
    moving = model(seed=2).float()
    convert.adopt(moving, again.state_dict(), "stage1", missing_parts=True)
    mine, theirs = moving.state_dict(), stills.state_dict()
    assert all(torch.equal(mine[name], theirs[name].float()) for name in theirs)
    with pytest.raises(InputError, match=r"stage1 leaves parameters unset: audio_driver"):
        convert.adopt(moving, again.state_dict(), "stage1")


def test_a_published_audio_driver_keeps_the_arithmetic_it_was_trained_in(tmp_path):
    one = model(seed=1)
    parts = [tmp_path / f"{part}.safetensors" for part in PARTS]
    for part, file in zip(PARTS, parts, strict=True):
        # As others publish it: without a word on the arithmetic.
        convert.write_tensors(file, convert.to_published(one, part))
    released = convert.converted(model(seed=2), parts)
    assert released.config.audio_residual == "released"
    assert {b.config.audio_residual for b in [*released.audio_driver.down, *released.audio_driver.up]} == {"released"}
    convert.write_model(released, tmp_path / "start.safetensors")
    assert convert.read_model(tmp_path / "start.safetensors").config.audio_residual == "released"
    # What this project publishes says so itself.
    convert.publish(one, tmp_path)
    assert convert.converted(model(seed=3), parts).config.audio_residual == one.config.audio_residual == "keep"


def test_a_model_of_differences_passes_over_the_reference_unet_of_a_file(tmp_path):
    widths = {"differences": True, "pose_adaptor_channels": TOY["pose_guider_channels"]}
    whole, toy = model(**widths | {"differences": False}), model(seed=1, **widths)
    before = {name: tensor for name, tensor in whole.state_dict().items() if not name.endswith("pos_embed.pe")}
    convert.adopt(toy, before, "before.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in toy.named_parameters())
    still = model(motion=False, audio=False, **widths)
    unet = {
        n: t for n, t in convert.to_published(whole, "denoising_unet").items() if "motion" not in n and "audio" not in n
    }
    convert.load(still, unet, "stable_diffusion", "diffusion_pytorch_model.bin")
    assert torch.equal(still.denoising_unet.conv_in.weight, whole.denoising_unet.conv_in.weight)
    with pytest.raises(InputError, match="no place for: reference_unet"):
        convert.load(toy, convert.to_published(whole, "reference_unet"), "reference_unet", "reference_unet.pth")
    convert.publish(toy, tmp_path)
    assert not (tmp_path / "reference_unet.safetensors").exists()
