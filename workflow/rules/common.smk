"""What all rules share: the folder of the code, the config as flags, the environment of jobs."""

import gc
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod


def code_folder():
    """Return the folder of the packages `talking` and `covog`: in the clone that this file is read from, else where they are installed.

    A module that comes from a local git repository is read from its history; the packages are those of its working files.
    """
    here = workflow.current_basedir.get_path_or_uri(secret_free=True)
    beside = Path(re.sub(r"^git\+file://(.*)@[^@]*$", r"\1", here)).parents[1] / "scripts"
    if (beside / "talking").is_dir():
        return beside
    if (installed := importlib.util.find_spec("talking")) is not None:
        return Path(installed.origin).parents[1]
    raise WorkflowError(f"the package talking is neither beside {here} nor installed; install it with pip.")


CODE = code_folder()
PROJECT = CODE.parent
if str(CODE) not in sys.path:
    sys.path.insert(0, str(CODE))

from talking.core.errors import InputError
from talking.runs import devices, environment, job_resources
from talking.runs.settings import checked_config

GPU_MODELS = set(
    "light_asd lr_asd talknet sapiens sapiens2 wav2vec2 hdemucs convtasnet whisper pyannote-community-1 pyannote-3.1".split()
)


def flags(section):
    """Return a config section as command-line flags, quoted for the shell."""
    return as_flags(config[section])


def as_flags(options):
    """Return a mapping of options as command-line flags, quoted for the shell."""
    words = []
    for key, value in options.items():
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words.extend([flag, *map(str, value)])
        elif value is not None:
            words.append(f"{flag}={in_results(value)}")
    return shlex.join(words)


def in_results(value):
    """Return an option's value; a path below results/ becomes one below RESULTS, as a module's prefix moves it."""
    is_place = isinstance(value, str) and value.startswith("results/")
    return str(RESULTS / value.removeprefix("results/")) if is_place else value


def film_flags(wildcards):
    """Return the options of a synthetic video of the config."""
    if wildcards.film not in config["films"]:
        raise WorkflowError(f"{wildcards.film} is not among the config's films; add it there or correct the name.")
    return as_flags(config["films"][wildcards.film])


def gpu_if(section):
    """Return the number of GPUs that the models chosen in a config section use."""
    return config["gpu"] if uses_gpu_model(section) else 0


def uses_gpu_model(section):
    """Return True if a config section chooses a network that is large enough for a GPU."""
    return any(config[section].get(key) in GPU_MODELS for key in ("model", "separation", "overlap"))


def each_attempt(amount):
    """Return a function that gives an amount, and half of it more for each further attempt."""
    return job_resources.with_signature(lambda wildcards, attempt: amount * (1 + attempt) // 2)


def intermediate(path):
    """Return a large output that no table over all videos and no gate reads; with delete_intermediates it is deleted after its last reader."""
    return temp(path) if config["delete_intermediates"] else path


# Jobs live until the run ends: with tens of thousands, Python's default search for garbage takes a third of the planning.
gc.freeze()
gc.set_threshold(200_000, 20, 100)

try:
    config.update(checked_config(config, Path(workflow.source_path("../schemas/config.schema.yaml"))))
    # Read by pip while conda makes an environment.
    environment.tell_jobs(TALKING_WITHOUT_REQUIREMENTS=str(CODE / "talking/without_requirements"))
    # What the pose model has found stays beside the poses, so that other clips of the same people need no model. No param, as a change
    # of it concerns no poses that there are.
    environment.tell_jobs(TALKING_LOOKS="--no-keep-looks" if config["delete_intermediates"] else "--keep-looks")
except InputError as error:
    raise WorkflowError(str(error))


# Used by --sdm apptainer only.
container: config["container"]


# Jobs find the command `talking`, which runs with the Python of the job's environment. Without conda that is the environment of
# Snakemake itself, activated or not.
is_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
# The envs that conda makes hold ONNX Runtime for processors: a GPU would be idle.
if devices.run_onnx() and not is_conda:
    GPU_MODELS |= {"centerface", "scrfd", "arcface"}
environment.find_first(str(CODE / "talking/bin"), *([] if is_conda else [os.path.dirname(sys.executable)]))


wildcard_constraints:
    video="[A-Za-z0-9][A-Za-z0-9_-]*",
    part=r"\d+of\d+",
