"""What a run does again after a change of a script, the sheet, a film, the clock or the config, and what it leaves as it is."""

import os
import shutil
import time

import pytest

from conftest import REPO
from run.workflow import COSTLY, copy_run, planned, snakemake, started, write_sheet
from talking.core import tables

pytestmark = pytest.mark.slow


def test_an_edited_script_plans_nothing(run, tmp_path):
    for folder in ("workflow", "scripts", "config"):
        shutil.copytree(REPO / folder, tmp_path / folder)
    with (tmp_path / "scripts/talking/faces/tracks.py").open("a") as script:
        script.write("raise RuntimeError('in the middle of an edit')\n")
    assert planned(run[0], "--snakefile", str(tmp_path / "workflow/Snakefile")) == {}


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


def test_a_new_row_plans_its_own_jobs_and_the_tables_over_all(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"new\t{films / 'talk.mp4'}\ttest\tCC0\n")
    jobs = planned(folder)
    assert {rule for rule in COSTLY if jobs.get(rule) != 1} == set()
    assert all(count == 1 for rule, count in jobs.items() if rule != "total")


@pytest.mark.fault(
    "a clock that jumped: files with times in the future",
    "no costly job is planned; verify corrects the times and the run continues",
)
def test_files_of_the_future_plan_no_costly_job_and_are_used(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    # As after a clock that jumped back by an hour while the run was at work.
    media_files = list((folder / "results/media").iterdir())
    assert max(file.stat().st_size for file in media_files) > 1_000_000
    for file in media_files:
        os.utime(file, (time.time() + 3600,) * 2)
    assert not COSTLY & set(planned(folder))
    mended = snakemake(folder, "remove_damaged")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert mended.stdout.count("has a time in the future") == len(media_files)
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


def test_a_note_of_a_reviewer_changes_the_clip_s_folder_and_no_gate(run, tmp_path):
    head, when = "video\tstart_s\tend_s\tfield\tvalue\tface\twho\twhen\n", "2026-11-28T10:00:00"
    review, config = tmp_path / "review.tsv", (f"review={tmp_path / 'review.tsv'}",)
    review.write_text(f"{head}talk\t0\t2\tnote\tlook again\t\tAnn\t{when}\n")
    jobs = planned(run[0], config=config)
    assert jobs.get("annotate_clips") == jobs.get("collect_dataset") == 1
    assert "select_clips" not in jobs and not COSTLY & set(jobs)
    review.write_text(f"{head}talk\t0\t2\twords\t\t\tAnn\t{when}\n")
    assert planned(run[0], config=config).get("select_clips") == 1


def test_how_clips_are_measured_changes_which_are_kept_and_no_pose(run):
    jobs = planned(run[0], config=("qualities={min_talker_s: 2}",))
    assert jobs.get("measure_qualities") == 4 and not COSTLY & set(jobs)
    jobs = planned(run[0], config=("fusion={use_turns: false}",))
    assert COSTLY & set(jobs) == {"fuse_speaking"}
    assert not {"find_people", "find_candidates", "estimate_poses", "embed_sound"} & set(jobs)


def test_a_changed_model_plans_its_stage_and_what_follows(run, tmp_path):
    weights = tmp_path / "weights"
    weights.touch()
    jobs = planned(run[0], config=(f"sound={{model: wav2vec2, weights: {weights}}}",))
    assert jobs.get("embed_sound") == jobs.get("annotate_clips") == 4
    assert COSTLY & set(jobs) == {"embed_sound"}
    jobs = planned(run[0], config=(f"speaking={{model: light_asd, weights: {weights}}}",))
    assert {"score_asd", "diarize", "fuse_speaking", "find_candidates", "estimate_poses"} <= set(jobs)
    before = {"ingest_media", "detect_shots", "detect_faces", "track_faces", "embed_faces"}
    assert not (before | {"detect_voice", "transcribe"}) & set(jobs)


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


def test_a_removed_row_takes_its_clips_with_it(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    write_sheet(folder, {"mute": films / "mute.mp4"})
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables.read("dataset", folder / "results/dataset/clips.parquet").empty
    assert not list((folder / "results/dataset").glob("test_talk_*"))
    verified = snakemake(folder, "verify")
    assert verified.returncode == 0 and "0 damaged files" in verified.stdout, verified.stdout + verified.stderr
    # Put back, it has its clips' folders rebuilt and nothing else.
    shutil.copy(run[0] / "videos.tsv", folder)
    jobs = planned(folder)
    assert jobs.get("annotate_clips") == 1 and not COSTLY & set(jobs)
