"""Jobs that share a machine's GPUs: each sees those that it was given, and no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPO
from talking.core import processors
from talking.runs import devices

LISTED = """GPU 0: NVIDIA H100 (UUID: GPU-a{0})
GPU 1: NVIDIA A100 (UUID: GPU-b{0})
  MIG 3g.20gb     Device  0: (UUID: MIG-c{0})
  MIG 3g.20gb     Device  1: (UUID: MIG-d{0})
"""
SHOW = "import os, sys; print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); sys.stdin.read()"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with one whole GPU and two halves of another, which no other test knows by these names; return its name."""
    name = f"{os.getpid()}-{tmp_path.name}"
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<END\n{LISTED.format(name)}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(REPO / "scripts"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return name


def start(count, program=SHOW):
    """Start a job that shows which devices it sees and stays until its input ends."""
    take = "import sys; from talking import __main__; __main__._take_gpus(sys.argv[1]); exec(sys.argv[2])"
    words = [sys.executable, "-PS", "-c", take, str(count), program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, text=True, **pipes)


def end(job):
    job.communicate(timeout=30)


def test_jobs_at_the_same_time_have_devices_of_their_own(machine):
    assert devices.present() == [f"GPU-a{machine}", f"MIG-c{machine}", f"MIG-d{machine}"]
    first, second = start(1), start(2)
    seen = [job.stdout.readline().strip() for job in (first, second)]
    assert sorted(",".join(seen).split(",")) == devices.present()
    # No device is left: the third job waits, and takes what the one that is killed had.
    third = start(1)
    assert "waiting" in third.stderr.readline()
    first.kill()
    assert third.stdout.readline().strip() == seen[0]
    for job in (first, second, third):
        end(job)


def test_a_job_that_asks_for_none_sees_none_and_one_that_asks_for_too_many_is_told(machine):
    none = start(0)
    assert none.stdout.readline() == "\n"
    end(none)
    many = start(4)
    assert many.wait(30) == 1 and "requests 4 GPUs, but there are 3" in many.stderr.read()


def test_what_a_scheduler_has_given_is_kept(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    # Two nodes' jobs may both be given a device 5: neither waits for the other.
    jobs = [start(1), start(1)]
    assert [job.stdout.readline().strip() for job in jobs] == ["5", "5"]
    for job in jobs:
        end(job)


def test_devices_that_the_user_has_hidden_stay_hidden(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.take(1) is None


def test_without_a_gpu_a_job_runs_as_it_is(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.take(1) is None and devices.take(0) == ""


@pytest.mark.skipif(not devices.present(), reason="needs a GPU")
def test_torch_sees_the_gpus_that_a_job_was_given_and_jobs_wait_for_each_other(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO / "scripts"))
    show = "import torch; print(torch.cuda.device_count(), flush=True); input()"
    whole = len(devices.present())
    none, every = start(0, show), start(whole, show)
    assert [none.stdout.readline(), every.stdout.readline()] == ["0\n", f"{whole}\n"]
    waiting = start(1, show)
    assert "waiting" in waiting.stderr.readline()
    every.kill()
    assert waiting.stdout.readline() == "1\n"
    for job in (none, every, waiting):
        job.communicate("\n", timeout=60)


def test_the_threads_of_a_job_are_those_that_snakemake_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert processors.threads_given() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert processors.threads_given() == 0


def test_a_gpu_is_given_by_name_only(monkeypatch):
    monkeypatch.setenv(processors.GPUS, "1")
    for value, given in (("GPU-a", True), ("", False), ("-1", False)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert processors.gpu_given() == given


@pytest.mark.parametrize("gpus", ["0", None])
def test_a_gpu_that_the_user_has_named_for_all_is_not_given_to_a_job_that_requests_none(gpus):
    command = "from talking.core import processors; print(processors.gpu_given())"
    words = [] if gpus is None else ["--gpus", gpus]
    code = f"import sys; sys.argv[1:] = {words + ['nothing']!r}\nfrom talking import __main__ as m\ntry: m.main()\nexcept Exception: pass\n{command}"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "GPU-a", "PYTHONPATH": str(REPO / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("is_there", [True, False])
def test_onnx_runtime_runs_on_gpus_if_its_package_has_the_part_for_them(is_there, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime/capi").mkdir(parents=True)
    (tmp_path / "onnxruntime/__init__.py").touch()
    if is_there:
        (tmp_path / "onnxruntime/capi/libonnxruntime_providers_cuda.so").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    assert devices.run_onnx() == is_there
