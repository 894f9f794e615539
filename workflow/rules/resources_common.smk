"""Resources that jobs request: memory, disk and minutes by the table of past runs, the video's length and the attempt."""

from talking.runs import costs

NEEDS = costs.read_needs(costs.table())
LENGTHS = sheet_of_run.Lengths(ROWS, workflow.output_settings.dryrun)
# Memory that a model on a GPU, or one without a row in the table, needs beyond the embedded model.
LARGE_MODEL_MB = 6000


def length_of(wildcards):
    """Return how many seconds of video a job works on."""
    return LENGTHS(wildcards.video)


def length_of_part(wildcards):
    """Return the same for a stage that cuts long videos into parts."""
    return LENGTHS(wildcards.video) / max(1, len(PARTS.of(wildcards.video)))


def need_of(benchmark, section):
    """Return what a job needs by its benchmark's folder: the rows BENCHMARK/MODEL of its networks together, or BENCHMARK if none has one.

    `section` is the config section that chooses the job's networks, None if there is none.
    """
    chosen = config[section] if section else {}
    names = [chosen.get(key) for key in ("separation", "model", "overlap")]
    rows = [NEEDS[row] for name in names if (row := f"{benchmark}/{name}") in NEEDS]
    return costs.together(rows) if rows else NEEDS[benchmark]


def memory_mb(benchmark, section=None, length=length_of):
    """Return a function that gives a job's memory, by `need_of` and the length of video that it works on."""
    need = need_of(benchmark, section)
    is_measured = need is not NEEDS[benchmark] and not config["gpu"]
    more = LARGE_MODEL_MB if section and uses_gpu_model(section) and not is_measured else 0
    return job_resources.memory_mb(need, length, more)


def minutes(benchmark, section=None, length=length_of):
    """Return a function that gives a job's time, by `need_of` and the length of video that it works on."""
    return job_resources.minutes(need_of(benchmark, section), length)


def disk_mb(benchmark, section=None):
    """Return a function that gives what a job may write, by `need_of`."""
    return job_resources.disk_mb(need_of(benchmark, section), length_of)


@job_resources.with_signature
def this_attempt(wildcards, attempt):
    """Return the number of this attempt at a job, from 1."""
    return attempt
