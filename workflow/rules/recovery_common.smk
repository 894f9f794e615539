"""What a run finds of earlier ones: files from the future, damaged ones, and jobs that were given up."""

import time

import snakemake.persistence

TO_PLAN = set()
MARKED = snakemake.persistence.PersistenceBase.incomplete


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
    """Return True if no run is at work on the files of the folder."""
    return not any(Path(".snakemake/locks").glob("*"))


def make_again(outputs):
    """Have outputs that exist made again, with what follows from them; a dry run, which writes nothing, plans it only."""
    if workflow.output_settings.dryrun:
        TO_PLAN.update(outputs)
    else:
        for output in outputs:
            marks.mark(Path(".snakemake/incomplete"), output)


async def incomplete(persistence, job):
    """Return the outputs of a job that are marked, and those that a dry run plans as if they were."""
    marked = await MARKED(persistence, job)
    return [*marked, *(file for file in job.output if file in TO_PLAN and file not in marked)]


def make_damaged_again(found):
    """Have files that cannot be read any more made again: a mapping to the outputs of their jobs."""
    for file, output in found.items():
        fault = "was changed after it was made and is damaged" if Path("results", file).exists() else "is gone"
        logger.warning(f"results/{file} {fault}: a run makes it again.")
        make_again([f"results/{output}"])


def try_failed_again():
    """Have the outputs of jobs of the sheet's videos that the last run gave up made again."""
    if not NO_RUN.isdisjoint(sys.argv):
        return
    for failure in (of for of in giving_up.all_of(Path("results")) if of.video in VIDEOS.index):
        logger.warning(f"{failure.video}: a run tries {failure.rule} again ({failure.message})")
        make_again(failure.outputs)
        if not workflow.output_settings.dryrun:
            giving_up.forget(Path("results"), failure)


def damaged_files():
    """Return the files of the sheet's videos that cannot be read any more, and the outputs of their jobs.

    Raises InputError if a download is another one now: to fetch it again may fail, and what was made of it would be rebuilt, of nothing.
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


if workflow.output_settings.dryrun:
    snakemake.persistence.PersistenceBase.incomplete = incomplete
