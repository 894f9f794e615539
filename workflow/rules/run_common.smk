"""How a run begins and ends: the folder's lock, the report, messages. A module's run does none of this."""

import fcntl
import time

from talking.core import atomic
from talking.core.atomic import atomic_write
from talking.runs import devices, giving_up, slurm

# The folder's lock, held until this process ends.
HELD = []
BEGAN = time.time()
# The working directory's comes first: a module, or an installed package, has no clone to keep one in.
if PARTITIONS := slurm.partitions_file((".", typed_in, PROJECT / "workflow/profiles/slurm")):
    os.environ.setdefault("SNAKEMAKE_SLURM_PARTITIONS", str(PARTITIONS))


def hold_folder():
    """Lock the working directory; raise WorkflowError if another run has. Snakemake's own locks are for single files."""
    try:
        HELD.append(open(".snakemake/at_work", "w", encoding="utf-8"))
        fcntl.flock(HELD[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError("another run is at work in this folder; wait for its end or use another --directory.")
    except OSError as error:
        logger.warning(
            f"this file system has no locks ({error}): see to it that no other run is at work in this folder"
        )


def prepare_slurm():
    """Prepare a run on SLURM, if this is one; raise WorkflowError if jobs of an earlier run do not end."""
    if workflow.executor_plugin is None or workflow.executor_plugin.name != "slurm":
        return
    outlive_the_controller(slurm.has_accounts())
    if warning := slurm.warning_of_memory():
        logger.warning(warning)
    try:
        if left := slurm.jobs_of_this_folder():
            logger.warning(
                f"{len(left)} jobs of an earlier run of this folder are still in the queue; they are cancelled."
            )
            slurm.end_jobs(left)
    except InputError as error:
        raise WorkflowError(str(error))


def unused_gpus():
    """Return a sentence that says which config keys leave this machine's GPUs unused, empty if none does."""
    large = any(map(uses_gpu_model, ("faces", "embeddings", "speaking", "diarization", "words", "poses", "sound")))
    unused = ["gpu"] * (large and not config["gpu"]) + ["covog.gpu"] * (IS_TRAINING and not config["covog"]["gpu"])
    if not unused or not devices.present():
        return ""
    return f"this machine has GPUs, which only jobs see that request them: set {' and '.join(unused)} in the config"


def products():
    """Return the files of a whole run."""
    wanted = ["results/dataset/clips.parquet", "results/report/clips.html", "results/no_failures.ok"]
    if IS_TRAINING:
        wanted += ["results/covog/metrics.parquet", "results/report/covog_metrics.html"]
    if len(VIDEOS) <= config["gallery"]["max_videos"]:
        wanted.append("results/gallery/index.html")
    if config["strict"]:
        wanted.append("results/strict.ok")
    if REMOVALS.rows:
        # What was exported before must not keep what was removed.
        exports = ["mit/README.md", "voices/anytalker_train.json", "webdataset", "huggingface"]
        made = [*expand("results/export/{file}", file=exports), *of_videos("results/preview/{video}")]
        wanted += filter(os.path.exists, made)
    return wanted


def make_report():
    """Write results/report.html of the products that exist, if its figures do."""
    made = [product for product in products() if os.path.exists(product)]
    if "results/report/clips.html" not in made:
        return
    with atomic_write("results/config.yaml") as new:
        new.write_text(yaml.safe_dump(config, sort_keys=False))
    options = "--quiet all --report results/report.html --workflow-profile none --configfile results/config.yaml"
    snakemake = [sys.executable, "-m", "snakemake", *made, "--snakefile", workflow.main_snakefile, *options.split()]
    if subprocess.run(snakemake).returncode:
        logger.warning("results/report.html could not be made, for the reason above; all else is there.")


def begin_run():
    """Lock the folder and print what the run needs, before its first job."""
    hold_folder()
    prepare_slurm()
    for sentence in filter(None, (WEIGHT_LIST.summary(WEIGHTS_WANTED), unused_gpus())):
        logger.info(sentence)


def end_run(log=()):
    """Clear up, write the report and print a summary, with the failures in a failed run's log; raise WorkflowError if a video failed.

    If only single videos have failed, the data set of the others is complete, and so is the report.
    """
    broken = giving_up.of_videos(RESULTS, set(VIDEOS), since=BEGAN)
    if not log:
        atomic.clear(RESULTS)
        for copy in COPIES.glob("*.tsv"):
            if copy.absolute() != SHEET_OF_RUN:
                copy.unlink()
    if broken or not log:
        make_report()
    words = ["--results", RESULTS, "--sheet", SHEET_OF_RUN, "--edited", SHEET, *(["--run-log", log[0]] if log else [])]
    subprocess.run([sys.executable, "-P", CODE / "talking/__main__.py", "summarise-run", *words], check=True)
    if broken and not log:
        reasons = " ".join(f"{video}: {failure.reason}" for video, failure in broken.items())
        raise WorkflowError(f"Videos failed: {reasons} The next run tries them again.")


# Set once, by the process that plans and runs.
if workflow.is_main_process and workflow.execution_settings is not None:
    environment.tell_jobs(TALKING_RETRIES=str(workflow.execution_settings.retries))
