import fcntl
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import yaml

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

SCRIPTS = Path(workflow.basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from talking import aside, damage, devices, fetch, giving_up, marks, sheet, summary
from talking.errors import InputError
from talking.settings import checked_config
from talking.store import SPLITS


def check_results():
    """Raise InputError if nothing can be written below results/."""
    results = Path("results").resolve()
    if results.exists() and not (results.is_dir() and os.access(results, os.W_OK | os.X_OK)):
        raise InputError(
            f"{results} is no folder that can be written; see to its permissions or choose another --directory."
        )


def bring_to_the_present():
    """Give files of results/ whose times lie ahead, as after a clock that jumped back, the present: Snakemake fails a job
    whose output is older than its input. (What only seems newer is told by its contents: workflow/profiles/default.)"""
    now = time.time()
    # Not the clips' folders: nobody's input, and many.
    patterns = ["*", "*/*", "benchmarks/*/*", "benchmarks/*/*/*", "covog/*/*", "covog/*/*/*"]
    for file in (file for pattern in patterns for file in Path("results").glob(pattern)):
        if file.is_file() and file.stat().st_mtime > now + 1:
            try:
                os.utime(file, (now, now))
            except PermissionError:
                raise InputError(f"{file} has a time that lies ahead and is another user's; have its owner touch it.")


def is_at_rest():
    """Tell whether no run is at work on the files of the folder."""
    return not any(Path(".snakemake/locks").glob("*"))


def make_damaged_anew(found):
    """Have files that cannot be read any more made anew with what follows from them: a mapping to the outputs of their jobs."""
    for file, output in found.items():
        fault = "was changed after it was made and is damaged" if Path("results", file).exists() else "is gone"
        logger.warning(f"results/{file} {fault}: a run makes it anew.")
        if not workflow.output_settings.dryrun:
            marks.mark(Path(".snakemake/incomplete"), f"results/{output}")


def try_failed_again():
    """Have the outputs of jobs that the last run gave up made again."""
    for failure in giving_up.all_of(Path("results")):
        logger.warning(f"{failure.video}: a run tries {failure.rule} again ({failure.message})")
        if not workflow.output_settings.dryrun and NO_RUN.isdisjoint(sys.argv):
            for output in failure.outputs:
                marks.mark(Path(".snakemake/incomplete"), output)
            giving_up.forget(Path("results"), failure)


def damaged_files():
    """Return the files of the sheet's videos that cannot be read any more, and the outputs of their jobs.

    Raises InputError if a download is another one now: to fetch it again may fail, and what was made of it would be made anew, of nothing.
    """
    found = damage.damaged(Path("results"), VIDEOS, remember=not workflow.output_settings.dryrun)
    for file in found:
        if file.startswith("downloads/"):
            video = Path(file).stem
            raise InputError(
                f"results/{file} is not the file any more of which results/media/{video}.mp4 was made: put that back or delete it."
                f" If it is to be used, delete results/media/{video}.json."
            )
    return found


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
    """Tell whether a config section chooses a model that is large enough for a GPU."""
    return any(value in GPU_MODELS for value in config[section].values() if isinstance(value, str))


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


def hold_folder():
    """Raise WorkflowError if another run is at work in this folder, on other files: Snakemake's own lock is for each file."""
    try:
        HELD.append(open(".snakemake/at_work", "w", encoding="utf-8"))
        fcntl.flock(HELD[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError("another run is at work in this folder; wait for its end or use another --directory.")
    except OSError as error:
        logger.warning(
            f"this file system has no locks ({error}): see to it that no other run is at work in this folder"
        )


def make_report():
    """Make results/report.html of what is there, once the figures of the report are."""
    made = [product for product in products() if os.path.exists(product)]
    if "results/report/clips.html" not in made:
        return
    with aside.written_aside("results/config.yaml") as new:
        new.write_text(yaml.safe_dump(config, sort_keys=False))
    options = "--quiet all --report results/report.html --workflow-profile none --configfile results/config.yaml"
    snakemake = [sys.executable, "-m", "snakemake", *made, "--snakefile", workflow.main_snakefile, *options.split()]
    if subprocess.run(snakemake).returncode:
        logger.warning("results/report.html could not be made, as is told above; all else is there.")


def close_run(logs=()):
    """Tell the user what there is, which videos could not be read, by the logs of a failed run which jobs failed, and what to do next."""
    words = ["--results", "results", "--sheet", SHEET_OF_RUN, "--edited", SHEET]
    words += ["--run-log", logs[0]] if logs else []
    subprocess.run([sys.executable, SCRIPTS / "summarise_run.py", *words], check=True)


def fail_if_given_up():
    """Raise WorkflowError if a stage of a video has failed: a run of single targets does not ask check_failures."""
    broken = giving_up.of_videos(Path("results"), VIDEOS.index)
    if broken:
        told = " ".join(f"{video}: {failure.reason}" for video, failure in broken.items())
        raise WorkflowError(f"Videos failed: {told} The next run tries them again.")


# The folder's lock, for as long as this process lives.
HELD = []
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
            make_damaged_anew(damaged_files())
            try_failed_again()
        if not workflow.output_settings.dryrun:
            planned_by = planned_by or sheet_of_run()
    SHEET_OF_RUN = Path(planned_by or SHEET)
except InputError as error:
    raise WorkflowError(str(error))

# What a job's shell finds: the command lines as modules, the sheet, and, where conda makes no envs, the environment that
# Snakemake itself runs in, activated or not. (Not params: a moved folder must not rerun anything.)
# Snakemake takes PYTHONPATH away from jobs in conda's envs, so the jobs themselves set it.
# A job that asks for no GPU sees none, and need not start Python to be told so. A video's job whose last attempt fails gives up:
# its outputs are empty and the other videos go on.
shell.prefix(
    "set -euo pipefail; export PYTHONPATH={SCRIPTS:q}; on_gpus() {{ local count=$1; shift; if [ $count = 0 ];"
    ' then CUDA_VISIBLE_DEVICES= "$@"; else python -PS -m run_on_gpus $count "$@"; fi; }}; '
    "give_up() {{ local status=$? rule=$1 video=$2 attempt=$3 log=$4; shift 4;"
    " [ $attempt -gt ${{TALKING_RETRIES:-0}} ] || return $status;"
    ' python -P -m give_up --rule $rule --video $video --status $status --log "$log" --results results "$@" 2>> "$log"; }}; '
)
os.environ.update(SHEET=str(SHEET_OF_RUN), TALKING_SHEET_OF_RUN=str(planned_by))
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


wildcard_constraints:
    video="[A-Za-z0-9][A-Za-z0-9_-]*",
