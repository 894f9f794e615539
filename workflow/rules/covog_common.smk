import json
import shutil

from covog import weights
from talking.core import tables

COVOG = config["covog"]
COVOG_MODELS = ["covog", "baseline"] if COVOG["baseline"] else ["covog"]
COVOG_PRESET = os.path.join(workflow.basedir, "../config/presets", f"covog_{COVOG['preset']}.yaml")
COVOG_LATENTS = "results/covog/latents"
COVOG_THREADS = 2
WEIGHTS_LIST = str(Path(workflow.basedir).parent / "resources/weights.yaml")
WEIGHTS = yaml.safe_load(Path(WEIGHTS_LIST).read_text())


def covog_is_trained(model):
    """Return True if a model's training has ended; one that had too few clips has left weights without bytes and does not count."""
    weights = Path(f"results/covog/{model}/stage2/weights.safetensors")
    return weights.exists() and weights.stat().st_size > 0


def covog_is_frozen(wildcards):
    """Return True if what a job makes does not follow the data set: its model, or every one if it is for all, is trained."""
    models = [wildcards.covog_model] if "covog_model" in wildcards.keys() else COVOG_MODELS
    return COVOG["train"] == "frozen" and all(map(covog_is_trained, models))


def covog_clips(wildcards):
    """Return the data set's table of clips; a frozen model does not follow its changes."""
    clips = "results/dataset/clips.parquet"
    return ancient(clips) if covog_is_frozen(wildcards) else clips


def weights_for(use):
    """Return the fetched weights of a use, if the preset starts from published weights."""
    if COVOG["preset"] != "paper":
        return []
    return [f"results/weights/{name}" for name, of in WEIGHTS.items() if of["used_for"] == use]


def weights_below(place):
    """Return the fetched weights that lie in a folder below results/weights, or are that file; none of any other place."""
    files = [Path("results/weights", name) for name in WEIGHTS]
    return [
        str(file)
        for file in files
        if Path("results/weights") in Path(place).parents and Path(place) in (file, *file.parents)
    ]


def weights_wanted():
    """Return the files below results/weights that the config's models need, in the order of the list."""
    sections = [section for section in config.values() if isinstance(section, dict)]
    places = {v for section in sections for key, v in section.items() if key.endswith("weights") and v}
    files = {file for place in places for file in weights_below(place)}
    if COVOG["train"] != "never":
        files.update(file for use in ("start", "towers", "metrics") for file in weights_for(use))
    return [file for name in WEIGHTS if (file := f"results/weights/{name}") in files]


def entry_of(file):
    """Return the entry of the list for a file below results/weights."""
    return WEIGHTS[file.removeprefix("results/weights/")]


def weights_told():
    """Return a sentence that says how much is to be fetched, empty if nothing is."""
    missing = [file for file in weights_wanted() if not os.path.exists(file)]
    known = sum(entry_of(file)["bytes"] or 0 for file in missing)
    unknown = [file.removeprefix("results/weights/") for file in missing if not entry_of(file)["bytes"]]
    told = f"weights to be fetched: {len(missing)} files, {known / 1e9:.2f} GB"
    return (told + (f", and of unknown size {', '.join(unknown)}" if unknown else "")) if missing else ""


def gpus_told():
    """Return a sentence that says which config keys leave this machine's GPUs unused, empty if none does."""
    large = any(map(uses_gpu_model, ("speaking", "diarization", "words", "poses", "sound")))
    unused = ["gpu"] * (large and not config["gpu"])
    unused += ["covog.gpu"] * (COVOG["train"] != "never" and not COVOG["gpu"])
    if not unused or not devices.present():
        return ""
    return f"this machine has GPUs, which only jobs see that request them: set {' and '.join(unused)} in the config"


def check_gates():
    """Raise InputError if the models need a gated file that is not here and cannot be fetched."""
    folder = Path(COVOG["weights_dir"]) if COVOG["weights_dir"] else None
    for file in weights_wanted():
        if not os.path.exists(file):
            weights.check_gate(file.removeprefix("results/weights/"), entry_of(file), folder)


