"""CovOG's part of the config: which models are trained, on which data and weights, and how training is started."""

import shutil

from covog import presets, weights
from talking.core import checksums

COVOG = config["covog"]
COVOG_MODELS = ["covog", "baseline"] if COVOG["baseline"] else ["covog"]
COVOG_THREADS = 2


def covog_is_trained(model):
    """Return True if a model is trained. With too few clips, training leaves an empty file of weights, which does not count."""
    trained = RESULTS / f"covog/{model}/stage2/weights.safetensors"
    return trained.exists() and trained.stat().st_size > 0


def covog_is_frozen(wildcards):
    """Return True if a job's outputs do not follow the data set any more: its model is trained, or every model if it is for all."""
    models = [wildcards.covog_model] if "covog_model" in wildcards.keys() else COVOG_MODELS
    return COVOG["train"] == "frozen" and all(map(covog_is_trained, models))


def covog_clips(wildcards):
    """Return the data set's table of clips; a frozen model does not follow its changes."""
    clips = "results/dataset/clips.parquet"
    return ancient(clips) if covog_is_frozen(wildcards) else clips


def covog_start(wildcards):
    """Return the converted published weights, if there are any to start from."""
    return f"results/covog/{wildcards.covog_model}/start.safetensors" if COVOG_START else []


def own_files(paths):
    """Return files of the user's as inputs. A module's prefix is for what is below results/ only, so other paths are absolute there."""
    is_moved = RESULTS != Path("results")
    return [os.path.abspath(path) if is_moved and not path.startswith("results/") else path for path in paths]


def covog_latents(wildcards):
    """Return the file that marks the cache of latents as filled, if the config has a cache."""
    done = "results/covog/latents.done"
    if not COVOG["cache_latents"]:
        return []
    return ancient(done) if covog_is_frozen(wildcards) else done


def covog_launcher():
    """Return the words before training's command line: they start one process, several on one node or more, or are the config's `launcher`."""
    gpus = COVOG["gpu"] * COVOG["nodes"]
    if COVOG["launcher"]:
        return f"env PYTHONPATH={shlex.quote(str(CODE))} {COVOG['launcher']} talking"
    if COVOG["nodes"] > 1:
        nodes = f"--ntasks={COVOG['nodes']} --ntasks-per-node=1 --whole --kill-on-bad-exit=1"
        return f"srun {nodes} talking launch-processes --across-nodes --processes {gpus}"
    return f"talking --gpus {gpus}" + (f" launch-processes --processes {gpus}" if gpus > 1 else "")


# What a job on several nodes requests besides: one task a node and the GPUs of each. With `mpi` the executor leaves srun to the job.
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
COVOG_START = own_files(COVOG["start"]) or published_weights("start")
COVOG_ENCODERS = published_weights("encoders")
# Networks that FVD needs: fetched, else looked for in weights_dir.
COVOG_METRICS = published_weights("metrics")
METRICS_FOLDER = str(RESULTS / "weights") if COVOG_METRICS else COVOG["weights_dir"]

try:
    # No param: another number of GPUs does not train a model again.
    environment.tell_jobs(COVOG_LAUNCHER=covog_launcher())
    # Checked once, by the process that plans: jobs on other machines may have no token, and need none.
    if workflow.is_main_process:
        WEIGHT_LIST.check(config, WEIGHTS_WANTED, Path(COVOG["weights_dir"]) if COVOG["weights_dir"] else None)
except InputError as error:
    raise WorkflowError(str(error))
