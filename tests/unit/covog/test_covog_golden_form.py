"""The golden tests on another file of the same form: other widths, batch, number of people and size, by GOLDEN=FILE.

Its numbers are this model's own, so it shows that nothing is tied to the first file's sizes, not that the numbers are right.
"""

import json

import pytest
import torch

from conftest import REPO
from covog import convert
from covog.config import Model
from covog.model import CovOG

PARTS = ("denoising_unet", "reference_unet", "pose_guider", "pose_adaptor")
FORMS = {
    "one wide person": {"batch": 1, "persons": 1, "frames": 2, "size": (64, 192), "widths": [64, 32, 32, 96], "layers": 1},
    "three people": {"batch": 3, "persons": 3, "frames": 4, "size": (192, 128), "widths": [32, 64, 64, 64], "layers": 2},
}  # fmt: skip


def write_golden(path, form, seed=0) -> None:
    """Write a file of the golden form, with weights raised to half precision first, as the published one has them."""
    torch.manual_seed(seed)
    b, p, f, (height, width) = (form[name] for name in ("batch", "persons", "frames", "size"))
    motion = {"heads": 4, "layers": form["layers"], "max_len": 16, "mid_block": form["layers"] == 1}
    names = {
        "block_out_channels": form["widths"], "cross_attention_dim": 24, "num_attention_heads": 4, "motion": motion,
        "layers_per_block": form["layers"], "persons": p, "frames": f, "audio_blocks": 2, "audio_channels": 10,
        "audio_intermediate": 12, "audio_tokens": 3, "audio_dim": 48, "pose_guider_channels": [4, 8, 8, 12],
        "pose_adaptor_channels": [4, 4, 8, 8],
    }  # fmt: skip
    model = CovOG(Model(
        block_out_channels=form["widths"], layers_per_block=form["layers"], heads=4, cross_attention_dim=24,
        pose_guider_channels=[4, 8, 8, 12], pose_adaptor_channels=[4, 4, 8, 8], motion_heads=4,
        motion_layers=form["layers"], motion_max_frames=16, motion_mid_block=motion["mid_block"], audio_layers=2,
        audio_channels=10, audio_hidden=12, audio_tokens=3, audio_dim=48, audio_residual="released",
    )).eval()  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.5 * (parameter.dim() == 1), std=0.05)
        parameter.data = parameter.data.half().float()
    h, w = height // 8, width // 8
    masks = (torch.rand(p, 1, 1, height, width) > 0.3).float().repeat(1, b, 1, 1, 1)
    small = {"pose_small": torch.rand(b, 3, f, h // 2, w // 2), "ref_pose_small": torch.rand(b, 3, 1, h // 2, w // 2)}
    faces = [torch.rand(p, b, f, 1, -(-h // 2**level), -(-w // 2**level)) for level in (0, 1, 2, 3, 3)]
    given = small | {
        "noisy_latents": torch.randn(b, 4, f, h, w), "timesteps": torch.randint(0, 1000, (b,)),
        "ref_latents": torch.randn(b, 4, h, w), "clip_embeds": torch.randn(b, 1, 24), "audio": torch.randn(b, f, 2, 10),
        "scores": torch.randn(b, p, f, 1), "instance_masks": masks, "instance_boxes": torch.zeros(p, 4),
        **{f"face_mask.{level}": mask for level, mask in enumerate(faces)},
    }  # fmt: skip
    big = {name: t.repeat_interleave(16, -1).repeat_interleave(16, -2) for name, t in small.items()}
    persons, present = masks[:, :, 0].transpose(0, 1), torch.ones(b, p, dtype=torch.bool)
    conditions = {
        "pose": big["pose_small"], "person_masks": persons, "present": present, "image_embed": given["clip_embeds"],
        "reference_latents": given["ref_latents"], "reference_pose": big["ref_pose_small"][:, :, 0],
        "sound": given["audio"], "scores": given["scores"][..., 0],
        "face_masks": [mask[:, :, :, 0].transpose(0, 1) for mask in faces],
    }  # fmt: skip
    hidden = torch.randn(b, form["widths"][0], f, -(-h // 2), -(-w // 2))
    with torch.inference_mode():
        (audio_context, *_), _ = model.audio_driver.encode(
            *(conditions[n] for n in ("sound", "scores", "face_masks", "present"))
        )
        block = model.audio_driver.down[0](hidden.transpose(1, 2).flatten(0, 1), audio_context)
        out = {
            "pose_features": model.pose_guider(conditions["pose"], persons, present),
            "ref_pose_features": model.pose_adaptor(conditions["reference_pose"][:, :, None], persons, present)[
                :, :, 0
            ],
            "audio_tokens": model.audio_driver.projection(given["audio"]),
            "audio_block": block.unflatten(0, (-1, f)).transpose(1, 2),
            "noise_pred": model(given["noisy_latents"], given["timesteps"], **conditions),
            "noise_pred_unconditional": model(
                given["noisy_latents"], given["timesteps"], unconditional=True, **conditions
            ),
        }
    tensors = {f"in.{n}": t for n, t in given.items()} | {f"out.{n}": t for n, t in out.items()}
    for part in PARTS:
        tensors |= {f"weights.{part}.{n}": t.half() for n, t in convert.to_published(model, part).items()}
    convert.write_tensors(path, tensors | {"mid.audio_block_in": hidden}, {"config": json.dumps(names)})


class Counts:
    """Counts the tests of a run of pytest that pass and fail."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"
        self.failed += report.failed


def golden(path, monkeypatch) -> tuple[int, int]:
    """Return how many of the golden tests pass and fail with a file, run in this process, which has loaded the libraries."""
    monkeypatch.setenv("GOLDEN", str(path))
    counts = Counts()
    tests = str(REPO / "tests/unit/covog/test_covog_golden.py")
    pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", tests], plugins=[counts])
    return counts.passed, counts.failed


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_another_form_passes_and_a_changed_number_fails(form, tmp_path, monkeypatch):
    write_golden(tmp_path / "other.safetensors", FORMS[form])
    assert golden(tmp_path / "other.safetensors", monkeypatch) == (7, 0)
    tensors = convert.read_tensors(tmp_path / "other.safetensors")
    with convert.safetensors.safe_open(tmp_path / "other.safetensors", "pt") as file:
        metadata = file.metadata()
    tensors["out.noise_pred"][0, 0, 0, 0, 0] += 2e-5
    convert.write_tensors(tmp_path / "wrong.safetensors", tensors, metadata)
    assert golden(tmp_path / "wrong.safetensors", monkeypatch) == (6, 1)
