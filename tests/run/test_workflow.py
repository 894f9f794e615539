"""The whole workflow, run as its users run it: on a filmed conversation, a mute film and files that are no videos."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from conftest import REPO
from media_tools import ffmpeg_exe
from run.workflow import COSTLY, copy_run, planned, snakemake, started, write_sheet
from talking.core import tables
from talking.dataset import store
from talking.video import media

pytestmark = pytest.mark.slow

SHORT = {"seed": 5, "people": 2, "width": 640, "height": 360, "shots": ["1,2:7:medium", "1:3:close", "2,1:6:medium"]}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Return a folder with a conversation, the same without sound, and a text named .mp4."""
    folder = tmp_path_factory.mktemp("films")
    words = [f"--{k}={v}" if not isinstance(v, list) else f"--{k}" for k, v in SHORT.items() if k != "shots"]
    subprocess.run(
        [sys.executable, REPO / "scripts/film_conversation.py", "--out", folder / "talk.mp4", *words]
        + ["--shots", *SHORT["shots"]],
        check=True,
    )
    subprocess.run(
        [ffmpeg_exe(), "-loglevel", "error", "-i", folder / "talk.mp4", "-an", "-c", "copy", folder / "mute.mp4"],
        check=True,
    )
    (folder / "text.mp4").write_text("no video at all\n")
    return folder


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    """Return the folder of a finished run and what the run printed."""
    folder = tmp_path_factory.mktemp("run") / "a folder with spaces"
    hostile = films / 'it\'s "$(odd)" {name} -ü.mp4'
    shutil.copy(films / "talk.mp4", hostile)
    write_sheet(
        folder,
        {"talk": str(hostile).replace('"', '""').join('""'), "mute": films / "mute.mp4", "text": films / "text.mp4", "gone": films / "gone.mp4"},
    )  # fmt: skip
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout + done.stderr


def test_the_right_clips_are_kept_and_the_others_have_a_reason(run):
    results = run[0] / "results"
    clips = tables.read("clips", results / "clips/talk.parquet")
    kept = clips[clips["kept"]]
    assert len(kept) == 2 and (kept["num_people"] == 2).all()
    for (start, end), truth in zip(kept[["start_frame", "end_frame"]].to_numpy(), [(0, 175), (250, 400)], strict=True):
        assert abs(start - truth[0]) <= 2 and abs(end - truth[1]) <= 2
    assert (clips.loc[~clips["kept"], "rejected_by"] != "").all() and (kept["rejected_by"] == "").all()


