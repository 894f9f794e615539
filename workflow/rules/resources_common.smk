"""What jobs ask of the machine: memory, disk and minutes by the table of past runs, the video's length and the attempt."""

import math
import re

from talking import costs

PROJECT = Path(workflow.basedir).parent
NEEDS = costs.read_needs(PROJECT / "resources/jobs.tsv")
# What a job may take over what was measured: other machines, other films.
MEMORY_HEADROOM, TIME_HEADROOM, DISK_HEADROOM = 1.4, 4, 4
LEAST_MB, LEAST_MIN, LEAST_DISK_MB = 500, 10, 10
# Before a video's length is known.
UNKNOWN_S = 3600
# What a model that uses a GPU takes over the embedded one that was measured, in main memory.
LARGE_MODEL_MB = 6000
LENGTHS = {}

# The one file that a site edits; a site may keep its own elsewhere.
os.environ.setdefault("SNAKEMAKE_SLURM_PARTITIONS", str(PROJECT / "workflow/profiles/slurm/partitions.yaml"))


def outlive_the_controller():
    """Put commands before SLURM's own that wait for a controller that is away, where the executor would fail or forget its jobs."""
    if workflow.executor_plugin is None or workflow.executor_plugin.name != "slurm":
        return
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    has_accounts = not re.search(
        r"^AccountingStorageType\s*=\s*(\(null\)|accounting_storage/none)$", shown, re.MULTILINE
    )
    folders = ["patient"] if has_accounts else ["patient", "accountless"]
    ours = [str(PROJECT / "workflow/profiles/slurm" / folder) for folder in folders]
    os.environ.update(PATH=os.pathsep.join([*ours, os.environ.get("PATH", "")]))


def video_seconds(video):
    """Return a video's length, an hour as long as nobody knows."""
    if video not in LENGTHS:
        try:
            with open(f"results/media/{video}.json", encoding="utf-8") as file:
                LENGTHS[video] = json.load(file)["duration_s"]
        except (OSError, ValueError):
            if workflow.output_settings.dryrun:
                LENGTHS[video] = UNKNOWN_S
            return UNKNOWN_S
    return LENGTHS[video]


def memory_mb(benchmark, section=None):
    """Return a function that gives a job's memory by its benchmark's folder: half as much again at each further attempt.

    `section` is the config section that chooses the job's model, if any.
    """
    need = NEEDS[benchmark]
    more = LARGE_MODEL_MB if section and uses_gpu_model(section) else 0

    @asked_once
    def megabytes(wildcards, attempt):
        measured = need.mem_mb + need.mem_mb_per_video_s * video_seconds(wildcards.video)
        return math.ceil((max(LEAST_MB, measured * MEMORY_HEADROOM) + more) * (1 + attempt) / 200) * 100

    return megabytes


def minutes(benchmark):
    """Return a function that gives a job's time by its benchmark's folder: twice, three times as much at further attempts."""
    need = NEEDS[benchmark]

    @asked_once
    def runtime(wildcards, attempt):
        return attempt * math.ceil(LEAST_MIN + need.s_per_video_s * video_seconds(wildcards.video) * TIME_HEADROOM / 60)

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
