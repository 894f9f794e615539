"""The workflow on a SLURM cluster: where jobs run, what they see, and what becomes of them when the cluster takes them away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

import small_networks
import stand_in_conda
from conftest import REPO
from rules.test_covog_rules import RULES as COVOG_RULES
from rules.test_covog_rules import SETTINGS
from rules.test_covog_rules import make as make_covog_dataset
from run.workflow import write_sheet
from slurm import cluster as slurm
from slurm.running import Watch, pause, start
from talking.core import tables

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("slurmctld"), reason="needs SLURM: make test-slurm installs it"),
]

GPU_STAGE = "embed_sound"
# Of training: more than fit into a minute, the shortest time limit.
STEPS = 40
# How long the controller is away: longer than the executor's own patience.
WRITTEN_DOWN_S = 10
AWAY_S = 90
TWO_CORES = {"ingest_media", "estimate_poses", "draw_gallery"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster that runs."""
    with slurm.Cluster(tmp_path_factory.mktemp("cluster") / "root") as running:
        yield running


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A conversation of seven seconds."""
    path = tmp_path_factory.mktemp("film") / "talk.mp4"
    words = "--seed 5 --people 2 --width 320 --height 180 --shots 1,2:7:close".split()
    subprocess.run([sys.executable, REPO / "scripts/film_conversation.py", "--out", path, *words], check=True)
    return path


@pytest.fixture(scope="module")
def finished(cluster, film, tmp_path_factory):
    """The folder of a finished run of a film and a file that is no video, what was seen of it, and its config, by which one model uses a GPU."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "text.mp4").write_text("no video\n")
    write_sheet(folder, {"talk": film, "text": folder / "text.mp4"})
    shutil.copy(REPO / "workflow/profiles/slurm/partitions.yaml", folder)
    watch = Watch(folder)
    thread = threading.Thread(target=watch.look)
    thread.start()
    weights = small_networks.wav2vec2(tmp_path_factory.mktemp("wav2vec2"))
    config = ("gpu=1", f"sound={{model: wav2vec2, weights: {weights}}}")
    run = start(folder, "all", config=config)
    try:
        code = run.wait(1500)
    finally:
        run.kill()
        watch.is_over.set()
        thread.join()
    assert code == 0, (folder / "printed.txt").read_text()[-5000:]
    return folder, list(watch.seen.values()), config


