"""Training: six steps of both stages with resume, its checkpoints, and its sentences."""

import dataclasses
import importlib.machinery
import os
import shutil
import signal
import sys
import threading
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from covog import checkpoints, config, convert, data, diffusion, latents, optimizers, train
from covog_clips import CHANNELS, LAYERS, make_dataset
from covog_toys import training_settings
from talking.core import tables
from talking.core.errors import InputError
from talking.dataset import store

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def on_processors():
    # Trainings are compared to the last bit, which GPUs need not repeat.
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ACCELERATE_USE_CPU", "1")
        # Nor do other numbers of threads, which a test before may have set in this process.
        torch.set_num_threads(1)
        yield


@pytest.fixture(autouse=True)
def fresh_accelerator():
    # accelerate keeps one arithmetic for a whole process; every training here is a process of its own otherwise.
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def dataset(once) -> Path:
    return once("training", lambda folder: make_dataset(folder / "dataset", frames=20)) / "dataset"


def losses(folder: Path) -> list[tuple]:
    table = tables.read("covog_losses", folder / "losses.parquet")
    return list(table[["step", "kind", "loss"]].itertuples(index=False, name=None))


def checkpoint(progress: checkpoints.Progress) -> checkpoints.Checkpoint:
    """Return a checkpoint without weights."""
    return checkpoints.Checkpoint(progress, {}, {"state": {}, "param_groups": []}, None)


def interrupted(monkeypatch, at: int) -> None:
    """Let training die without saving when it is about to take step `at`."""
    whole = diffusion.errors
    taken = []

    def dying(prediction, *others):
        taken.append(prediction.requires_grad)
        if sum(taken) > 2 * at:
            raise KeyboardInterrupt
        return whole(prediction, *others)

    monkeypatch.setattr(diffusion, "errors", dying)


@pytest.fixture(scope="module")
def whole_run(once, dataset) -> Path:
    def fill(folder: Path) -> None:
        train.train(training_settings(), 1, dataset, folder / "stage1")
        train.train(training_settings(), 2, dataset, folder / "stage2", start=[folder / "stage1/weights.safetensors"])

    return once("trained", fill)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_killed_run_goes_on_with_the_losses_of_an_uninterrupted_one(stage, dataset, whole_run, tmp_path, monkeypatch):
    start = [whole_run / "stage1/weights.safetensors"] if stage == 2 else []
    with monkeypatch.context() as patched:
        interrupted(patched, at=5)
        with pytest.raises(KeyboardInterrupt):
            train.train(training_settings(), stage, dataset, tmp_path, start=start)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-0000002", "step-0000004"]
    assert not (tmp_path / "weights.safetensors").exists()
    train.train(training_settings(), stage, dataset, tmp_path, start=start)
    assert losses(tmp_path) == losses(whole_run / f"stage{stage}")
    one, other = (convert.read_tensors(f / "weights.safetensors") for f in (tmp_path, whole_run / f"stage{stage}"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_what_a_run_leaves_behind(whole_run):
    for stage in (1, 2):
        folder = whole_run / f"stage{stage}"
        assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-0000004", "step-0000006"]
        assert config.load(folder / "config.yaml").model.motion == (stage == 2)
        assert any((folder / "tensorboard").iterdir())
        assert {"git_revision", "data_set", "data_set_sha256", "versions"} <= set(
            (folder / "provenance.json").read_text().split('"')
        )
        kinds = [(step, kind) for step, kind, _ in losses(folder)]
        assert [s for s, kind in kinds if kind == "validation"] == [0, 3, 6]
        assert [s for s, kind in kinds if kind == "train"] == [1, 2, 3, 4, 5, 6]
    model = convert.read_model(whole_run / "stage2/weights.safetensors")
    assert (model.config.audio_layers, model.config.audio_channels) == (LAYERS, CHANNELS)


def drawn(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "validation").iterdir()}


@pytest.mark.parametrize("stage", [1, 2])
def test_validation_pictures_change_nothing_in_a_training_nor_does_a_resume_in_them(
    stage, dataset, whole_run, tmp_path, monkeypatch
):
    start = [whole_run / "stage1/weights.safetensors"] if stage == 2 else []
    settings = training_settings(validation_steps=2)
    train.train(settings, stage, dataset, tmp_path / "whole", start=start)
    assert losses(tmp_path / "whole") == losses(whole_run / f"stage{stage}")
    found = drawn(tmp_path / "whole")
    assert sorted(found) == ["step_000000.jpg", "step_000003.jpg", "step_000006.jpg"]
    assert len(set(found.values())) == 3
    pictures = [
        cv2.imdecode(np.frombuffer(found[name], np.uint8), cv2.IMREAD_COLOR).astype(float) for name in sorted(found)
    ]
    # Two samples of stage 1, or the three frames of a window; the truth above, the same each time.
    assert pictures[0].shape == (2 * 40, (3 if stage == 2 else 2) * 64, 3)
    assert np.array_equal(pictures[0][:24], pictures[2][:24])
    fixed = data.FixedSamples(data.segments(dataset, settings.data)[1], 3 if stage == 2 else 1, 2, settings.data)
    truth = np.concatenate(
        [p for n in range(2 if stage == 1 else 1) for p in fixed.batch(n)["pictures"][0].permute(1, 2, 3, 0).numpy()],
        axis=1,
    )
    # The code of the pictures keeps the mean of each 8×8 px.
    shown, wanted = (p.reshape(5, 8, -1, 8, 3).mean(axis=(1, 3)) for p in (pictures[0][:40], truth))
    assert np.abs(shown - wanted).mean() < 2
    assert np.abs(pictures[0][40:] - pictures[0][:40]).mean() > 10
    with monkeypatch.context() as patched:
        interrupted(patched, at=5)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, stage, dataset, tmp_path / "again", start=start)
    (tmp_path / "again/validation/step_000009.jpg").write_bytes(b"of a training before")
    train.train(settings, stage, dataset, tmp_path / "again", start=start)
    assert losses(tmp_path / "again") == losses(whole_run / f"stage{stage}")
    assert drawn(tmp_path / "again") == found


