"""Training as programs of their own: several processes by accelerate's launcher, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conftest import REPO
from covog import config, convert, stopping
from covog_clips import make_dataset
from covog_toys import TRAINING, training_settings
from talking.core import tables
from talking.core.errors import InputError

pytestmark = pytest.mark.slow

# Trains as train_covog does, but ends itself with a signal when it is about to take its fourth step. Its steps are so short that the
# processes would not ask each other before the last one.
FALLS = """
import os, sys
from covog import diffusion, stopping
from talking.core import cli
import train_covog
stopping.ASK_S = 0
whole, taken = diffusion.errors, []
def falling(prediction, *others):
    taken.append(prediction.requires_grad)
    if sum(taken) == 4 and os.environ.get("RANK", "0") == "0":
        os.kill(os.getpid(), int(os.environ["FALLS_BY"]))
    return whole(prediction, *others)
diffusion.errors = falling
cli.run(train_covog.main)
"""
# Trains in one process on what two would train on: its batches take turns in drawing as theirs.
AS_TWO = """
from covog import diffusion
from talking.core import cli
import train_covog
whole = diffusion.generator
def of_two(seed, stage, batch, *others, device="cpu"):
    if len(others) == 2:
        batch, others = batch // 2, (batch % 2, others[1])
    return whole(seed, stage, batch, *others, device=device)
