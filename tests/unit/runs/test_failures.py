"""What is said of failed jobs at the end of a run, by what Snakemake writes of them."""

import pytest

from talking.runs import failures

STARTED = """
[Thu Nov 26 03:00:00 2026]
rule {rule}:
    input: results/media/talk.mp4
    output: results/{rule}/talk.parquet
    log: {log}
    jobid: {job}
    benchmark: results/benchmarks/{rule}/talk.tsv
    reason: Missing output files: results/{rule}/talk.parquet
    wildcards: video=talk
    resources: mem_mb=500, runtime=20
"""
FAILED = """[Thu Nov 26 03:00:09 2026]
Error in rule {rule}:
    message: Working on talk.
    jobid: {job}
    input: results/media/talk.mp4
    output: results/{rule}/talk.parquet
    log: {log} (check log file(s) for error details)
    shell:
        python -P -m {rule} > {log} 2>&1
        (command exited with non-zero exit code)
    external_jobid: 7{job}
Logfile {log}:
================
error: text of a log.
================
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "talk.log"


def told(log, *texts, rule="detect_faces"):
    run_log = log.with_name("run.log")
    run_log.write_text("".join(text.format(rule=rule, log=log, job=3) for text in texts))
    return failures.told(run_log)


def test_the_video_the_rule_the_end_of_the_log_and_what_to_do_are_told(log):
    log.write_text("".join(f"line {n}\n" for n in range(9)) + "5%\r90%\nerror: talk.mp4 cannot be read; delete it.\n")
    words = told(log, STARTED, FAILED)
    assert words.startswith(f"Failed: detect_faces of video talk\n  the end of {log}:\n    line 6\n")
    assert "    90%\n    error: talk.mp4 cannot be read; delete it.\n  What to do: do what the last line says" in words


def test_a_job_that_a_later_attempt_made_up_for_is_not_told(log):
    log.write_text("error: once.\n")
    assert (
        told(log, STARTED, FAILED, "Trying to restart job 3.\n", STARTED, "Finished jobid: {job} (Rule: {rule})\n")
        == ""
    )


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("OUT_OF_MEMORY", "--set-resources detect_faces:mem_mb=MORE"),
        ("TIMEOUT", "--set-resources detect_faces:runtime=MINUTES"),
        ("NODE_FAIL", "its node failed: run the same command again"),
    ],
)
def test_what_slurm_says_decides_the_advice(log, state, advice):
    log.write_text("on the way\n")
    slurm = f"SLURM-job '73' failed, SLURM status is: '{state}'. Detailed failure reason unavailable.\n"
    words = told(log, STARTED, slurm, FAILED)
    assert words.startswith(f"Failed: detect_faces of video talk ({state})\n") and advice in words


def test_a_job_that_was_killed_and_one_with_a_trace_are_told_apart(log):
    log.write_text("")
    assert "ended without a message" in told(log, STARTED, FAILED)
    log.write_text("Traceback (most recent call last):\nZeroDivisionError: division by zero\n")
    assert "report it with this log" in told(log, STARTED, FAILED)
