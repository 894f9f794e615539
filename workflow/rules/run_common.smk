"""How a run begins and ends: the folder's lock, the report, what the user is told."""

import fcntl

# The folder's lock, for as long as this process lives.
HELD = []


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
    with atomic_write("results/config.yaml") as new:
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


def begin_run():
    """Hold the folder and say what the run needs, before its first job."""
    hold_folder()
    os.environ.update(TALKING_RETRIES=str(workflow.execution_settings.retries))
    prepare_slurm()
    for told in filter(None, (weights_told(), gpus_told())):
        logger.info(told)


def end_run():
    """Clear up, make the report and say what there is; raise WorkflowError if a stage of a video has failed."""
    atomic.clear(Path("results"))
    clear_sheets()
    make_report()
    close_run()
    fail_if_given_up()


def end_failed_run(log):
    """Say what has failed, by the run's log; if only single videos have, all else is there, the report too."""
    if giving_up.all_of(Path("results")):
        make_report()
    close_run(log)