def test_validation_pictures_are_drawn_from_cached_latents_too(dataset, tmp_path):
    settings = training_settings(validation_steps=1, steps=1, mixed_precision="bf16")
    cache = tmp_path / "latents"
    latents.cache_all(store.split(dataset, "train"), cache, settings, torch.device("cpu"))
    train.train(settings, 1, dataset, tmp_path / "run", cache=cache)
    assert sorted(drawn(tmp_path / "run")) == ["step_000000.jpg", "step_000001.jpg"]


def test_every_step_records_its_gradients_norm_and_its_errors_by_noise(whole_run):
    table = tables.read("covog_losses", whole_run / "stage1/losses.parquet")
    train, validation = (table[table["kind"] == kind] for kind in ("train", "validation"))
    assert (train["gradient_norm"] > 0).all()
    assert validation["gradient_norm"].isna().all()
    errors = np.stack(train["error_by_noise"])
    assert errors.shape == (6, 4)
    assert np.isfinite(errors).any(axis=1).all()
    # Two fixed samples, at the middle of each half of the timesteps.
    assert np.isfinite(np.stack(validation["error_by_noise"])).tolist() == [[False, True, False, True]] * 3


@pytest.mark.parametrize("stage", [1, 2])
def test_the_weight_of_mouths_enters_the_loss_and_dropped_lips_the_poses(stage, dataset, tmp_path):
    def first_loss(name: str, **changes) -> float:
        settings = training_settings(steps=1)
        settings.data = dataclasses.replace(settings.data, **changes)
        train.train(settings, stage, dataset, tmp_path / name)
        return losses(tmp_path / name)[0][2]

    plain, three, five = (first_loss(f"mouth_{w}", mouth_weight=w) for w in (1.0, 3.0, 5.0))
    assert three > plain
    assert five - plain == pytest.approx(2 * (three - plain), rel=1e-4)
    assert first_loss("without_lips", lips="dropped", mouth_weight=3.0) == pytest.approx(three, rel=0.1)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_model_of_differences_trains_on_crops_of_what_poses_have_moved(stage, dataset, tmp_path):
    settings = training_settings(steps=2, validation_steps=1, mixed_precision="bf16")
    widths = {"differences": True, "latent_channels": 48, "pose_adaptor_channels": [4, 4, 8, 8]}
    settings.model = dataclasses.replace(settings.model, **widths)
    # The first one is higher than the picture.
    crop = (64, 32)[stage - 1]
    settings.data = dataclasses.replace(settings.data, crop=crop, warped=True, variation=0.5, mouth_weight=3.0)
    latents.cache_all(store.split(dataset, "train"), tmp_path / "latents", settings, torch.device("cpu"))
    train.train(settings, stage, dataset, tmp_path / "run", cache=tmp_path / "latents")
    assert np.isfinite([loss for *_, loss in losses(tmp_path / "run")]).all()
    # Validation is of whole pictures.
    shown = cv2.imread(str(max((tmp_path / "run/validation").glob("*.jpg"))))
    assert shown.shape[0] == 2 * settings.data.height
    for differences, crop, said in ((False, 32, "need model.differences"), (True, 20, "data.crop is 20")):
        settings.model.differences, settings.data.crop = differences, crop
        with pytest.raises(InputError, match=said):
            train.train(settings, stage, dataset, tmp_path / "other", cache=tmp_path / "latents")