diffusion.generator = of_two
cli.run(train_covog.main)
"""
TWO = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1", "--dynamo_backend=no"]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    make_dataset(folder / "dataset", frames=20)
    settings = training_settings(**vars(replace(TRAINING, steps=5, batch_size=1, accumulate=1, save_every=2)))
    settings.noise.condition_dropout = 0.5
    config.save(settings, folder / "config.yaml")
    settings.stage1 = replace(settings.stage1, save_every=10**6, log_every=10**6)
    config.save(settings, folder / "unsaved.yaml")
    (folder / "falls.py").write_text(FALLS)
    (folder / "as_two.py").write_text(AS_TWO)
    # With large epsilons a step is as large as its gradient, and norms of few values do not jump: rounding errors stay small.
    gentle = replace(settings.stage1, steps=4, save_every=1, adam_epsilon=0.01, ema=0.9)
    settings.model.norm_epsilon = 1.0
    settings.noise.condition_dropout = 0.0
    for name, stage in {
        "one": replace(gentle, accumulate=4),
        "sharded": replace(gentle, accumulate=2, shard=True),
    }.items():
        settings.stage1 = settings.stage2 = stage
        config.save(settings, folder / f"{name}.yaml")
    return folder


def run(
    work: Path,
    out: str,
    stage: int,
    processes: int,
    falls_by: int | None = None,
    settings: str = "config.yaml",
    script: str | None = None,
) -> subprocess.CompletedProcess:
    """Train in as many processes, on CPUs (gloo)."""
    launcher = [*TWO, f"--main_process_port={29500 + os.getpid() % 1000}"] if processes == 2 else []
    script = "falls.py" if falls_by else script
    program = [str(work / script)] if script else ["-m", "train_covog"]
    if launcher:
        program = program if script else ["--module", "train_covog"]
        program = ["-m", *launcher, "--mixed_precision=no", *program]
    return subprocess.run(
        [sys.executable, *program, "--stage", str(stage), "--config", work / settings]
        + ["--dataset", work / "dataset", "--folder", work / out],
        env=os.environ
        | {"PYTHONPATH": str(REPO / "scripts"), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        | {"FALLS_BY": str(falls_by or 0)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def result(folder: Path) -> tuple[list, convert.Tensors]:
    table = tables.read("covog_losses", folder / "losses.parquet")
    return table[["step", "kind", "loss"]].values.tolist(), convert.read_tensors(folder / "weights.safetensors")


def same(one: Path, other: Path) -> None:
    (losses, weights), (others, theirs) = result(one), result(other)
    assert losses == others
    assert all(torch.equal(weights[name], theirs[name]) for name in theirs)


def test_a_node_s_launcher_outside_slurm_says_so():
    without = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = [
        sys.executable,
        REPO / "scripts/launch_processes.py",
        "--across-nodes",
        "--processes",
        "2",
        "train-covog",
    ]
    done = subprocess.run(command, env=without, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("needs SLURM.\n") and "Traceback" not in done.stderr


@pytest.mark.parametrize(("seconds_a_step", "asked_after"), [(15.0, [1, 2, 3, 4]), (1.0, [1, 6, 11, 16])])
def test_processes_ask_each_other_every_few_seconds_however_slow_a_step_is(monkeypatch, seconds_a_step, asked_after):
    clock, asked = [0.0], []

    def reduce(value, reduction):
        asked.append(round(clock[0] / seconds_a_step))
        return 2 * value

    monkeypatch.setattr(stopping.time, "monotonic", lambda: clock[0])
    both = SimpleNamespace(num_processes=2, device="cpu", reduce=reduce)
    before = signal.getsignal(signal.SIGTERM)
    try:
        stop = stopping.Stop(both, 0)
        for step in range(1, asked_after[-1] + 1):
            clock[0] += seconds_a_step
            assert not stop(step, waits_anyway=False)
        os.kill(os.getpid(), signal.SIGTERM)
        clock[0] += seconds_a_step
        assert stop(step + 1, waits_anyway=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked[:-1] == asked_after


@pytest.fixture(scope="module")
def undisturbed(work):
    """Return a function that returns the folder of a training that nobody disturbed; each is run once."""

    @cache
    def undisturbed(processes: int, stage: int) -> Path:
        done = run(work, f"whole-{processes}-{stage}", stage, processes)
        assert done.returncode == 0, done.stderr
        return work / f"whole-{processes}-{stage}"

    return undisturbed


@pytest.mark.parametrize(("processes", "stage"), [(1, 1), (2, 2)])
def test_after_kill_9_a_rerun_gives_the_losses_and_weights_of_an_undisturbed_run(work, undisturbed, processes, stage):
    torn = f"torn-{processes}"
    assert run(work, torn, stage, processes, falls_by=9).returncode != 0
    assert sorted(p.name for p in (work / torn / "checkpoints").iterdir()) == ["step-0000002"]
    done = run(work, torn, stage, processes)
    assert done.returncode == 0, done.stderr
    same(work / torn, undisturbed(processes, stage))


def test_two_processes_train_on_twice_as_many_samples_and_a_sigterm_to_one_of_them_saves(work, undisturbed):
    one, two = (undisturbed(processes, stage=2) for processes in (1, 2))
    steps = [[row for row in result(folder)[0] if row[1] == "train"] for folder in (one, two)]
    assert [len(rows) for rows in steps] == [5, 5]
    # The same first sample, and another one in the second process.
    assert all(a != b for a, b in zip(*steps, strict=True))
    # At the fourth step nothing else is due for which processes wait.
    assert run(work, "stopped", 2, 2, falls_by=15, settings="unsaved.yaml").returncode != 0
    assert (work / "stopped/checkpoints/step-0000004").exists()
    done = run(work, "stopped", 2, 2)
    assert done.returncode == 0, done.stderr
    same(work / "stopped", two)


@pytest.mark.parametrize("stage", [1, 2])
def test_two_processes_that_share_out_the_weights_train_as_one_does(work, stage):
    one = run(work, f"one-{stage}", stage, 1, settings="one.yaml", script="as_two.py")
    assert one.returncode == 0, one.stderr
    sharded = run(work, f"sharded-{stage}", stage, 2, settings="sharded.yaml")
    assert sharded.returncode == 0, sharded.stderr
    (losses, weights), (others, theirs) = (result(work / f"{name}-{stage}") for name in ("one", "sharded"))
    assert [row[:2] for row in others] == [row[:2] for row in losses]
    assert [row[2] for row in others] == pytest.approx([row[2] for row in losses], rel=1e-4)
    assert weights.keys() == theirs.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-4, rtol=1e-3)
    for name in ("weights", "ema", "optimizer"):
        mine, kept = (
            convert.read_tensors(work / f"{n}-{stage}/checkpoints/step-0000004/{name}.safetensors")
            for n in ("one", "sharded")
        )
        assert {n: t.shape for n, t in mine.items()} == {n: t.shape for n, t in kept.items()}
    if stage == 2:
        assert run(work, "torn-sharded", stage, 2, falls_by=9, settings="sharded.yaml").returncode != 0
        assert (work / "torn-sharded/checkpoints/step-0000001").exists()
        done = run(work, "torn-sharded", stage, 2, settings="sharded.yaml")
        assert done.returncode == 0, done.stderr
        same(work / "torn-sharded", work / "sharded-2")


def test_what_cannot_be_shared_out_is_a_sentence():
    for changes in ({"optimizer": "adafactor"}, {"mixed_precision": "fp16"}):
        settings = config.Config(stage2=config.Training(shard=True, **changes))
        with pytest.raises(InputError, match=r"stage2\.shard needs optimizer adamw, and mixed_precision bf16 or no"):
            config.check(settings)
