"""The paper's full-size model without its numbers (torch's meta device): parameters, shapes, memory of the smoke preset."""

from pathlib import Path

import pytest
import torch

from covog import config, presets, trainer
from covog.config import Model
from covog.model import CovOG

FRAMES, PEOPLE, HEIGHT, WIDTH = 15, 2, 384, 640


@pytest.fixture(scope="module")
def full() -> CovOG:
    settings = config.load(presets.file_of("smoke")).model
    assert Model(**{**vars(settings), "audio_layers": 12, "audio_channels": 768}) == Model()
    with torch.device("meta"):
        return CovOG(Model())


def millions(parameters) -> float:
    return sum(p.numel() for p in parameters) / 1e6


def test_parts_have_the_published_sizes(full):
    unet = {n: p for n, p in full.denoising_unet.named_parameters()}
    motion = [p for n, p in unet.items() if "motion_modules" in n]
    stills = [p for n, p in unet.items() if "motion_modules" not in n]
    # Stable Diffusion 1.5's UNet has 859.5 million parameters, AnimateDiff's motion module (v2, with its middle block) 453.2.
    assert millions(stills) == pytest.approx(859.5, abs=0.1)
    assert millions(motion) == pytest.approx(453.2, abs=0.1)
    # Without the last norm and the output convolution.
    assert millions(full.reference_unet.parameters()) == pytest.approx(859.5, abs=0.1)
    # 4.35 and 2.07 MB of single precision are the published guider's and a second one with narrower layers.
    assert millions(full.pose_guider.parameters()) == pytest.approx(4.35 / 4, abs=0.01)
    assert millions(full.audio_driver.parameters()) > 20


def test_a_window_of_full_size_has_the_right_shapes(full):
    h, w = HEIGHT // 8, WIDTH // 8
    with torch.device("meta"), torch.inference_mode():
        out = full(
            torch.empty(1, 4, FRAMES, h, w), torch.zeros(1, dtype=torch.long), unconditional=True,
            pose=torch.empty(1, 3, FRAMES, HEIGHT, WIDTH), person_masks=torch.empty(1, PEOPLE, HEIGHT, WIDTH),
            present=torch.ones(1, PEOPLE, dtype=torch.bool), image_embed=torch.empty(1, 1, 768),
            reference_latents=torch.empty(1, 4, h, w), reference_pose=torch.empty(1, 3, HEIGHT, WIDTH),
            sound=torch.empty(1, FRAMES, 12, 768), scores=torch.empty(1, PEOPLE, FRAMES),
            face_masks=[torch.empty(1, PEOPLE, FRAMES, h >> level, w >> level) for level in range(4)],
        )  # fmt: skip
    assert out.shape == (1, 4, FRAMES, h, w)


@pytest.mark.parametrize("stage", [1, 2])
def test_weights_gradients_and_optimiser_of_the_smoke_preset_leave_a_24_gb_gpu_room_for_activations(full, stage):
    settings = config.load(presets.file_of("smoke"))
    training = settings.stage1 if stage == 1 else settings.stage2
    assert (training.steps, training.optimizer, training.checkpointing) == (2, "adafactor", True)
    with torch.device("meta"):
        model = CovOG(Model(motion=stage == 2, audio=stage == 2))
    trained = trainer.freeze(model, stage, training)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gradients = sum(p.numel() * p.element_size() for p in trained.values())
    # Adafactor keeps a row and a column of sums in place of a moment of the weights' size.
    moments = sum((p.shape[0] + p[0].numel() if p.dim() > 1 else p.numel()) * 4 for p in trained.values())
    # The network computes with a rounded copy of what the optimizer changes.
    rounded = sum(p.numel() * 2 for p in trained.values())
    assert (weights + rounded + gradients + moments) / 1e9 < 18


def test_the_models_code_stays_small():
    folder = Path(config.__file__).parent
    model, training = (
        ("model", "unet", "pose_encoder", "audio_driver"),
        ("data", "diffusion", "train", "trainer", "checkpoints"),
    )
    assert sum(len((folder / f"{name}.py").read_text().splitlines()) for name in model + training) < 1500
