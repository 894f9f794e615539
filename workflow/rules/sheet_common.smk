"""The videos of the sample sheet, and the copy of the sheet that the jobs of a run read."""

import itertools

from talking.removal import removals
from talking.review import decisions
from talking.runs import giving_up, long_videos, sheet, sheet_of_run
from talking.video import fetch

# Options with which nothing is planned.
NO_RUN = {"--report", "--unlock", "--lint", "--summary", "--detailed-summary", "--cleanup-metadata"}
COPIES = Path(".snakemake/sheets")


def is_followed_by_input():
    """Return True if this run rebuilds outputs whose inputs are others than before; Snakemake's own setting is known after planning only."""
    words = [word for given in sys.argv for word in given.split("=")]
    if not NO_RUN.isdisjoint(words):
        return False
    triggers = words[words.index("--rerun-triggers") + 1 :] if "--rerun-triggers" in words else ["input"]
    return "input" in itertools.takewhile(lambda word: not word.startswith("-"), triggers)


def check_results():
    """Raise InputError if nothing can be written to the folder of results."""
    results = RESULTS.resolve()
    if results.exists() and not (results.is_dir() and os.access(results, os.W_OK | os.X_OK)):
        raise InputError(
            f"{results} is no folder that can be written; see to its permissions or choose another --directory."
        )


def of_video(function):
    """Return a function of the wildcards that calls a function of the video."""
    return job_resources.with_signature(lambda wildcards: function(wildcards.video))


def from_sheet(column):
    """Return a function of the wildcards that gives a column of the video's row in the sheet."""
    return of_video(ROWS.column(column))


def times_failed(stage):
    """Return a function of the wildcards that gives how often a video's job was given up: once more than before reruns the job."""
    if not FAILURES:
        return 0

    def times(wildcards):
        return FAILURES.get(f"{stage}/{'.'.join(wildcards)}", 0)

    return job_resources.with_signature(times)


def read_review():
    """Return the decisions of reviewers by video; jobs read the same file, whose place the environment variable TALKING_REVIEW says."""
    folders = (".", typed_in, PROJECT)
    file = sheet_of_run.find(config["review"], folders, "review file", "review") if config["review"] else ""
    environment.tell_jobs(TALKING_REVIEW=str(file))
    return decisions.of_videos(decisions.read(file))


def reviewed(*fields, checksum=decisions.effect):
    """Return a function of the wildcards that gives a checksum of what reviewers decided about the video in these fields (none: all), which reruns the job when it changes."""
    of = {video: checksum(d for d in own if not fields or d.field in fields) for video, own in REVIEW.items()}
    return of_video(lambda video: of.get(video, "")) if any(of.values()) else ""


def read_removals():
    """Return what was removed on request; jobs read the same file, whose place the environment variable TALKING_REMOVALS says."""
    name, file = config["removals"], ""
    if name and (name != removals.USUAL or os.path.exists(name)):
        file = sheet_of_run.find(name, (".", typed_in, PROJECT), "file of removals", "removals")
    environment.tell_jobs(TALKING_REMOVALS=str(file))
    return removals.read(file)


def of_videos(pattern):
    """Return a list of one path for each video of the sheet."""
    return expand(pattern, video=VIDEOS)


try:
    check_results()
    # Below the working directory, else where the command was typed, else in the project.
    typed_in = os.environ.setdefault("TALKING_TYPED_IN", os.environ.get("PWD", "."))
    SHEET = sheet_of_run.find(config["videos"], (".", typed_in, PROJECT))
    # Jobs and the report read the sample sheet that the run was planned with.
    is_of_run = not workflow.is_main_process or "--report" in sys.argv
    planned_by = Path(is_of_run and os.environ.get("TALKING_SHEET") or SHEET)
    REMOVALS = read_removals()
    ROWS = sheet_of_run.Rows(SHEET, REMOVALS.without_videos(sheet.read_sheet(planned_by)), RESULTS)
    ROWS.check_films(config["films"])
    if workflow.is_main_process and is_followed_by_input():
        ROWS.check_sources()
    if workflow.is_main_process and not is_of_run and not workflow.output_settings.dryrun:
        planned_by = ROWS.copy(COPIES)
        if REMOVALS.file:
            from talking.removal import seen

            seen.keep_faces(REMOVALS, RESULTS, config["identities"]["same_person"])
            if unknown := REMOVALS.unknown(sheet.read_sheet(SHEET)["video"]):
                logger.warning(f"{REMOVALS.file} names videos that the sample sheet has not: {', '.join(unknown)}")
    environment.tell_jobs(TALKING_SHEET=str(planned_by))
    REVIEW = read_review()
except InputError as error:
    raise WorkflowError(str(error))
VIDEOS = list(ROWS.table.index)
PARTS = long_videos.Parts(ROWS, long_videos.Settings(**config["parts"]))
FAILURES = giving_up.times(RESULTS)
SHEET_OF_RUN = planned_by