def covog_launcher():
    """Return what starts the training: python, accelerate's launcher on several GPUs or nodes, or the config's own words."""
    gpus = COVOG["gpu"] * COVOG["nodes"]
    if COVOG["launcher"]:
        return COVOG["launcher"]
    if COVOG["nodes"] > 1:
        return (
            f"srun --ntasks={COVOG['nodes']} --ntasks-per-node=1 --whole --kill-on-bad-exit=1"
            f" python -P -m talking launch-on-node --processes {gpus}"
        )
    several = f"accelerate launch --multi_gpu --num_processes {gpus} --main_process_port 0 --module"
    return f"python -P -m talking run-on-gpus {gpus} {several if gpus > 1 else 'python -P -m'}"


def damaged_covog():
    """Return what CovOG has made and cannot be read any more, and the outputs of the jobs that make it again of its checkpoints and clips.

    Raises InputError if a model is frozen and its data set is another one now: the job would train again.
    """
    is_run = not workflow.output_settings.dryrun
    found = damage.damaged_covog(Path("results"), COVOG_MODELS, COVOG["cache_latents"], remember=is_run)
    if found and COVOG["train"] == "frozen" and not is_data_set_of_training():
        raise InputError(
            f"results/{next(iter(found))} was changed after it was made and is damaged, and the data set is not the one that it was made of:"
            " put a copy of it back, or have CovOG trained again by covog: {train: latest}."
        )
    return found


def is_data_set_of_training():
    """Return True if the data set is the one that the models were trained on, and this run has no video to add or to take away."""
    # Here, as it wants to read films, which planning does not.
    from talking.dataset import store

    provenance = [Path(f"results/covog/{model}/stage2/provenance.json") for model in COVOG_MODELS]
    try:
        known = {
            json.loads(file.read_text(encoding="utf-8"))["data_set_sha256"] for file in provenance if file.exists()
        }
        there = set(tables.read("videos", "results/videos.parquet")["video"])
        return known <= {store.data_set_hash("results/dataset")} and there == set(VIDEOS.index)
    except (OSError, ValueError, KeyError, InputError):
        return False


def covog_start(wildcards):
    """Return the converted published weights, if there are any to start from."""
    return f"results/covog/{wildcards.covog_model}/start.safetensors" if COVOG_START else []


def covog_latents(wildcards):
    """Return the mark that says the cache is filled, if the config wants one."""
    if not COVOG["cache_latents"]:
        return []
    return ancient(f"{COVOG_LATENTS}.done") if covog_is_frozen(wildcards) else f"{COVOG_LATENTS}.done"


# What a job on several nodes requests too: one task a node, started by its own srun (`mpi` says so to the executor), and as
# many GPUs on each.
COVOG_NODES = (
    {}
    if COVOG["nodes"] == 1
    else {
        "nodes": COVOG["nodes"],
        "tasks": COVOG["nodes"],
        "tasks_per_gpu": 0,
        "mpi": "srun",
        "slurm_extra": f"--gpus-per-node={COVOG['gpu']}",
    }
)
if COVOG_NODES and not COVOG["gpu"]:
    raise WorkflowError("covog: nodes is above 1, but gpu is 0; set gpu to the GPUs that training takes on each node.")
if COVOG_NODES and not shutil.which("srun"):
    raise WorkflowError("covog: nodes is above 1, which needs SLURM, but there is no srun; set it to 1.")
COVOG_START = COVOG["start"] or weights_for("start")
COVOG_TOWERS = weights_for("towers")
# Not params: on other GPUs a model that is trained need not be trained again.
os.environ.update(COVOG_LAUNCHER=covog_launcher())
# What FVD needs: fetched, else looked for in the user's own folder.
COVOG_METRICS = weights_for("metrics")
METRICS_FOLDER = "results/weights" if COVOG_METRICS else COVOG["weights_dir"]

# Asked once, by the process that plans: jobs on other machines may have no token, and need none.
if workflow.is_main_process:
    try:
        check_gates()
        if COVOG["train"] != "never" and is_at_rest():
            make_damaged_again(damaged_covog())
    except InputError as error:
        raise WorkflowError(str(error))
