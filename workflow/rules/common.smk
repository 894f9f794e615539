import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = str(Path(workflow.basedir).parent / "scripts")
sys.path.insert(0, SCRIPTS)
# Without conda the jobs run in the environment that Snakemake itself runs in, activated or not.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])

from talking.errors import InputError
from talking.settings import checked_config
from talking.sheet import film_of, read_sheet


def resolved_sheet(path):
    """Return the sheet's absolute path: below the working directory, else where the command was typed, else the project."""
    typed_in = os.environ.setdefault("TALKING_TYPED_IN", os.environ.get("PWD", "."))
    for folder in (".", typed_in, Path(workflow.basedir).parent):
        if (Path(folder) / path).is_file():
            return (Path(folder) / path).resolve()
    raise InputError(f"the sheet {path} (config key videos) does not exist; make it or name another with --config.")


def check_films(paths):
    """Raise InputError if a row's film:NAME is no film of the config."""
    for name in map(film_of, paths):
        if name is not None and name not in config["films"]:
            raise InputError(f"{SHEET}: film:{name} is no film of the config; add it below films or correct the name.")


def flags(section):
    """Return a config section as command-line flags, quoted for the shell."""
    return as_flags(config[section])


def as_flags(options):
    """Return a mapping of options as command-line flags, quoted for the shell."""
    words = []
    for key, value in options.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        elif value is not None:
            words.append(f"{flag}={value}")
    return shlex.join(words)


def gpu_if(section):
    """Return the number of GPUs that the model chosen in a config section uses."""
    return config["gpu"] if config[section]["model"] in GPU_MODELS else 0


def of_videos(pattern):
    """Return a list of one path for each video of the sheet."""
    return expand(pattern, video=VIDEOS.index)


def products():
    """Return the files of a whole run."""
    wanted = [
        "results/dataset/clips.parquet",
        "results/report/clips.html",
    ]
    return wanted + (["results/strict.ok"] if config["strict"] else [])


GPU_MODELS = {"light_asd", "talknet", "sapiens", "sapiens2", "wav2vec2", "whisper"}

try:
    config.update(checked_config(config, Path(workflow.basedir) / "schemas/config.schema.yaml"))
    SHEET = resolved_sheet(config["videos"])
    VIDEOS = read_sheet(SHEET).set_index("video", drop=False)
    check_films(VIDEOS["path"])
except InputError as error:
    raise WorkflowError(str(error))


wildcard_constraints:
    video="[A-Za-z0-9][A-Za-z0-9_-]*",
