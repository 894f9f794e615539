"""The model against numbers of the released modules: GOLDEN=FILE names another file of the same form."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from covog import convert
from covog.config import Model
from covog.model import CovOG

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


class Golden:
    """The file's tensors, the model its metadata describe and that model's conditioning."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        motion = config["motion"]
        self.config = Model(
            block_out_channels=config["block_out_channels"],
            layers_per_block=config["layers_per_block"],
            heads=config["num_attention_heads"],
            cross_attention_dim=config["cross_attention_dim"],
            pose_guider_channels=config["pose_guider_channels"],
            pose_adaptor_channels=config["pose_adaptor_channels"],
            motion_heads=motion["heads"],
            motion_layers=motion["layers"],
            motion_max_frames=motion["max_len"],
            motion_mid_block=motion["mid_block"],
            audio_layers=config["audio_blocks"],
            audio_channels=config["audio_channels"],
            audio_hidden=config["audio_intermediate"],
            audio_tokens=config["audio_tokens"],
            audio_dim=config["audio_dim"],
            audio_residual="released",
        )
        torch.manual_seed(0)
        self.model = CovOG(self.config).eval()
        for part in ("denoising_unet", "reference_unet", "pose_guider", "pose_adaptor"):
            convert.load(self.model, self.published(part), part, f"{path}: {part}")
        given = {name[3:]: tensor for name, tensor in self.tensors.items() if name.startswith("in.")}
        persons = given["instance_masks"][:, :, 0].transpose(0, 1)
        grown = {
            name: given[name]
            .repeat_interleave(persons.shape[-1] // given[name].shape[-1], -1)
            .repeat_interleave(persons.shape[-2] // given[name].shape[-2], -2)
            for name in ("pose_small", "ref_pose_small")
        }
        levels = sum(name.startswith("face_mask.") for name in given)
        self.latents, self.timesteps = given["noisy_latents"], given["timesteps"]
        self.conditions = {
            "pose": grown["pose_small"],
            "person_masks": persons,
            "present": torch.ones(persons.shape[:2], dtype=torch.bool),
            "image_embed": given["clip_embeds"],
            "reference_latents": given["ref_latents"],
            "reference_pose": grown["ref_pose_small"][:, :, 0],
            "sound": given["audio"],
            "scores": given["scores"][..., 0],
            "face_masks": [given[f"face_mask.{level}"][:, :, :, 0].transpose(0, 1) for level in range(levels)],
        }

    def published(self, part: str) -> convert.Tensors:
        """Return the file's weights of one part, raised to float32."""
        prefix = f"weights.{part}."
        return {n.removeprefix(prefix): t.float() for n, t in self.tensors.items() if n.startswith(prefix)}

    def agrees(self, name: str, ours: torch.Tensor) -> None:
        """Check an output of ours against the file's."""
        wanted = self.tensors[f"out.{name}"]
        assert ours.shape == wanted.shape
        assert (ours - wanted).abs().max().item() <= TOLERANCE


@pytest.fixture(scope="module")
def golden(shared) -> Golden:
    path = os.environ.get("GOLDEN") or shared / "golden/covog_two_people.safetensors"
    with torch.inference_mode():
        return Golden(Path(path))


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def test_golden_pose_features(golden):
    c = golden.conditions
    golden.agrees("pose_features", golden.model.pose_guider(c["pose"], c["person_masks"], c["present"]))


def test_golden_reference_pose_features(golden):
    c = golden.conditions
    ours = golden.model.pose_adaptor(c["reference_pose"][:, :, None], c["person_masks"], c["present"])
    golden.agrees("ref_pose_features", ours[:, :, 0])


def test_golden_audio_tokens(golden):
    golden.agrees("audio_tokens", golden.model.audio_driver.projection(golden.conditions["sound"]))


def test_golden_audio_block(golden):
    c, driver = golden.conditions, golden.model.audio_driver
    (audio_context, *_), _ = driver.encode(c["sound"], c["scores"], c["face_masks"], c["present"])
    hidden = golden.tensors["mid.audio_block_in"]
    out = driver.down[0](hidden.transpose(1, 2).flatten(0, 1), audio_context)
    golden.agrees("audio_block", out.unflatten(0, (-1, hidden.shape[2])).transpose(1, 2))


def test_golden_prediction(golden):
    golden.agrees("noise_pred", golden.model(golden.latents, golden.timesteps, **golden.conditions))


def test_golden_prediction_of_an_unconditional_step(golden):
    ours = golden.model(golden.latents, golden.timesteps, unconditional=True, **golden.conditions)
    golden.agrees("noise_pred_unconditional", ours)


def test_golden_weights_survive_the_way_into_the_model_and_back(golden):
    for part in ("denoising_unet", "reference_unet", "pose_guider", "pose_adaptor"):
        theirs, ours = golden.published(part), convert.to_published(golden.model, part)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            # The file's position codes are rounded to half precision, ours are made anew.
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-3 if name.endswith(".pe") else 0)
