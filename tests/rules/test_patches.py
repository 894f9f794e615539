"""The patches of Snakemake and its SLURM executor: each fault exists without its patch, and does not with it.

A test that fails without the patch applied says that the fault is mended upstream: remove the patch.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from importlib import metadata
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as slurm
from snakemake.scheduling.job_scheduler import JobScheduler

from conftest import REPO

PATCHES = REPO / "workflow/patches"


@pytest.fixture
def apply(monkeypatch):
    """Return a function that applies a patch, undone afterwards, and returns what its file defines."""
    for owner, name in ((JobScheduler, "_schedule_reevalutation"), (slurm.Executor, "run_jobs")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(slurm, "pending_jobs_for_rule", slurm.pending_jobs_for_rule)
    monkeypatch.setattr(slurm, "plain_run_jobs", slurm.Executor.run_jobs, raising=False)

    def apply(name):
        space = {"CODE": REPO / "scripts"}
        exec(compile((PATCHES / f"{name}.smk").read_text(), name, "exec"), space)
        return SimpleNamespace(**space)

    return apply


@pytest.mark.parametrize("is_patched", [False, True])
def test_a_scheduler_that_asks_often_looks_as_often_or_once(apply, is_patched):
    if is_patched:
        apply("scheduler_looks_ever_more_often")
    looks = []
    scheduler = SimpleNamespace(_open_jobs=SimpleNamespace(release=lambda: looks.append(threading.get_ident())))
    for times in (1, 2):
        for _ in range(5):
            JobScheduler._schedule_reevalutation(scheduler, 0.05)
        time.sleep(0.5)
        assert len(looks) == times * (1 if is_patched else 5)


def job(number, mem_mb=500):
    """Return a job of a rule whose jobs go as arrays."""
    resources = {"mem_mb": mem_mb, "runtime": 10}
    return SimpleNamespace(
        name="score", rule=SimpleNamespace(name="score"), threads=1, resources=resources, is_group=lambda: False, number=number
    )  # fmt: skip


@pytest.mark.parametrize("is_patched", [False, True])
def test_of_more_jobs_than_may_be_in_the_queue_those_that_are_given_are_kept_back_or_submitted(apply, is_patched):
    if is_patched:
        apply("slurm_arrays_wait_for_ever")
    ready = [job(number) for number in range(7)]
    submitted = []
    executor = SimpleNamespace(
        _main_event_loop=None,
        array_jobs={"score"},
        max_array_size=25,
        logger=logging.getLogger(),
        workflow=SimpleNamespace(dag=SimpleNamespace(ready_jobs=ready)),
        _submit_job=lambda one: submitted.append([one]),
        _submit_array_jobs=submitted.append,
    )
    slurm.Executor.run_jobs(executor, ready[:4])
    assert submitted == ([ready[:4]] if is_patched else [])


def test_jobs_that_request_the_same_go_as_one_array_within_its_size(apply):
    patch = apply("slurm_arrays_wait_for_ever")
    small, large = [job(n) for n in range(3)], [job(n, mem_mb=9000) for n in range(2)]
    sizes = []
    patch.submit_alike.__globals__["plain_run_jobs"] = lambda executor, jobs: sizes.append([j.number for j in jobs])
    patch.submit_alike(SimpleNamespace(max_array_size=2), [small[0], large[0], *small[1:], large[1]])
    assert sizes == [[0, 1], [2], [0, 1]]


def command(folder, name, text):
    """Write a command of SLURM's into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A cluster without accounting whose controller does not say how it is configured but has the job 7 in its queue."""
    command(tmp_path / "bin", "scontrol", "exit 1")
    command(tmp_path / "bin", "sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    command(tmp_path / "bin", "squeue", "echo '7|RUNNING'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


def seen_jobs():
    """Return the ids of the jobs that the executor, configured to use squeue, still knows after it has looked for the job 7."""
    settings = SimpleNamespace(init_seconds_before_status_checks=40, status_attempts=1)
    executor = SimpleNamespace(
        workflow=SimpleNamespace(executor_settings=settings),
        logger=logging.getLogger(),
        get_status_command=lambda: "squeue",
        status_rate_limiter=contextlib.nullcontext(),
        run_uuid="run",
        _status_query_failures=0,
        _status_query_calls=0,
        _status_query_total_seconds=0,
        _status_query_min_seconds=None,
        _status_query_max_seconds=0,
        _status_query_cycle_rows=[],
        next_seconds_between_status_checks=0,
    )

    async def look():
        active = [SimpleNamespace(external_jobid="7", aux={})]
        return [known.external_jobid async for known in slurm.Executor.check_active_jobs(executor, active)]

    return asyncio.run(look())


@pytest.mark.parametrize("is_patched", [False, True])
def test_the_jobs_of_a_controller_that_is_away_are_forgotten_or_known(apply, away, is_patched):
    if is_patched:
        apply("slurm_controller_is_away").outlive_the_controller(has_accounts=False)
    assert seen_jobs() == (["7"] if is_patched else [])


@pytest.mark.parametrize(
    ("patch", "distribution", "versions"),
    [
        ("scheduler_looks_ever_more_often", "snakemake", "LOOKS_EVER_MORE_OFTEN"),
        ("slurm_arrays_wait_for_ever", "snakemake-executor-plugin-slurm", "ARRAYS_WAIT_FOR_EVER"),
        ("slurm_controller_is_away", "snakemake-executor-plugin-slurm", "FORGETS_JOBS"),
    ],
)
def test_a_patch_applies_to_the_versions_that_it_names_alone(apply, monkeypatch, patch, distribution, versions):
    assert metadata.version(distribution) in vars(apply(patch))[versions]
    before = JobScheduler._schedule_reevalutation, slurm.Executor.run_jobs
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    monkeypatch.setenv("PATH", "/usr/bin")
    getattr(apply(patch), "outlive_the_controller", lambda has_accounts: None)(True)
    assert os.environ["PATH"] == "/usr/bin" and before == (
        JobScheduler._schedule_reevalutation,
        slurm.Executor.run_jobs,
    )
