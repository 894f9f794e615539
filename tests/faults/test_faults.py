"""A run that is killed again and again, or cannot write, ends as one that nobody disturbs."""

import json
import os
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from faults import harness
from faults.harness import REPO, differences, verify, workflow, write_sheet

pytestmark = pytest.mark.slow

KILLS, TRAINING_KILLS, SEED = 15, 3, 1


@pytest.fixture(scope="module")
def film(once):
    """A conversation of twelve seconds."""
    return once("film", harness.make_film) / "talk.mp4"


@pytest.fixture(scope="module")
def trained(once, film):
    """The folder of a run that nobody disturbed, CovOG's training included."""
    return once("trained", lambda folder: harness.undisturbed(folder, film, harness.COVOG))


@pytest.fixture(scope="module")
def wanted(once, trained):
    """The folder of a run that nobody disturbed, of the data side alone."""

    def without_covog(folder):
        subprocess.run(["cp", "-r", "--preserve=all", f"{trained}/.", folder], check=True)
        for name in ("covog", "logs/covog", "benchmarks/covog"):
            shutil.rmtree(folder / "results" / name)
        for file in (folder / "results/report").glob("covog_*"):
            file.unlink()

    return once("undisturbed", without_covog)


def run(folder, *words, covog=harness.NO_COVOG):
    """Run the workflow in a folder; return what it printed and how it ended."""
    command = workflow(folder, *words, covog=covog)
    return subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)


def test_the_run_has_something_to_lose(wanted):
    assert len(pd.read_parquet(wanted / "results/dataset/clips.parquet")) >= 1


@pytest.mark.fault(
    "kill -9 of the main process and of jobs, at random moments of the whole workflow, training included",
    "outputs equal byte by byte, no finished job rerun",
)
def test_a_run_killed_at_random_ends_as_an_undisturbed_one(film, trained, tmp_path):
    outcome = harness.torment(tmp_path / "tormented", film, trained, KILLS, SEED)
    assert sum(outcome.killed.values()) >= KILLS and len(outcome.killed) > 1
    assert outcome.repeated == []
    assert outcome.different == []
    assert verify(tmp_path / "tormented") == (0, set())
    harness.note(outcome, SEED)
    # Most of those hit the data side: now training alone.
    harness.take_away(tmp_path / "tormented", "covog")
    training = harness.torment(tmp_path / "tormented", film, trained, TRAINING_KILLS, SEED, "train-covog")
    assert training.killed["job: train-covog"] >= TRAINING_KILLS
    assert training.repeated == training.different == []


