"""Which of a machine's GPUs a job takes."""

import contextlib
import importlib.util
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from talking.core.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Held by a process and freed with it: a killed job leaves no file behind.
_HELD: list[socket.socket] = []


def run_onnx() -> bool:
    """Return True if this environment's ONNX Runtime can use GPUs: its package onnxruntime-gpu is installed in place of onnxruntime."""
    package = importlib.util.find_spec("onnxruntime")
    folders = package.submodule_search_locations if package else []
    return any((Path(folder) / "capi/libonnxruntime_providers_cuda.so").exists() for folder in folders)


def present() -> list[str]:
    """Return the ids of this machine's GPUs as nvidia-smi lists them, the parts of a split one; none without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    wholes = re.split(r"^(?=GPU )", listed, flags=re.MULTILINE)[1:]
    ids = [re.findall(r"UUID: ([^)\s]+)", whole) for whole in wholes]
    return [device for whole, *parts in ids for device in parts or [whole]]


def take(count: int) -> str | None:
    """Take so many GPUs for this process and the programs it starts; return the value for CUDA_VISIBLE_DEVICES.

    Returns None if it need not change: a scheduler has given as many, or there is no GPU and the model runs on processors. Waits
    while other jobs hold them. Raises InputError if the machine has some GPUs, but fewer.
    """
    if count == 0:
        return ""
    given = os.environ.get(VISIBLE)
    choice = present() if given is None else [device for device in given.split(",") if device]
    if not choice or (given is not None and len(choice) == count):
        return None
    if len(choice) < count:
        raise InputError(f"the job requests {count} GPUs, but there are {len(choice)}; lower gpu in the config.")
    is_told = False
    while len(taken := _hold(choice, count)) < count:
        if not is_told:
            print(f"All of {len(choice)} GPUs are in use by other jobs; waiting.", file=sys.stderr, flush=True)
            is_told = True
        time.sleep(random.uniform(0.2, 1))
    return ",".join(taken)


def _hold(choice: list[str], count: int) -> list[str]:
    """Hold so many of the devices, or none if not so many are free."""
    taken = []
    for device in choice:
        if len(taken) < count and _hold_one(device):
            taken.append(device)
    if len(taken) < count:
        while _HELD:
            _HELD.pop().close()
        return []
    return taken


def _hold_one(device: str) -> bool:
    """Hold a device by a name that the system gives to one process at a time."""
    held = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(OSError):
        held.bind(f"\0talking-gpu-{device}")
        held.set_inheritable(True)
        _HELD.append(held)
        return True
    held.close()
    return False