def test_the_labels_agree_with_the_truth(run, films):
    scores = subprocess.run(
        [sys.executable, REPO / "scripts/score_labels.py", "--results", run[0] / "results", "--video", "talk"]
        + ["--rttm", films / "talk.rttm", "--boxes", films / "talk.boxes.csv"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(scores.stdout)
    assert found["faces"]["recall"] >= 0.98 and found["faces"]["precision"] >= 0.98
    assert found["speaking"]["accuracy"] >= 0.9


def test_every_file_of_a_clip_speaks_of_the_same_frames(run):
    import numpy as np

    dataset = run[0] / "results/dataset"
    for row in tables.read("dataset", dataset / "clips.parquet").itertuples():
        frames = row.end_frame - row.start_frame
        folder = dataset / row.clip
        assert sum(1 for _ in media.frames(folder / "video.mp4")) == frames
        assert len(media.sound(folder / "audio.wav")) == frames * media.SAMPLES_PER_FRAME
        speakers = json.loads((folder / "speakers.json").read_text())
        assert all(len(p["speaking_score"]) == frames for p in speakers["people"])
        with np.load(folder / "poses.npz") as poses, np.load(folder / "sound.npz") as sound:
            assert len(poses["keypoints"]) == len(sound["sound"]) == frames


def test_bad_videos_are_named_and_the_others_go_on(run):
    folder, printed = run
    videos = tables.read("videos", folder / "results/videos.parquet").set_index("video")
    assert videos["status"].to_dict() == {"talk": "ok", "mute": "no_sound", "text": "failed", "gone": "failed"}
    for video in ("mute", "text", "gone"):
        assert videos.at[video, "reason"] and f"Video {video}: " in printed
    assert "text.mp4" in videos.at["text", "reason"]
    page = (folder / "results/report/inputs.html").read_text()
    assert "gone.mp4" in page
    assert "Traceback" not in printed


def test_the_report_is_made(run):
    assert (run[0] / "results/report.html").stat().st_size > 100_000
    cards = (run[0] / "results/report/clips.html").read_text()
    assert cards.count("<section>") == 2


def test_nothing_is_written_beside_the_results(run):
    # splits.tsv remembers the splits when results/ is deleted.
    assert {p.name for p in run[0].iterdir()} == {"results", "videos.tsv", "splits.tsv", ".snakemake"}


def test_a_second_run_plans_nothing(run):
    assert planned(run[0]) == {}


def test_an_edited_script_plans_nothing(run, tmp_path):
    for folder in ("workflow", "scripts", "config", "resources"):
        shutil.copytree(REPO / folder, tmp_path / folder)
    with (tmp_path / "scripts/talking/faces/tracks.py").open("a") as script:
        script.write("raise RuntimeError('in the middle of an edit')\n")
    assert planned(run[0], "--snakefile", str(tmp_path / "workflow/Snakefile")) == {}


def test_a_script_that_is_edited_while_the_run_goes_on_disturbs_nothing_that_is_done(films, tmp_path):
    for folder in ("workflow", "scripts", "config", "resources"):
        shutil.copytree(REPO / folder, tmp_path / "project" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    words = ("results/tracks/talk.parquet", "--snakefile", str(tmp_path / "project/workflow/Snakefile"))
    write_sheet(tmp_path, {"talk": films / "talk.mp4"})
    script = tmp_path / "project/scripts/talking/faces/tracks.py"
    whole = script.read_text()
    with started(tmp_path, *words) as first:
        # Faces take much longer than it takes to notice that the video is ingested.
        while not (tmp_path / "results/media/talk.json").exists():
            assert first.poll() is None
            time.sleep(0.05)
        script.write_text(f"raise RuntimeError('in the middle of an edit')\n{whole}")
        printed = first.communicate(timeout=600)[0]
    assert first.returncode != 0
    assert "Videos failed: talk: track_faces: RuntimeError: in the middle of an edit" in printed
    script.write_text(whole)
    with started(tmp_path, *words) as again:
        printed = again.communicate(timeout=600)[0]
    assert again.returncode == 0, printed
    assert set(re.findall(r"^(?:local)?rule (\w+):", printed, re.MULTILINE)) == {"track_faces"}
    assert len(tables.read("tracks", tmp_path / "results/tracks/talk.parquet"))


def test_a_sheet_that_is_edited_while_the_run_goes_on_changes_nothing_of_it(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    before = (folder / "videos.tsv").read_text()
    with started(folder, "--forcerun", "cluster_identities") as going:
        while not list((folder / ".snakemake/locks").glob("*")):
            assert going.poll() is None
            time.sleep(0.05)
        # As an editor leaves it that has saved half of it.
        (folder / "videos.tsv").write_text("video\tpa")
        printed = going.communicate(timeout=600)[0]
    assert going.returncode == 0 and "Finished jobid" in printed and "could not be made" not in printed, printed
    for name in ("identities.parquet", "dataset/clips.parquet"):
        assert (folder / "results" / name).read_bytes() == (run[0] / "results" / name).read_bytes()
    # What it says counts next time, though the tables are younger than it.
    (folder / "videos.tsv").write_text(
        before.replace("licence\n", "licence\tsplit\n", 1).replace("CC0\n", "CC0\ttrain\n")
    )
    os.utime(folder / "videos.tsv", (time.time() - 3600,) * 2)
    jobs = planned(folder)
    assert jobs.get("collect_dataset") == 1 and not COSTLY & set(jobs)


def test_a_film_that_is_gone_after_it_was_read_stops_the_run_and_costs_nothing(run, films):
    film = films / "mute.mp4"
    away = film.rename(films / "away.mp4")
    try:
        stopped = snakemake(run[0])
        assert stopped.returncode != 0 and "of video mute is not there any more" in stopped.stdout + stopped.stderr
        assert "Traceback" not in stopped.stdout + stopped.stderr
        without = ("--rerun-triggers", "mtime", "params", "software-env", "code")
        assert planned(run[0], *without) == {}
    finally:
        away.rename(film)
    assert planned(run[0]) == {}


def test_a_video_has_no_more_files_than_the_manual_says(run):
    results = run[0] / "results"
    files = [file.relative_to(results) for file in results.rglob("*talk*") if file.is_file()]
    kinds = {"logs": 18, "benchmarks": 18}
    for kind, most in kinds.items():
        assert sum(file.parts[0] == kind for file in files) <= most
    others = [file for file in files if file.parts[0] not in (*kinds, "dataset", "report")]
    assert 15 < len(others) <= 23, others
    clips = tables.read("dataset", results / "dataset/clips.parquet")["clip"]
    assert all(len(list((results / "dataset" / clip).iterdir())) == 6 for clip in clips)


def test_a_new_row_plans_its_own_jobs_and_the_tables_over_all(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"new\t{films / 'talk.mp4'}\ttest\tCC0\n")
    jobs = planned(folder)
    assert {rule for rule in COSTLY if jobs.get(rule) != 1} == set()
    assert all(count == 1 for rule, count in jobs.items() if rule != "total")


@pytest.mark.fault("a clock that jumped: files of the future", "no costly job planned, the run goes on")
def test_files_of_the_future_plan_no_costly_job_and_are_worked_with(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    # As after a clock that jumped back by an hour while the run was at work.
    media_files = list((folder / "results/media").iterdir())
    assert max(file.stat().st_size for file in media_files) > 1_000_000
    for file in media_files:
        os.utime(file, (time.time() + 3600,) * 2)
    assert not COSTLY & set(planned(folder))
    done = snakemake(folder, "--forcerun", "annotate_clips")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not planned(folder)


def test_deleted_intermediates_are_made_again_for_nothing_that_is_done(run, films, tmp_path):
    folder, asked = copy_run(run[0], tmp_path / "run"), ("delete_intermediates=true",)
    done = snakemake(folder, "all", "--delete-temp-output", config=asked)
    assert done.returncode == 0 and not (folder / "results/landmarks/talk.npz").exists(), done.stdout + done.stderr
    for config in (asked, (), (*asked, "gates={min_area_ratio: 0.99}")):
        assert not COSTLY & set(planned(folder, config=config))
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"new\t{films / 'talk.mp4'}\ttest\tCC0\n")
    assert {rule: count for rule, count in planned(folder, config=asked).items() if rule in COSTLY} == dict.fromkeys(
        COSTLY, 1
    )


@pytest.mark.parametrize("gate", ["min_area_ratio: 0.99", "min_duration_s: 4", "max_num_people: 2, min_num_people: 2"])
def test_a_changed_gate_plans_no_costly_job(run, gate):
    jobs = planned(run[0], config=(f"gates={{{gate}}}",))
    assert jobs.get("select_clips") == 4 and not COSTLY & set(jobs)


def test_how_clips_are_measured_changes_which_are_kept_and_no_pose(run):
    jobs = planned(run[0], config=("qualities={min_talker_s: 2}",))
    assert jobs.get("measure_qualities") == 4 and not COSTLY & set(jobs)
    jobs = planned(run[0], config=("fusion={use_turns: false}",))
    assert COSTLY & set(jobs) == {"fuse_speaking"}
    assert not {"find_people", "find_candidates", "estimate_poses", "embed_sound"} & set(jobs)


def test_a_changed_model_plans_its_stage_and_what_follows(run):
    jobs = planned(run[0], config=("sound={model: wav2vec2}",))
    assert jobs.get("embed_sound") == jobs.get("annotate_clips") == 4
    assert COSTLY & set(jobs) == {"embed_sound"}
    jobs = planned(run[0], config=("speaking={model: light_asd}",))
    assert {"score_asd", "diarize", "fuse_speaking", "find_candidates", "estimate_poses"} <= set(jobs)
    before = {"ingest_media", "detect_shots", "detect_faces", "track_faces", "embed_faces"}
    assert not (before | {"detect_voice", "transcribe"}) & set(jobs)


def test_the_local_profile_offers_the_gpus_and_the_memory_of_the_machine(films, tmp_path, monkeypatch):
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    lines = ["GPU 0: NVIDIA H100 (UUID: GPU-a)", "GPU 1: NVIDIA A100 (UUID: GPU-b)"]
    lines += [f"  MIG 3g.20gb     Device  {n}: (UUID: MIG-{n})" for n in range(2)]
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    write_sheet(tmp_path, {"text": films / "text.mp4"})
    done = snakemake(tmp_path, "results/media/text.json", "--profile", str(REPO / "workflow/profiles/local"))
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    offered = re.search(r"Provided resources: (.*)", printed)[1]
    assert dict(re.findall(r"(\w+)\W+(\d+)", offered)) == {"gpu": "3", "mem_mb": str(total_mb * 9 // 10)}, offered


def test_damaged_weights_of_a_frozen_model_are_trained_anew_on_its_own_data_set_only(run, films, tmp_path):
    folder, asked = copy_run(run[0], tmp_path / "run"), ("covog={train: frozen}",)
    stage = folder / "results/covog/covog/stage2"
    stage.mkdir(parents=True)
    (stage / "weights.safetensors").write_bytes(b"no weights")
    benchmark = folder / "results/benchmarks/covog/covog/stage2.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\n1\n")
    os.utime(benchmark, (1, 1))

    def planning(digest):
        (stage / "provenance.json").write_text(json.dumps({"data_set_sha256": digest}))
        done = snakemake(folder, "--dry-run", "--quiet", "host", config=asked)
        printed = done.stdout + done.stderr
        assert "stage2/weights.safetensors was changed after it was made and is damaged" in printed
        assert "Traceback" not in printed
        return done.returncode == 0, "put a copy of it back" in printed

    digest = store.data_set_hash(folder / "results/dataset")
    assert planning(digest) == (True, False)
    assert planning("0" * 64) == (False, True)
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"new\t{films / 'talk.mp4'}\ttest\tCC0\n")
    assert planning(digest) == (False, True)


def test_after_training_ten_new_videos_train_only_if_asked(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    covog = folder / "results/covog"
    # A model as training leaves it, and what is made of it.
    trained = [
        "config.yaml",
        *(f"stage{n}/{name}" for n in (1, 2) for name in ("weights.safetensors", "losses.parquet")),
    ]
    made = [
        covog / "latents.done",
        *(covog / "covog" / name for name in trained),
        covog / "metrics.parquet",
        covog / "videos/a",
    ]
    made += [folder / "results/report/covog_curves.svg", folder / "results/report/covog_metrics.html"]
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("made\n")
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.writelines(f"new{n}\t{films / 'talk.mp4'}\ttest\tCC0\n" for n in range(10))
    training = {"cache_latents", "train_stage1", "train_stage2", "evaluate_covog"}
    jobs = planned(folder, config=("covog={train: frozen}",))
    assert {jobs.get(rule) for rule in COSTLY} == {10} and not training & set(jobs)
    jobs = planned(folder, config=("covog={train: latest}",))
    assert {jobs.get(rule) for rule in COSTLY} == {10} and training <= set(jobs)


def test_a_second_run_in_the_same_folder_is_refused(films, tmp_path):
    write_sheet(tmp_path, {"talk": films / "talk.mp4"})
    # Landmarks take several times as long as a second run needs to look for the lock.
    target = "results/landmarks/talk.npz"
    command = [sys.executable, "-m", "snakemake", target, "--cores", "1", "--directory", tmp_path]
    with subprocess.Popen(
        [*command, "--config", f"videos={tmp_path / 'videos.tsv'}"], cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:  # fmt: skip
        try:
            while not list((tmp_path / ".snakemake/locks").glob("*")):
                assert first.poll() is None
                time.sleep(0.05)
            second = snakemake(tmp_path, target)
        finally:
            assert first.wait(600) == 0
    assert second.returncode != 0 and "cannot be locked" in second.stdout + second.stderr


def test_a_removed_row_takes_its_clips_with_it(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    write_sheet(folder, {"mute": films / "mute.mp4"})
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables.read("dataset", folder / "results/dataset/clips.parquet").empty
    assert not list((folder / "results/dataset").glob("test_talk_*"))


def test_previews_and_exports_are_made_when_asked(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    done = snakemake(folder, "preview", "export_mit", "export_webdataset")
    assert done.returncode == 0, done.stdout + done.stderr
    clips = tables.read("dataset", folder / "results/dataset/clips.parquet")
    exported = {p.name for p in (folder / "results/export/mit").iterdir() if p.is_dir()}
    assert exported == set(clips["clip"])
    for name in clips["clip"]:
        assert (folder / "results/preview/talk" / f"{name}.mp4").stat().st_size > 10_000


def test_strict_fails_and_names_the_video(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    done = snakemake(folder, config=("strict=true",))
    assert done.returncode != 0 and "text.mp4" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        ("video\tpath\tsource\tlicence\na/../b\tx.mp4\ts\tCC0\n", "a/../b"),
        ("video\tpath\tsource\tlicence\na\tx.mp4\ts\tCC0\nA\ty.mp4\ts\tCC0\n", "already"),
        ("video\tpath\tsource\tlicence\tcolour\n", "unknown column 'colour'"),
        ("video\tpath\tsource\tlicence\na\tfilm:none\ts\tCC0\n", "film:none is no film"),
    ],
)
def test_a_bad_sheet_stops_before_the_first_job(sheet, said, tmp_path):
    (tmp_path / "videos.tsv").write_text(sheet)
    done = snakemake(tmp_path)
    assert done.returncode != 0 and said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("gaits={min_area_ratio: 1}", "did you mean 'gates'"),
        ("gates={min_area_ratio: big}", "gates.min_area_ratio must be a number, not 'big'"),
        ("gates=big", "gates must be a group of keys"),
        ("films={f: {shots: ['1:long']}}", "films.f.shots.0 is '1:long'"),
    ],
)
def test_a_bad_config_stops_before_the_first_job(config, said, tmp_path):
    write_sheet(tmp_path, {"talk": "talk.mp4"})
    done = snakemake(tmp_path, config=(config,))
    assert done.returncode != 0 and said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and not (tmp_path / "results").exists()


def test_a_token_in_an_address_is_shown_nowhere(films, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=films))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, secret, shown = server.server_port, "sEcReT", set()
    rows = {
        "got": f"http://me:{secret}@127.0.0.1:{port}/text.mp4?token={secret}",
        "none": f"http://127.0.0.1:{port}/no?t={secret}",
    }
    write_sheet(tmp_path, rows)
    target = "results/videos.parquet"
    with started(tmp_path, target) as going:
        reader = threading.Thread(target=lambda: shown.add(going.stdout.read()))
        reader.start()
        while going.poll() is None:
            # The process list, as other users of the machine see it.
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    shown.add(file.read_text(errors="replace"))
            time.sleep(0.05)
        reader.join()
    server.shutdown()
    probes = {video: json.loads((tmp_path / f"results/media/{video}.json").read_text()) for video in rows}
    assert "404" in probes["none"]["reason"] and "could not be downloaded" not in probes["got"]["reason"]
    # A changed address is told as a reason to run again.
    write_sheet(tmp_path, {video: f"{url}2" for video, url in rows.items()})
    again = snakemake(tmp_path, target, "--dry-run")
    assert "Params have changed" in again.stdout + again.stderr
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f.name != "videos.tsv" and f.parent.name != "sheets"]
    shown |= {again.stdout, again.stderr, *(file.read_bytes().decode(errors="replace") for file in files)}
    assert len(files) > 50 and not any(secret in words for words in shown)


def test_results_that_are_no_folder_stop_before_the_first_job(tmp_path):
    write_sheet(tmp_path, {"talk": "talk.mp4"})
    (tmp_path / "results").write_text("")
    done = snakemake(tmp_path)
    assert done.returncode != 0 and "results is no folder that can be written" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_names_of_files_may_be_anything(films, tmp_path):
    names = ["x" * 300, "two\nlines", "{missing}", "~", "-dash", 'it\'s "$(odd)"']
    shutil.copy(films / "talk.mp4", tmp_path / "two\nlines")
    write_sheet(tmp_path, {f"v{n}": '"' + name.replace('"', '""') + '"' for n, name in enumerate(names)})
    done = snakemake(tmp_path, "--until", "ingest_media")
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    probes = [json.loads((tmp_path / f"results/media/v{n}.json").read_text()) for n in range(len(names))]
    assert [probe["status"] for probe in probes] == ["failed", "ok", *["failed"] * 4]
    assert all(name in probe["reason"] for name, probe in zip(names, probes, strict=True) if probe["reason"])


def test_outputs_are_the_same_when_run_again(run, films, tmp_path):
    write_sheet(tmp_path, {"talk": films / "talk.mp4"})
    assert snakemake(tmp_path, "results/tracks/talk.parquet").returncode == 0
    first, again = (pd.read_parquet(f / "results/tracks/talk.parquet") for f in (run[0], tmp_path))
    pd.testing.assert_frame_equal(first, again)