def wait_for(what, seconds=300):
    """Return what a function gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.2)
    return found


def mine(cluster, folder):
    """Return the jobs that were submitted for a working directory."""
    return [job for job in cluster.jobs() if job["WorkDir"] == str(folder)]


def trainings(cluster, folder):
    """Return the jobs that trained stage 1 for a working directory."""
    return [job for job in cluster.jobs() if f"{folder}/.snakemake/slurm_logs/rule_train_stage1" in job["StdOut"]]


def outputs_of_talk(folder):
    """Return the bytes of a run's outputs for the video `talk`, stage by stage."""
    files = (file for file in (folder / "results").glob("*/talk*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_whole_run_ends_with_a_data_set(finished):
    folder, *_ = finished
    videos = tables.read("videos", folder / "results/videos.parquet").set_index("video")
    assert videos["status"].to_dict() == {"talk": "ok", "text": "failed"}
    assert (folder / "results/report.html").exists()
    # The site's own file, in the folder of the run, is read in place of the clone's.
    assert f"environment variable file: {folder}/partitions.yaml" in (folder / "printed.txt").read_text()


def test_gpu_jobs_run_on_gpu_nodes_with_their_gpu_alone_and_no_other_does(finished):
    _, seen, _ = finished
    with_gpu = [process for process in seen if process.module == GPU_STAGE]
    assert with_gpu and {process.node for process in with_gpu} <= set(slurm.GPU_NODES)
    assert all(re.fullmatch(r"\d", process.gpus) for process in with_gpu)
    others = [process for process in seen if process.module != GPU_STAGE]
    assert len(others) > 20 and {process.node for process in others} <= set(slurm.CPU_NODES)


def test_a_job_sees_the_cores_that_its_rule_asks_for(finished):
    _, seen, _ = finished
    cores = {process.module: process.cores for process in seen}
    assert {module for module, count in cores.items() if count == 2} <= TWO_CORES
    assert {module for module, count in cores.items() if count == 1} <= set(cores) - TWO_CORES
    assert {1, 2} == set(cores.values())


@pytest.mark.fault("a job is cancelled (scancel)", "retried, outputs equal")
def test_a_cancelled_job_is_retried(cluster, finished, film, tmp_path):
    write_sheet(tmp_path, {"talk": film})
    run = start(tmp_path, "results/shots/talk.parquet")
    first = wait_for(lambda: [job for job in cluster.jobs() if job["JobState"] == "RUNNING"])[0]
    subprocess.run(["scancel", first["JobId"]], check=True)
    assert run.wait(900) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    wanted, got = (pd.read_parquet(f / "results/shots/talk.parquet") for f in (finished[0], tmp_path))
    pd.testing.assert_frame_equal(got, wanted)


def test_more_jobs_than_may_be_in_the_queue_end_and_like_ones_go_as_one_array(cluster, film, tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n")
    videos = [f"v{number}" for number in range(6)]
    write_sheet(tmp_path, {"long": film, **dict.fromkeys(videos, tmp_path / "text.mp4")})
    for stage in ("media", "voice"):
        suffix = {"media": "json", "voice": "parquet"}[stage]
        targets = [f"results/{stage}/{video}.{suffix}" for video in ("long", *videos)]
        # Four at a time may be in the queue.
        assert start(tmp_path, *targets).wait(900) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    arrays = {job["ArrayJobId"]: job for job in mine(cluster, tmp_path) if "ArrayJobId" in job}
    assert arrays and {job["Comment"].split("_wildcards")[0] for job in arrays.values()} == {"rule_detect_voice"}
    voices = {video: (tmp_path / f"results/voice/{video}.parquet").read_bytes() for video in ("long", *videos)}
    assert len({voices[video] for video in videos}) == 1 and voices["long"] != voices["v0"]


@pytest.mark.fault(
    "kill -9 of the main process of a run on a cluster",
    "the next run cancels its jobs and reruns no finished one, outputs equal byte by byte",
)
def test_a_run_whose_main_process_is_killed_continues(cluster, finished, film, tmp_path):
    write_sheet(tmp_path, {"talk": film})
    run = start(tmp_path, "results/faces/talk.parquet", config=finished[2])
    left = wait_for(
        lambda: [j for j in mine(cluster, tmp_path) if j["JobState"] == "RUNNING" and "detect_faces" in j["Comment"]]
    )
    # However slow the machine, the job is not done when the next run begins.
    assert wait_for(lambda: pause(tmp_path, "detect-faces"))
    run.kill()
    run.wait()
    unlock = [sys.executable, "-m", "snakemake", "--unlock", "--directory", str(tmp_path), "--config"]
    subprocess.run([*unlock, f"videos={tmp_path / 'videos.tsv'}", "covog={train: never}"], cwd=REPO, check=True)
    ended = {job["JobId"] for job in mine(cluster, tmp_path) if job["JobState"] == "COMPLETED"}
    assert ended
    again = start(tmp_path, "results/faces/talk.parquet", config=finished[2])
    assert again.wait(900) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    jobs = {job["JobId"]: job for job in mine(cluster, tmp_path)}
    assert jobs[left[0]["JobId"]]["JobState"] == "CANCELLED"
    assert "1 jobs of an earlier run" in (tmp_path / "printed.txt").read_text()
    later = [
        job["Comment"] for job in jobs.values() if int(job["JobId"]) > max(map(int, (job["JobId"] for job in left)))
    ]
    assert not any("ingest_media" in comment for comment in later) and any(
        "detect_faces" in comment for comment in later
    )
    assert outputs_of_talk(tmp_path).items() <= outputs_of_talk(finished[0]).items()


@pytest.mark.fault(
    "kill -9 of a node's daemon, then of the controller (a minute and a half away), then a node drained",
    "the run ends without help, outputs equal byte by byte",
)
def test_a_run_whose_controller_and_nodes_fail_ends_as_an_undisturbed_one(cluster, finished, film, tmp_path):
    write_sheet(tmp_path, {"talk": film})
    run = start(tmp_path, "all", config=finished[2])
    on_node = wait_for(lambda: [job for job in cluster.jobs() if job["JobState"] == "RUNNING"])[0]
    # The daemon of the node that works is killed; nobody starts it until the cluster has noticed.
    node = on_node["NodeList"]
    cluster.stop(f"slurmd-{node}", signal.SIGKILL)
    wait_for(lambda: "down" in cluster.state(node))
    assert wait_for(lambda: [job for job in cluster.jobs() if job["JobState"] == "RUNNING" and job["NodeList"] != node])
    cluster.start_node(node)
    # A job that the controller has not written down yet is lost with it, whoever submitted it.
    time.sleep(WRITTEN_DOWN_S)
    cluster.stop("slurmctld", signal.SIGKILL)
    time.sleep(AWAY_S)
    cluster.start_controller()
    wait_for(lambda: "idle" in cluster.state(node))
    (other,) = set(slurm.CPU_NODES) - {node}
    cluster.drain(other)
    drained = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        assert run.wait(1200) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    finally:
        run.kill()
        cluster.resume(other)
    later = [job for job in mine(cluster, tmp_path) if job["StartTime"] > drained]
    assert len(later) > 5 and {job["NodeList"] for job in later} <= {node, *slurm.GPU_NODES}
    wanted = outputs_of_talk(finished[0])
    assert len(wanted) > 15 and outputs_of_talk(tmp_path) == wanted


@pytest.mark.fault("a job out of memory", "killed, retried with more memory, outputs equal")
def test_a_job_out_of_memory_is_retried_with_more(cluster, finished, film, tmp_path):
    write_sheet(tmp_path, {"talk": film})
    run = start(
        tmp_path, "results/media/talk.json", "--set-resources", "ingest_media:mem_mb=80 if attempt == 1 else 1500"
    )
    assert run.wait(600) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    killed, ended = mine(cluster, tmp_path)
    # Without control groups SLURM does not say that it was for memory.
    assert (killed["JobState"], ended["JobState"]) == ("FAILED", "COMPLETED")
    wanted, got = ((folder / "results/media/talk.mp4").read_bytes() for folder in (finished[0], tmp_path))
    assert got == wanted


def test_jobs_run_in_the_envs_that_conda_makes(cluster, finished, film, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{stand_in_conda.make(tmp_path / 'conda')}:{os.environ['PATH']}")
    write_sheet(tmp_path, {"talk": film})
    run = start(tmp_path, "results/shots/talk.parquet", "--sdm", "conda")
    assert run.wait(900) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    assert re.findall(r"__main__\.py (\S+)", (tmp_path / "conda/jobs").read_text()) == ["ingest-media", "detect-shots"]
    assert outputs_of_talk(tmp_path).items() <= outputs_of_talk(finished[0]).items()


@pytest.mark.fault("the time limit ends training in two processes (SIGTERM)", "the next attempt repeats no step")
def test_training_on_two_gpus_continues_after_its_time_limit(cluster, tmp_path, monkeypatch):
    # The devices are none: accelerate's processes train on processors, and talk with each other as on GPUs.
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_covog_dataset(tmp_path)
    # No checkpoint before the end but that of the signal at the time limit.
    # The steps of two processes that share two cores take from half a second to fifteen: they are asked after each.
    stage = SETTINGS["stage1"] | {"steps": STEPS, "save_every": 10**6, "validate_every": 10**6, "log_every": 1}
    weights = "results/covog/covog/stage1/weights.safetensors"
    run = start(
        tmp_path, weights, "--nolock", "--allowed-rules", *COVOG_RULES,
        config=(f"covog={json.dumps({'settings': SETTINGS | {'stage1': stage}, 'gpu': 2})}",),
    )  # fmt: skip
    log = tmp_path / "results/logs/covog/covog/stage1.log"
    # On a slow machine a minute has no step: the limit is lowered once some were taken. On a quick one it has all of them: the
    # processes are paused until SLURM wakes them up to end them.
    wait_for(lambda: log.exists() and re.search(rf" [3-9]/{STEPS} \[", log.read_text()), 900)
    assert pause(tmp_path, "train-covog")
    subprocess.run(
        ["scontrol", "update", f"JobId={trainings(cluster, tmp_path)[0]['JobId']}", "TimeLimit=1"], check=True
    )
    assert run.wait(1500) == 0, (tmp_path / "printed.txt").read_text()[-4000:]
    first, second = trainings(cluster, tmp_path)
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert {first["NodeList"], second["NodeList"]} <= set(slurm.GPU_NODES)
    losses = tables.read("covog_losses", tmp_path / "results/covog/covog/stage1/losses.parquet")
    assert losses[losses["kind"] == "train"]["step"].tolist() == list(range(1, STEPS + 1))
    # The second job's bar begins where the first one's signal had the model saved.
    assert 0 < int(re.search(rf"(\d+)/{STEPS} \[00:00", log.read_text())[1]) < STEPS


def test_training_on_two_nodes_is_one_training(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stage = SETTINGS["stage1"] | {"steps": 6, "save_every": 3, "validate_every": 6}
    losses = {}
    for nodes, gpu in ((2, 1), (1, 2)):
        folder = tmp_path / str(nodes)
        folder.mkdir()
        make_covog_dataset(folder)
        covog = {"settings": SETTINGS | {"stage1": stage}, "gpu": gpu, "nodes": nodes}
        weights = "results/covog/covog/stage1/weights.safetensors"
        run = start(
            folder, weights, "--nolock", "--allowed-rules", *COVOG_RULES, config=(f"covog={json.dumps(covog)}",)
        )
        log = folder / "results/logs/covog/covog/stage1.log"
        assert run.wait(900) == 0, (folder / "printed.txt").read_text()[-3000:] + (
            log.read_text()[-3000:] if log.exists() else ""
        )
        (job,) = trainings(cluster, folder)
        assert (job["NumNodes"], job["NodeList"] == "gpu[1-2]") == (str(nodes), nodes == 2)
        losses[nodes] = tables.read("covog_losses", folder / "results/covog/covog/stage1/losses.parquet")
    # Two processes, wherever they are, draw the same samples and take the same steps; what they exchange is added up in another order.
    columns = ["step", "kind", "loss", "learning_rate"]
    pd.testing.assert_frame_equal(losses[2][columns], losses[1][columns], rtol=0.01)


def test_the_profile_keeps_retries_out_of_the_rules():
    rules = "".join(file.read_text() for file in (REPO / "workflow/rules").glob("*.smk"))
    # A rule may forbid them: in a job of its own on the cluster that is not multiplied.
    assert not re.search(r"^ +retries:(?! 0$)", rules, re.MULTILINE)