def test_a_training_of_differences_needs_no_noise_and_writes_no_reference_unet(dataset, tmp_path, monkeypatch):
    settings = training_settings(steps=1)
    settings.model = dataclasses.replace(settings.model, differences=True, pose_adaptor_channels=[4, 4, 8, 8])
    monkeypatch.setattr(diffusion, "noise_like", None)
    train.train(settings, 1, dataset, tmp_path / "1")
    train.train(settings, 2, dataset, tmp_path / "2", start=[tmp_path / "1/weights.safetensors"])
    parts = {name.split(".")[0] for name in convert.read_tensors(tmp_path / "2/weights.safetensors")}
    assert parts == {"denoising_unet", "pose_guider", "pose_adaptor", "audio_driver"}


def test_checkpoints_are_written_by_time_too(dataset, tmp_path):
    settings = training_settings(save_every=0, save_minutes=1e-9, keep=9, steps=3)
    train.train(settings, 1, dataset, tmp_path)
    found = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert found == [f"step-000000{n}" for n in (1, 2, 3)]


def test_a_checkpoint_holds_what_there_was_when_it_was_asked_for(tmp_path, monkeypatch):
    goes_on, write = threading.Event(), checkpoints.write
    monkeypatch.setattr(checkpoints, "write", lambda *content: (goes_on.wait(60), write(*content)))
    writer = checkpoints.Writer(tmp_path, keep=1)
    weights, moments, averages = torch.zeros(3, 3)
    optimizer = {"state": {0: {"m": moments}}, "param_groups": []}
    writer.write(checkpoints.Checkpoint(checkpoints.Progress({}, step=1), {"w": weights}, optimizer, {"w": averages}))
    for tensor in (weights, moments, averages):
        tensor += 1
    goes_on.set()
    writer.close()
    found = checkpoints.latest(tmp_path, {})
    assert not any(tensor.any() for tensor in (found.weights["w"], found.optimizer["state"][0]["m"], found.ema["w"]))


