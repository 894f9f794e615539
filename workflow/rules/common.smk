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

from talking import aside, damage, fetch, marks, sheet
from talking.errors import InputError
from talking.settings import checked_config


def resolved_sheet(path):
    """Return the sheet's absolute path: below the working directory, else where the command was typed, else the project."""
    path = os.path.expanduser(path)
    typed_in = os.environ.setdefault("TALKING_TYPED_IN", os.environ.get("PWD", "."))
    for folder in (".", typed_in, Path(workflow.basedir).parent):
        if os.path.exists(Path(folder) / path):
            found = (Path(folder) / path).resolve()
            if is_misread(str(found)):
                raise InputError(f"the sheet {found} has a brace or a line break in its name or folder; rename that.")
            return found
    raise InputError(f"the sheet {path} (config key videos) does not exist; make it or name another with --config.")


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
    patterns = ["*", "*/*", "benchmarks/*/*", "covog/*/*", "covog/*/*/*"]
    for file in (file for pattern in patterns for file in Path("results").glob(pattern)):
        if file.is_file() and file.stat().st_mtime > now + 1:
            os.utime(file, (now, now))


def make_damaged_anew():
    """Have files that were changed since they were made, and that cannot be read, made anew with what follows from them."""
    if any(Path(".snakemake/locks").glob("*")):
        # A run is at work on them.
        return
    for file in damage.damaged(Path("results"), VIDEOS.index):
        logger.warning(f"results/{file} was changed after it was made and is damaged: it is made anew.")
        marks.mark(Path(".snakemake/incomplete"), f"results/{file}")


def check_films(paths):
    """Raise InputError if a row's film:NAME is no film of the config."""
    for name in map(sheet.film_of, paths):
        if name is not None and name not in config["films"]:
            raise InputError(f"{SHEET}: film:{name} is no film of the config; add it below films or correct the name.")


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


def source_file(wildcards):
    """The local, filmed or downloaded file of a video; nothing if it is missing, which ingest reports."""
    row = VIDEOS.loc[wildcards.video]
    file = str(sheet.file_of(SHEET, wildcards.video, row.path))
    is_made = sheet.is_url(row.path) or sheet.film_of(row.path)
    return file if is_made or (os.path.isfile(file) and not is_misread(file)) else []


def is_misread(file):
    """Tell whether Snakemake takes an input's name apart: braces are wildcards to it, and a line break ends the name."""
    return any(mark in file for mark in "{}\n\r")


def source_row(wildcards):
    """What a row says about its file: a change of another row, or of another column, reruns nothing.

    A file whose name Snakemake misreads is no input, so it is followed by its time and size here.
    """
    row = VIDEOS.loc[wildcards.video]
    file = str(sheet.file_of(SHEET, wildcards.video, row.path))
    is_followed_here = is_misread(file) and not sheet.is_url(row.path) and os.path.isfile(file)
    return [row.path, row.sha256, [os.stat(file).st_mtime_ns, os.stat(file).st_size] if is_followed_here else ""]


def tries_in_vain(wildcards):
    """How often a video's download has failed for a reason that may pass: one more than before has it tried again."""
    return fetch.tries_in_vain(Path(f"results/downloads/{wildcards.video}.json"))


def from_sheet(column):
    """Return a function of the wildcards that gives a column of the video's row in the sheet."""
    values = VIDEOS[column].to_dict()
    return asked_once(lambda wildcards: values[wildcards.video])


def gpu_if(section):
    """Return the number of GPUs that the models chosen in a config section use."""
    return config["gpu"] if uses_gpu_model(section) else 0


def uses_gpu_model(section):
    """Tell whether a config section chooses a model that is large enough for a GPU."""
    return any(value in GPU_MODELS for value in config[section].values())


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
    ]
    if config["covog"]["train"] != "never":
        wanted += ["results/covog/metrics.parquet", "results/report/covog_metrics.html"]
    if config["strict"]:
        wanted.append("results/strict.ok")
    return wanted


def make_report():
    """Make results/report.html once the figures of the report are there."""
    if not Path("results/report/clips.html").exists():
        return
    Path("results/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    options = "all --quiet all --report results/report.html --workflow-profile none --configfile results/config.yaml"
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", workflow.main_snakefile]
    subprocess.run([*snakemake, *options.split()], check=True)


def close_run():
    """Tell the user what there is, which videos could not be read and what to do next."""
    subprocess.run([sys.executable, SCRIPTS / "summarise_run.py", "--results", "results", "--sheet", SHEET], check=True)


GPU_MODELS = set(
    "light_asd talknet sapiens sapiens2 wav2vec2 hdemucs whisper pyannote-community-1 pyannote-3.1".split()
)

try:
    config.update(checked_config(config, Path(workflow.basedir) / "schemas/config.schema.yaml"))
    check_results()
    if workflow.is_main_process and not workflow.output_settings.dryrun:
        bring_to_the_present()
    SHEET = resolved_sheet(config["videos"])
    VIDEOS = sheet.read_sheet(SHEET).set_index("video", drop=False)
    check_films(VIDEOS["path"])
    if workflow.is_main_process:
        make_damaged_anew()
except InputError as error:
    raise WorkflowError(str(error))

# What a job's shell finds: the command lines as modules, the sheet, and, where conda makes no envs, the environment that
# Snakemake itself runs in, activated or not. (Not params: a moved folder must not rerun anything.)
# Snakemake takes PYTHONPATH away from jobs in conda's envs, so the jobs themselves set it.
shell.prefix("set -euo pipefail; export PYTHONPATH={SCRIPTS:q}; ")
os.environ.update(SHEET=str(SHEET))
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


wildcard_constraints:
    video="[A-Za-z0-9][A-Za-z0-9_-]*",
