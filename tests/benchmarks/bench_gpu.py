"""Time training and generation of the full-size model on a GPU, with random weights at the published widths.

    python tests/benchmarks/bench_gpu.py [--steps 12] [--only stage2] [--small]

Pictures of 640×384, windows of 15 frames, clips of three people at 1080 lines. Each line is a real run of the training loop,
of which only the writing of weights is left out; the first steps, which choose algorithms, do not count. The operations of a
step are counted by torch as they are done, those that are repeated to save memory included, and set against what a product
of two bf16 matrices of 8192×8192 reaches on the same GPU. docs/benchmarks.md keeps what was found.
"""

import argparse
import contextlib
import gc
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "scripts"), str(REPO / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402
from diffusers import AutoencoderKL  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection  # noqa: E402

import covog_clips  # noqa: E402
from covog import checkpoints, command_line, config, generate, journal, latents, train, trainer  # noqa: E402
from covog.frozen_encoders import FrozenEncoders  # noqa: E402
from covog.model import CovOG  # noqa: E402
from covog.precision import DTYPES  # noqa: E402
from talking.core import tables  # noqa: E402
from talking.core.errors import InputError  # noqa: E402
from talking.dataset import store  # noqa: E402

PEOPLE, CLIP_FRAMES, VIDEO = 3, 150, (1920, 1080)
SOUND_LAYERS, SOUND_WIDTH = 12, 768
# Steps before those that count, of which the last one is the one whose operations are counted.
WARM = 4
# Any attention that needs another kernel is an error there.
ONLY_FLASH = "stage2, adamw, bf16, flash attention and no other"
CASES = {
    "stage1, 4 clips, adamw, bf16": (1, {"batch_size": 4}),
    "stage1, 1 clip, adamw, bf16": (1, {}),
    "stage2, adamw, bf16": (2, {}),
    ONLY_FLASH: (2, {}),
    "stage2, adamw, bf16, activations recomputed": (2, {"checkpointing": True}),
    "stage2, adamw, bf16, cheap activations recomputed": (
        2,
        {"checkpointing": True, "checkpointing_keeps": "products"},
    ),
    "stage2, adamw_8bit, bf16 (the preset paper)": (2, {"optimizer": "adamw_8bit"}),
    "stage2, adamw, bf16, CUDA graph": (2, {"cuda_graph": True}),
    "compiled stage2, adamw, bf16": (2, {"compile": True}),
    "compiled stage2, adamw, bf16, CUDA graph": (2, {"compile": True, "cuda_graph": True}),
}
SMALL = {
    "block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "heads": 4, "cross_attention_dim": 32,
    "pose_guider_channels": [4, 4, 8, 8], "pose_adaptor_channels": [4, 4, 4, 8], "motion_heads": 4,
    "audio_hidden": 8, "audio_tokens": 3, "audio_dim": 16,
}  # fmt: skip


def write_clips(root: Path, video: tuple[int, int]) -> None:
    """Write a data set of a clip to train on and one to validate on."""
    covog_clips.WIDTH, covog_clips.HEIGHT = video
    names = [f"toy_v{n}_000000to000150" for n in range(2)]
    for name in names:
        clip = covog_clips.make(root / name, frames=CLIP_FRAMES, people=PEOPLE, busy=True)
        heard = np.random.default_rng(0).normal(size=(CLIP_FRAMES, SOUND_LAYERS, SOUND_WIDTH))
        np.savez(clip / "sound.npz", sound=heard.astype(np.float16))
    (root / "splits").mkdir()
    for part, clips in {"train": names[:1], "val": names[1:], "test_easy": [], "test_hard": []}.items():
        (root / "splits" / f"{part}.json").write_text(json.dumps([{"clip": name} for name in clips]))


def write_encoders(folder: Path, token_width: int, is_small: bool) -> config.Encoders:
    """Write a VAE and a CLIP encoder of the published widths with random weights."""
    widths = (32, 32, 32, 32) if is_small else (128, 256, 512, 512)
    AutoencoderKL(
        block_out_channels=widths, layers_per_block=2, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    clip = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    if is_small:
        clip = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    shared = {"image_size": 224, "patch_size": 14, "projection_dim": token_width}
    CLIPVisionModelWithProjection(CLIPVisionConfig(**clip, **shared)).save_pretrained(folder / "clip")
    return config.Encoders(str(folder / "vae"), str(folder / "clip"), "")


def matrix_speed(device: torch.device, size: int) -> float:
    """Return the operations a second of products of two bf16 matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = [timed(lambda: a @ b, device) for _ in range(20)]
    return 2 * size**3 / float(np.median(seconds[5:]))


def timed(act, device: torch.device) -> float:
    """Return the seconds that a call takes on the device."""
    wait(device)
    since = time.perf_counter()
    act()
    wait(device)
    return time.perf_counter() - since


def wait(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget(device: torch.device) -> None:
    """Let the next case begin with an empty GPU and a high-water mark of its own."""
    AcceleratorState._reset_state(True)
    torch.compiler.reset()
    # accelerate leaves a model in a circle of references.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def train_some(folder: Path, settings: config.Config, stage: int, device: torch.device) -> dict[str, float]:
    """Train a few steps; return seconds and images a second of a step, most memory and the operations of one step."""
    training = settings.stage1 if stage == 1 else settings.stage2
    counter = FlopCounterMode(display=False)
    told = train._out_of_memory_told

    @contextlib.contextmanager
    def counted(step: int):
        # What torch has compiled passes the counter by.
        counts = step == WARM - 1 and not training.compile
        with told(step), counter if counts else contextlib.nullcontext():
            yield

    def made_on_device(widths: config.Model) -> CovOG:
        # Billions of random values are drawn in a second there.
        with device:
            return CovOG(widths)

    run = folder / "run"
    with (
        mock.patch.multiple(train, _out_of_memory_told=counted),
        mock.patch.multiple(trainer, CovOG=made_on_device),
        mock.patch.object(checkpoints, "write"),
        mock.patch.object(train.convert, "write_model"),
    ):
        train.train(settings, stage, folder / "dataset", run, cache=folder / "latents")
    table = tables.read("covog_losses", run / "losses.parquet")
    rows = table[(table["kind"] == "train") & (table["step"] > WARM)]
    images = training.batch_size * (settings.data.frames if stage == 2 else 1)
    speed = float(rows["images_per_s"].median())
    found = {"s/step": images / speed, "images/s": speed, "GB": float(rows["memory_gb"].max())}
    if operations := counter.get_total_flops():
        found |= {"TFLOP/step": operations / 1e12, "TFLOP/s": operations * speed / images / 1e12}
    return found


def generate_some(settings: config.Config, clip: Path, precision: str, device: torch.device) -> str:
    """Generate two windows twice; return what the second time took."""
    torch.manual_seed(0)
    with device:
        network = CovOG(settings.model)
    overlap = settings.data.frames // 3
    made = config.Generation(precision=precision, window=settings.data.frames, overlap=overlap)
    encoders = FrozenEncoders(settings.encoders, settings.model)
    network.to(DTYPES[precision])
    generator = generate.Generator(network, encoders, settings.noise, made, device)
    script = generate.script_of(store.Clip(clip))
    script.end = 2 * made.window - overlap
    _, seconds = (timed(lambda: list(generator.video(script, settings.data)), device) for _ in range(2))
    return (
        f"{made.steps} steps, guidance {made.guidance}: {script.frames / seconds:.3g} frames/s, "
        f"{seconds / 2:.3g} s a window of {made.window}, {journal.memory_gb(device):.1f} GB"
    )


def main() -> None:
    """Time everything that is asked for, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=12, help="training steps of each case that count")
    parser.add_argument("--only", default="", help="only cases that have this in their name")
    parser.add_argument("--small", action="store_true", help="a toy, to see whether this program works")
    arguments = parser.parse_args()
    device = command_line.device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "a processor"
    peak = matrix_speed(device, 256 if arguments.small else 8192)
    print(f"{name}, torch {torch.__version__}: {peak / 1e12:.4g} TFLOP/s with bf16 matrices", flush=True)
    model = config.Model(**(SMALL if arguments.small else {}))
    size = config.Data(width=64, height=40, frames=3) if arguments.small else config.Data()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_clips(folder / "dataset", (320, 180) if arguments.small else VIDEO)
        encoders = write_encoders(folder, model.cross_attention_dim, arguments.small)
        # A step without the reference is another one, and cheaper.
        always = config.Noise(condition_dropout=0.0)
        settings = config.Config(model=model, encoders=encoders, data=size, noise=always)
        clips = sorted((folder / "dataset").glob("toy_*"))
        seconds = timed(lambda: latents.cache_all(clips, folder / "latents", settings, device), device)
        speed = len(clips) * CLIP_FRAMES / seconds
        print(f"cache_latents: {speed:.1f} frames/s, decoding and loading of the networks included", flush=True)
        for case, (stage, changes) in CASES.items():
            if arguments.only not in case:
                continue
            forget(device)
            of = config.Training(**{"mixed_precision": "bf16", "validation_samples": 1} | changes)
            of.steps, of.log_every, of.save_every, of.validate_every = WARM + arguments.steps, WARM, 10**6, 10**6
            since = time.monotonic()
            kernels = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if case == ONLY_FLASH else contextlib.nullcontext()
            try:
                with kernels:
                    row = train_some(folder, replace(settings, **{f"stage{stage}": of}), stage, device)
            except InputError as error:
                print(f"{case}: {error}", flush=True)
                continue
            if "TFLOP/s" in row:
                row["of the matrices' speed"] = row["TFLOP/s"] * 1e12 / peak
            said = ", ".join(f"{value:.3g} {unit}" for unit, value in row.items())
            print(f"{case}: {said} ({time.monotonic() - since:.0f} s in all)", flush=True)
        for precision in ("bf16", "no"):
            if arguments.only in f"generation, {precision}":
                forget(device)
                print(f"generation, {precision}, {generate_some(settings, clips[0], precision, device)}", flush=True)


if __name__ == "__main__":
    main()