def test_a_cosine_falls_from_the_warm_up_to_nothing_and_is_part_of_a_trainings_identity(dataset, tmp_path):
    training = config.Training(learning_rate=1.0, warmup_steps=4, steps=20, rate_schedule="cosine")
    rates = [optimizers.learning_rate(training, step) for step in range(20)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[11] == pytest.approx(0.5)
    assert rates[19] == pytest.approx(0)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    training.rate_schedule = "constant"
    assert optimizers.learning_rate(training, 19) == 1
    train.train(training_settings(rate_schedule="cosine", steps=2), 1, dataset, tmp_path)
    with pytest.raises(InputError, match=r"other settings \(decay_steps\)"):
        train.train(training_settings(rate_schedule="cosine", steps=3), 1, dataset, tmp_path)


def test_each_stage_trains_its_parts_and_no_others(whole_run):
    first = convert.read_tensors(whole_run / "stage1/weights.safetensors")
    second = convert.read_tensors(whole_run / "stage2/weights.safetensors")
    assert all(torch.equal(second[name], first[name]) for name in first)
    assert {n.split(".")[0] for n in second.keys() - first.keys()} == {"audio_driver", "denoising_unet"}
    proj_out = [n for n in second if n.startswith("audio_driver.") and n.endswith("proj_out.weight")]
    assert len(proj_out) == 5
    # Both start at zero: the sound has begun to matter.
    assert all(second[n].abs().max() > 0 for n in proj_out)
    zero_convs = [n for n in second if n.endswith("zero_conv.weight")]
    assert all(second[n].abs().max() > 0 for n in zero_convs)


def test_averaged_weights_are_what_is_written(whole_run):
    folder = whole_run / "stage1"
    ema = convert.read_tensors(folder / "checkpoints/step-0000006/ema.safetensors")
    written = convert.read_tensors(folder / "weights.safetensors")
    raw = convert.read_tensors(folder / "checkpoints/step-0000006/weights.safetensors")
    name = "denoising_unet.conv_out.weight"
    assert torch.equal(written[name], ema[name])
    assert not torch.equal(written[name], raw[name])


def test_sigterm_saves_and_stops_and_a_rerun_finishes(dataset, whole_run, tmp_path, monkeypatch):
    whole = diffusion.errors
    taken = []

    def signalling(prediction, *others):
        taken.append(prediction.requires_grad)
        if sum(taken) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(prediction, *others)

    with monkeypatch.context() as patched:
        patched.setattr(diffusion, "errors", signalling)
        with pytest.raises(train.Stopped, match="stopped by SIGTERM at step 3 and saved"):
            train.train(training_settings(), 1, dataset, tmp_path)
    assert (tmp_path / "checkpoints/step-0000003").exists()
    train.train(training_settings(), 1, dataset, tmp_path)
    assert losses(tmp_path) == losses(whole_run / "stage1")


@pytest.fixture
def copied(whole_run, tmp_path) -> Path:
    shutil.copytree(whole_run / "stage1/checkpoints", tmp_path / "checkpoints")
    return tmp_path


def test_changed_settings_are_refused_by_name_and_more_steps_are_not(dataset, copied):
    with pytest.raises(InputError, match=r"other settings \(training\.learning_rate\)"):
        train.train(training_settings(learning_rate=1e-2), 1, dataset, copied)
    train.train(training_settings(steps=7), 1, dataset, copied)
    assert losses(copied)[-1][0] == 7


@pytest.fixture
def other_dataset(tmp_path) -> Path:
    return make_dataset(tmp_path / "other", people=(2, 2), frames=20)


def test_a_finished_training_makes_way_for_one_on_another_data_set(other_dataset, copied, caplog):
    train.train(training_settings(steps=6, keep=1), 1, other_dataset, copied)
    assert "data_set changed since the last training" in caplog.text
    assert sorted(p.name for p in (copied / "checkpoints-before").iterdir()) == ["step-0000004", "step-0000006"]
    assert [step for step, kind, _ in losses(copied) if kind == "train"] == [1, 2, 3, 4, 5, 6]


def test_an_unfinished_training_is_not_lost_to_another_data_set(other_dataset, copied):
    shutil.rmtree(copied / "checkpoints/step-0000006")
    with pytest.raises(InputError, match=r"step-0000004 was trained with other settings \(data_set\)"):
        train.train(training_settings(), 1, other_dataset, copied)
    assert (copied / "checkpoints/step-0000004").exists()


def test_a_damaged_checkpoint_is_passed_over(dataset, whole_run, copied, caplog):
    (copied / "checkpoints/step-0000006/optimizer.safetensors").write_bytes(b"rubbish")
    train.train(training_settings(), 1, dataset, copied)
    assert "step-0000006 is damaged" in caplog.text
    assert losses(copied) == losses(whole_run / "stage1")


def test_a_full_disk_keeps_the_checkpoints_before(copied, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = sorted((copied / "checkpoints").iterdir())
    monkeypatch.setattr(checkpoints.convert, "write_tensors", full)
    progress = checkpoints.Progress({}, step=8)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(copied / "checkpoints", checkpoint(progress), keep=1)
    assert sorted((copied / "checkpoints").iterdir()) == before


def test_nan_loss_and_full_gpu_are_sentences_that_name_the_step(dataset, copied, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(diffusion, "errors", lambda prediction, *_: prediction.flatten(1).mean(1) * float("nan"))
        with pytest.raises(InputError, match=r"the loss is nan at step 6; lower stage1\.learning_rate"):
            train.train(training_settings(steps=8), 1, dataset, copied)

    def full(*_):
        raise torch.cuda.OutOfMemoryError

    with monkeypatch.context() as patched:
        patched.setattr(diffusion, "errors", full)
        with pytest.raises(InputError, match="the GPU's memory is full at step 6"):
            train.train(training_settings(steps=8), 1, dataset, copied)

    # What torch itself says of a machine that has too little.
    monkeypatch.setattr(diffusion, "errors", lambda *_: torch.empty(1 << 60))
    with pytest.raises(InputError, match="the machine's memory is full at step 6"):
        train.train(training_settings(steps=8), 1, dataset, copied)


def test_a_disk_that_fills_up_at_the_end_is_a_sentence_and_the_checkpoint_stays(
    dataset, whole_run, copied, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(train.convert, "write_model", full)
        with pytest.raises(OSError, match="No space left"):
            train.train(training_settings(), 1, dataset, copied)
    train.train(training_settings(), 1, dataset, copied)
    assert losses(copied) == losses(whole_run / "stage1")


def test_a_corrupt_cache_ends_training_with_its_name(dataset, tmp_path):
    settings = training_settings()
    settings.data.max_broken = 1
    cache = tmp_path / "latents"
    latents.cache_all(store.split(dataset, "train"), cache, settings, torch.device("cpu"))
    for file in cache.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"validation sample 0, .*\.safetensors is missing or damaged"):
        train.train(settings, 1, dataset, tmp_path / "run", cache=cache)
    settings.encoders.vae = "elsewhere"
    with pytest.raises(InputError, match="made with other frozen encoders"):
        train.train(settings, 1, dataset, tmp_path / "other", cache=cache)


def test_a_data_set_with_too_few_clips_is_a_sentence_or_an_empty_file(tmp_path, caplog):
    settings = training_settings()
    settings.data.frames = 12
    for frames, people, side in ((10, (2, 2), "train on"), (40, (2,), "validate on"), (20, (), "train on")):
        dataset = make_dataset(tmp_path / f"{frames}", people=people, frames=frames)
        with pytest.raises(InputError, match=f"no clip with the 12 frames of a window to {side}; add videos"):
            train.train(settings, 1, dataset, tmp_path / "run")
        for stage in (1, 2):
            train.train(settings, stage, dataset, tmp_path / "run", allow_empty=True)
            assert (tmp_path / "run/weights.safetensors").read_bytes() == b""
            assert losses(tmp_path / "run") == []
    assert "nothing is trained" in caplog.text


def test_tensorboard_has_losses_and_pictures_and_a_resume_takes_back_the_steps_after_it(dataset, tmp_path, monkeypatch):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = training_settings(validation_steps=1, steps=4)
    with monkeypatch.context() as patched:
        interrupted(patched, at=3)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, 1, dataset, tmp_path)
    train.train(settings, 1, dataset, tmp_path)
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    table = tables.read("covog_losses", tmp_path / "losses.parquet")
    for kind in ("train", "validation"):
        rows = table[table["kind"] == kind]
        shown = {event.step: event.value for event in events.Scalars(f"{kind}/loss")}
        assert shown == pytest.approx(dict(zip(rows["step"], rows["loss"], strict=True)))
    assert [event.step for event in events.Images("validation/pictures")] == [0, 3, 4]


def test_weights_and_biases_gets_the_same(dataset, tmp_path, monkeypatch):
    said = []
    run = types.SimpleNamespace(log=lambda values, step=None: said.append((step, values)), finish=lambda: None)
    stand_in = types.ModuleType("wandb")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    stand_in.init, stand_in.Image = lambda **_: run, lambda picture: picture.shape
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    train.train(training_settings(validation_steps=1, steps=1, log_with="wandb"), 1, dataset, tmp_path)
    assert [(step, sorted(values)[0]) for step, values in said] == [
        (0, "validation/error_by_noise/1"),
        (0, "validation/pictures"),
        (1, "train/error_by_noise/0"),
        (1, "validation/error_by_noise/1"),
        (1, "validation/pictures"),
    ]
    assert said[1][1]["validation/pictures"] == [(80, 128, 3)]
    assert not (tmp_path / "tensorboard").exists()


def test_missing_weights_and_packages_are_sentences(dataset, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.safetensors does not exist"):
        train.train(training_settings(), 2, dataset, tmp_path, start=[tmp_path / "none.safetensors"])
    with pytest.raises(InputError, match="log_with: wandb needs the package wandb; install it"):
        train.train(training_settings(log_with="wandb"), 1, dataset, tmp_path)
    # Neither is part of the environments.
    monkeypatch.setattr(optimizers, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs the package bitsandbytes or torchao"):
        train.train(training_settings(optimizer="adamw_8bit"), 1, dataset, tmp_path)


@pytest.mark.parametrize(
    "options", [{"mixed_precision": "bf16", "checkpointing": True}, {"optimizer": "adafactor", "deterministic": True}]
)
def test_other_arithmetic_and_optimisers_run(options, dataset, whole_run, tmp_path):
    settings = training_settings(steps=1, batch_size=1, accumulate=1, validation_samples=1, **options)
    train.train(settings, 2, dataset, tmp_path, start=[whole_run / "stage1/weights.safetensors"])
    assert losses(tmp_path)[1][0] == 1


def test_torchaos_8_bit_adam_trains_as_adam_does_and_resumes_to_the_last_bit(dataset, whole_run, tmp_path, monkeypatch):
    pytest.importorskip("torchao.optim")
    monkeypatch.setattr(optimizers, "find_spec", lambda name: name == "torchao" or None)
    settings = training_settings(optimizer="adamw_8bit", steps=4)
    # Large enough for moments of 8 bits.
    settings.model.block_out_channels = [32, 32, 64, 128]
    train.train(settings, 2, dataset, tmp_path / "whole")
    with monkeypatch.context() as patched:
        interrupted(patched, at=3)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, 2, dataset, tmp_path / "torn")
    moments = convert.read_tensors(tmp_path / "torn/checkpoints/step-0000002/optimizer.safetensors")
    assert any(name.endswith("exp_avg/codes") and t.dtype == torch.uint8 for name, t in moments.items())
    train.train(settings, 2, dataset, tmp_path / "torn")
    assert losses(tmp_path / "torn") == losses(tmp_path / "whole")
    plain = dataclasses.replace(settings, stage2=dataclasses.replace(settings.stage2, optimizer="adamw"))
    train.train(plain, 2, dataset, tmp_path / "plain")
    eight, full = ([row[2] for row in losses(tmp_path / name)] for name in ("whole", "plain"))
    assert eight == pytest.approx(full, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(
    "options",
    [
        {"mixed_precision": "fp16"},
        {"mixed_precision": "bf16", "compile": True},
        {"mixed_precision": "bf16", "cuda_graph": True},
        {"deterministic": True},
        {"optimizer": "adamw_8bit"},
    ],
)
def test_what_only_a_gpu_runs(options, dataset, whole_run, tmp_path, monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    if options.get("optimizer"):
        pytest.importorskip("bitsandbytes")
    settings = training_settings(steps=2, **options)
    train.train(settings, 2, dataset, tmp_path, start=[whole_run / "stage1/weights.safetensors"])
    assert losses(tmp_path)[-2][0] == 2


def test_a_graph_without_a_gpu_is_a_sentence(dataset, tmp_path):
    with pytest.raises(InputError, match="cuda_graph needs one CUDA GPU, mixed_precision bf16 and no checkpointing"):
        train.train(training_settings(cuda_graph=True), 1, dataset, tmp_path)


def test_loading_processes_give_the_same_samples(dataset, whole_run, tmp_path):
    settings = training_settings(steps=2)
    settings.data.workers = 2
    train.train(settings, 1, dataset, tmp_path)
    assert losses(tmp_path)[:3] == losses(whole_run / "stage1")[:3]


def test_a_new_checkpoint_outlives_damaged_ones_of_later_steps(tmp_path):
    for step in (400, 500):
        (tmp_path / f"step-{step:07d}").mkdir()
    for step in (10, 20, 30):
        progress = checkpoints.Progress({}, step=step, scaler={})
        checkpoints.write(tmp_path, checkpoint(progress), keep=2)
        assert checkpoints.latest(tmp_path, {}).progress.step == step
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-0000020", "step-0000030"]


def test_recomputing_more_continues_from_the_last_checkpoint_and_another_size_is_refused(tmp_path):
    known = {"training": {"checkpointing": False, "batch_size": 2}}
    checkpoints.write(tmp_path, checkpoint(checkpoints.Progress(known, step=3)), keep=1)
    assert checkpoints.latest(tmp_path, {"training": {"checkpointing": True, "batch_size": 2}}).progress.step == 3
    with pytest.raises(InputError, match=r"other settings \(training.batch_size\)"):
        checkpoints.latest(tmp_path, {"training": {"checkpointing": False, "batch_size": 1}})
