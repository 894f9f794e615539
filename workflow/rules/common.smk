"""What all rules share: the config, its flags, the sheet's videos, and the environment of jobs."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

SCRIPTS = Path(workflow.basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from talking.core import atomic
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset.store import SPLITS
from talking.runs import damage, devices, giving_up, marks, sheet, summary
from talking.runs.settings import checked_config
from talking.video import fetch


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
            words.append(f"{flag}={value}")
    return shlex.join(words)


def film_flags(wildcards):
    """Return the options of a film of the config."""
    if wildcards.film not in config["films"]:
        raise WorkflowError(f"{wildcards.film} is no film of the config; add it below films or correct the name.")
    return as_flags(config["films"][wildcards.film])


def gpu_if(section):
    """Return the number of GPUs that the models chosen in a config section use."""
    return config["gpu"] if uses_gpu_model(section) else 0


def uses_gpu_model(section):
    """Return True if a config section chooses a network that is large enough for a GPU."""
    return any(config[section].get(key) in GPU_MODELS for key in ("model", "separation"))


def intermediate(path):
    """Return a large output that no table over all videos and no gate reads; with delete_intermediates it goes once all is made of it."""
    return temp(path) if config["delete_intermediates"] else path


def of_videos(pattern):
    """Return a list of one path for each video of the sheet."""
    return expand(pattern, video=VIDEOS.index)


def products():
    """Return the files of a whole run."""
    wanted = [
        "results/dataset/clips.parquet",
        "results/report/clips.html",
        "results/no_failures.ok",
    ]
    if config["covog"]["train"] != "never":
        wanted += ["results/covog/metrics.parquet", "results/report/covog_metrics.html"]
    if config["strict"]:
        wanted.append("results/strict.ok")
    return wanted


GPU_MODELS = set(
    "light_asd lr_asd talknet sapiens sapiens2 wav2vec2 hdemucs whisper pyannote-community-1 pyannote-3.1".split()
)

try:
    config.update(checked_config(config, Path(workflow.basedir) / "schemas/config.schema.yaml"))
    check_results()
    if workflow.is_main_process and not workflow.output_settings.dryrun:
        bring_to_the_present()
    SHEET = resolved_sheet(config["videos"])
    # A job that begins later, and the report, read what the run was planned by.
    is_of_run = not workflow.is_main_process or "--report" in sys.argv
    planned_by = os.environ.get("TALKING_SHEET_OF_RUN", "") if is_of_run else ""
    VIDEOS = sheet.read_sheet(planned_by or SHEET).set_index("video", drop=False)
    check_films(VIDEOS["path"])
    if workflow.is_main_process:
        check_sources()
        if is_at_rest():
            make_damaged_again(damaged_files())
            try_failed_again()
        if not workflow.output_settings.dryrun:
            planned_by = planned_by or sheet_of_run()
    SHEET_OF_RUN = Path(planned_by or SHEET)
except InputError as error:
    raise WorkflowError(str(error))

# What a job's shell finds: the command lines as `talking COMMAND`, the sheet, and, where conda makes no envs, the environment that
# Snakemake itself runs in, activated or not. (Not params: a moved folder must not rerun anything.)
# Snakemake takes PYTHONPATH away from jobs in conda's envs, so the jobs themselves set it.
# A job that requests no GPU sees none, and need not start Python to be told so. A video's job whose last attempt fails gives up:
# its outputs are empty and the other videos go on.
shell.prefix(
    'set -euo pipefail; export PYTHONPATH={SCRIPTS:q}; talking() {{ python -P -m talking "$@"; }}; on_gpus() {{ local count=$1; shift;'
    ' if [ $count = 0 ]; then CUDA_VISIBLE_DEVICES= "$@"; else talking run-on-gpus $count python -P -m "$@"; fi; }}; '
    "give_up() {{ local status=$? rule=$1 video=$2 attempt=$3 log=$4; shift 4;"
    " [ $attempt -gt ${{TALKING_RETRIES:-0}} ] || return $status;"
    ' talking give-up --rule $rule --video $video --status $status --log "$log" --results results "$@" 2>> "$log"; }}; '
)
os.environ.update(SHEET=str(SHEET_OF_RUN), TALKING_SHEET_OF_RUN=str(planned_by))
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


wildcard_constraints:
    video="[A-Za-z0-9][A-Za-z0-9_-]*",
