"""Resources that jobs request: memory, disk and minutes by the table of past runs, the video's length and the attempt."""

import math

from talking.runs import costs

PROJECT = Path(workflow.basedir).parent
NEEDS = costs.read_needs(PROJECT / "resources/jobs.tsv")
# What a job may take over what was measured: other machines, other films.
MEMORY_HEADROOM, TIME_HEADROOM, DISK_HEADROOM = 1.4, 4, 4
LEAST_MB, LEAST_MIN, LEAST_DISK_MB = 500, 10, 10
# Before a video's length is known: by the bytes of its file, as those of a film of one megabit a second; else an hour.
UNKNOWN_S, LONGEST_S, LEAST_BYTES_A_SECOND = 3600, 4 * 3600, 125_000
# Main memory of a model that uses a GPU, or that has no row of its own, over that of the embedded one.
LARGE_MODEL_MB = 6000
LENGTHS = {}


def video_seconds(video):
    """Return a video's length, as long as nobody knows it what its file's size says."""
    if video not in LENGTHS:
        try:
            with open(f"results/media/{video}.json", encoding="utf-8") as file:
                LENGTHS[video] = json.load(file)["duration_s"]
        except (OSError, ValueError, KeyError, TypeError):
            seconds = seconds_by_size(video)
            if workflow.output_settings.dryrun:
                LENGTHS[video] = seconds
            return seconds
    return LENGTHS[video]


def seconds_by_size(video):
    """Return the most that a film of the size of a video's file lasts, up to four hours; one where there is no file yet."""
    try:
        size = os.path.getsize(sheet.file_of(SHEET, video, VIDEOS.at[video, "path"]))
    except (OSError, ValueError):
        return UNKNOWN_S
    return min(size / LEAST_BYTES_A_SECOND, LONGEST_S)


def need_of(benchmark, section):
    """Return what a job needs by its benchmark's folder: the row BENCHMARK/MODEL if the model has one, else BENCHMARK.

    `section` is the config section that chooses the job's model, None if there is none.
    """
    own = f"{benchmark}/{config[section]['model']}" if section else benchmark
    return NEEDS.get(own, NEEDS[benchmark])


def memory_mb(benchmark, section=None):
    """Return a function that gives a job's memory, by `need_of`: half as much again at each further attempt."""
    need = need_of(benchmark, section)
    is_measured = need is not NEEDS[benchmark] and not config["gpu"]
    more = LARGE_MODEL_MB if section and uses_gpu_model(section) and not is_measured else 0

    @asked_once
    def megabytes(wildcards, attempt):
        measured = need.mem_mb + need.mem_mb_per_video_s * video_seconds(wildcards.video)
        return math.ceil((max(LEAST_MB, measured * MEMORY_HEADROOM) + more) * (1 + attempt) / 200) * 100

    return megabytes


def minutes(benchmark, section=None):
    """Return a function that gives a job's time, by `need_of`: twice, three times as much at further attempts.

    In whole tens, so that jobs of videos of about the same length can be submitted as one array.
    """
    need = need_of(benchmark, section)

    @asked_once
    def runtime(wildcards, attempt):
        measured = need.s_per_video_s * video_seconds(wildcards.video) / 60
        return attempt * math.ceil((LEAST_MIN + measured * TIME_HEADROOM) / 10) * 10

    return runtime


def disk_mb(benchmark):
    """Return a function that gives what a job may write by its benchmark's folder."""
    need = NEEDS[benchmark]

    @asked_once
    def megabytes(wildcards):
        return math.ceil(LEAST_DISK_MB + need.disk_mb_per_video_s * video_seconds(wildcards.video) * DISK_HEADROOM)

    return megabytes


def each_attempt(amount):
    """Return a function that gives an amount at the first attempt, and half as much again at each further one."""
    return lambda wildcards, attempt: amount * (1 + attempt) // 2


def this_attempt(wildcards, attempt):
    """Which attempt at a job this is, from 1 on."""
    return attempt