@pytest.mark.fault(
    "files of a finished run cut off, emptied or overwritten, one of each kind",
    "verify names them and removes them with what depends on them, the next run rebuilds both, outputs equal",
)
def test_damaged_files_are_named_and_rebuilt(film, wanted, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", "--preserve=all", wanted, folder], check=True)
    write_sheet(folder, film)
    cut_off = [
        *("media/talk.mp4", "media/talk.wav", "tracks/talk.parquet", "landmarks/talk.npz", "speech/talk.rttm"),
        *("poses/talk.npz", "dataset/clips.parquet"),
    ]
    for name in cut_off:
        file = folder / "results" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    (folder / "results/shots/talk.parquet").write_bytes(b"")
    (folder / "results/media/talk.json").write_bytes(bytes(300))
    before = {file for file in (folder / "results").rglob("*") if file.is_file()}
    damaged = {*cut_off, "shots/talk.parquet", "media/talk.json"}
    assert verify(folder) == (1, damaged)
    assert {file for file in (folder / "results").rglob("*") if file.is_file()} == before
    assert verify(folder, "--remove") == (0, damaged)
    assert verify(folder) == (0, set())
    again = run(folder)
    assert again.returncode == 0 and "Traceback" not in again.stdout, again.stdout[-4000:]
    assert differences(folder, wanted) == [] and verify(folder) == (0, set())


@pytest.mark.fault(
    "files of clips' folders cut off, overwritten or deleted",
    "verify names them, the next run rebuilds the video's clips and reruns no other stage, outputs equal",
)
def test_damaged_clips_are_named_and_rebuilt(wanted, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", "--preserve=all", wanted, folder], check=True)
    clips = sorted((folder / "results/dataset").glob("*to*/"))
    for file in (file for clip in clips for file in clip.iterdir()):
        os.utime(file)
    assert verify(folder) == (0, set())
    pictures, labels, poses = clips[0] / "video.mp4", clips[-1] / "speakers.json", clips[-1] / "poses.npz"
    # One flipped bit leaves a film that can be played.
    data = bytearray(pictures.read_bytes())
    data[len(data) // 2] ^= 4
    pictures.write_bytes(data)
    labels.write_bytes(labels.read_bytes()[: labels.stat().st_size * 2 // 3])
    poses.unlink()
    named = {str(f.relative_to(folder / "results")) for f in (pictures, labels, poses)}
    assert verify(folder, "--remove") == (0, named)
    again = run(folder)
    assert again.returncode == 0 and "Traceback" not in again.stdout, again.stdout[-4000:]
    assert differences(folder, wanted) == [] and verify(folder) == (0, set())
    made = rules_run(again)
    assert "annotate_clips" in made
    assert not made & {"ingest_media", "detect_faces", "track_faces", "estimate_poses", "embed_sound", "select_clips"}


@pytest.mark.fault(
    "CovOG's weights and cached latents cut off or emptied",
    "verify names them, the next run rebuilds them from the last checkpoint without a step, outputs equal",
)
def test_damaged_weights_are_named_and_rebuilt(trained, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", "--preserve=all", trained, folder], check=True)
    covog = folder / "results/covog"
    cut_off = [next((covog / "latents").glob("*.safetensors")), covog / "covog/stage1/weights.safetensors"]
    for file in cut_off:
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    emptied = covog / "covog/stage2/weights.safetensors"
    emptied.write_bytes(b"")
    named = {str(f.relative_to(folder / "results")) for f in (*cut_off, emptied)}
    assert verify(folder, "--remove") == (0, named)
    again = run(folder, covog=harness.COVOG)
    assert again.returncode == 0 and "Traceback" not in again.stdout, again.stdout[-4000:]
    assert differences(folder, trained) == []
    assert {"cache_latents", "train_stage1", "train_stage2"} <= rules_run(again)
    assert not rules_run(again) & {"annotate_clips", "select_clips", "detect_faces"}
    # No step was taken again.
    logs = [(folder / f"results/logs/covog/covog/stage{n}.log").read_text() for n in (1, 2)]
    whole = [(trained / f"results/logs/covog/covog/stage{n}.log").read_text() for n in (1, 2)]
    assert [log.removeprefix(first).count("loss") for log, first in zip(logs, whole, strict=True)] == [0, 0]


def rules_run(done):
    """Return the rules that a run has run."""
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.MULTILINE))


def test_a_file_that_is_damaged_during_a_run_is_named(film, wanted, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", "--preserve=all", wanted, folder], check=True)
    write_sheet(folder, film)
    for name in ("candidates", "annotations"):
        (folder / f"results/{name}/talk.parquet").unlink()
    file = folder / "results/tracks/talk.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    failed = run(folder)
    assert failed.returncode != 0 and "Traceback" not in failed.stdout
    assert "tracks/talk.parquet cannot be read" in failed.stdout and "delete it and run again" in failed.stdout
    # The last words of the run: the video, the rule, what is wrong and what to do.
    assert re.search(
        r"^Video talk: failed: \w+: results/tracks/talk.parquet cannot be read .*; delete it and run again\.$"
        r"(.*\n)*^  What to do: do what",
        failed.stdout,
        re.MULTILINE,
    ), failed.stdout[-3000:]
    file.unlink()
    assert run(folder).returncode == 0 and file.exists()
    assert differences(folder, wanted) == []


def test_a_readable_change_is_an_edit_which_is_kept(film, wanted, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", "--preserve=all", wanted, folder], check=True)
    write_sheet(folder, film)
    file = folder / "results/speaking/talk.parquet"
    edited = pd.read_parquet(file).assign(speaking=False)
    edited.to_parquet(file)
    again = run(folder, "--dry-run")
    assert again.returncode == 0
    assert {"measure_qualities", "annotate_clips"} <= set(re.findall(r"^rule (\w+):", again.stdout, re.MULTILINE))
    assert "fuse_speaking" not in again.stdout


@pytest.mark.fault(
    "a disk full at 0.3, 0.7, 1.2, 2 and 4 MB",
    "reported; what is on disk is complete; with room the run finishes, outputs equal",
)
def test_a_full_disk_is_reported_and_no_partial_file_stays(film, wanted, tmp_path):
    disk = tmp_path / "disk"
    with _Disk(disk, "200k"):
        write_sheet(disk, film)
        reported = 0
        for size in ("300k", "700k", "1200k", "2m", "4m"):
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            subprocess.run(workflow(disk, "--unlock"), cwd=REPO, check=False, capture_output=True)
            failed = run(disk)
            if failed.returncode == 0:
                break
            reported += "No space left on device" in failed.stdout
            # What is there is whole: it is what the undisturbed run has.
            there = [d for d in differences(disk, wanted) if (disk / "results" / d).is_file()]
            assert [d for d in there if not any(part.startswith(".") for part in Path(d).parts)] == []
        assert reported >= 2
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        subprocess.run(workflow(disk, "--unlock"), cwd=REPO, check=True, capture_output=True)
        assert run(disk).returncode == 0
        assert differences(disk, wanted) == []


@pytest.mark.fault(
    "an output folder that cannot be written", "named before the first job; after it is mended, outputs equal"
)
def test_a_folder_that_cannot_be_written_is_named(film, wanted, tmp_path):
    disk = tmp_path / "disk"
    with _Disk(disk, "200m"):
        write_sheet(disk, film)
        (disk / "results").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        failed = run(disk)
        assert failed.returncode != 0 and "is no folder that can be written" in failed.stdout
        assert "Traceback" not in failed.stdout
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert run(disk).returncode == 0
        assert differences(disk, wanted) == []


@pytest.mark.fault(
    "a network that fails in the middle of each download",
    "reported, other videos continue; the next run continues the download, outputs equal",
)
def test_a_network_that_fails_fails_one_video_which_then_continues(film, wanted, tmp_path):
    data = film.read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Dropping)
    server.data, server.begins, server.drops = data, [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = f"talk\thttp://127.0.0.1:{server.server_port}/talk.mp4\ttest\tCC0\nother\t{film}\ttest\tCC0\n"
    (tmp_path / "videos.tsv").write_text("video\tpath\tsource\tlicence\n" + rows)
    try:
        until = ("--until", "ingest_media")
        dropped = run(tmp_path, *until)
        probes = {
            video: json.loads((tmp_path / f"results/media/{video}.json").read_text()) for video in ("talk", "other")
        }
        assert dropped.returncode == 0 and "Traceback" not in dropped.stdout
        assert probes["talk"]["status"] == "failed" and "could not be downloaded" in probes["talk"]["reason"]
        assert probes["other"]["status"] == "ok"
        server.drops = False
        assert run(tmp_path, *until).returncode == 0
        again = run(tmp_path, *until, "--dry-run")
        assert again.returncode == 0 and re.search(r"^total +0$", again.stdout, re.MULTILINE)
        # What happens to the download later is no reason to rebuild what was made of it.
        fetched = tmp_path / "results/downloads/talk.bin"
        fetched.write_bytes(data[: len(data) // 2])
        assert verify(tmp_path, "--remove") == (0, {"downloads/talk.bin"}) and not fetched.exists()
        again = run(tmp_path, *until, "--dry-run")
        assert again.returncode == 0 and re.search(r"^total +0$", again.stdout, re.MULTILINE)
    finally:
        server.shutdown()
    # Each try began where the one before had ended.
    assert len(server.begins) == 4 and server.begins == sorted(set(server.begins))
    for suffix in ("mp4", "wav"):
        got, want = (folder / f"results/media/talk.{suffix}" for folder in (tmp_path, wanted))
        assert got.read_bytes() == want.read_bytes()


class _Dropping(BaseHTTPRequestHandler):
    """A server that breaks off each answer after a quarter of the file while it `drops`."""

    def do_GET(self):
        data, start = self.server.data, int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.server.begins.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : start + len(data) // 4] if self.server.drops else data[start:])

    def log_message(self, *_):
        pass


class _Disk:
    """A disk in memory of some size, which only root can make; a test that cannot is skipped."""

    def __init__(self, path, size):
        self.path = path
        path.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"needs to mount a disk in memory: {made.stderr.strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)
