"""The whole workflow, run as its users run it: on a filmed conversation, a mute film and files that are no videos."""

import itertools
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import scipy
import soundfile

from conftest import REPO
from run.workflow import copy_run, planned, snakemake
from talking.core import tables
from talking.dataset import store
from talking.speech import turns
from talking.video import media

pytestmark = pytest.mark.slow


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


def test_turns_and_replies_are_those_of_the_script(run, films):
    found = tables.read("turns", run[0] / "results/dataset/turns.parquet")
    said = turns.read(films / "talk.rttm", "talk")
    # The first reply begins within a turn; at the cut after seven seconds the talker goes off screen.
    truth = [(a, b) for a, b in itertools.pairwise(said[2:]) if b.start_s - a.end_s < 2]
    assert len(found) == len(truth) == 3
    for row, (turn, reply) in zip(found.itertuples(), truth, strict=True):
        assert abs(row.turn_end_s - turn.end_s) < 0.2 and abs(row.gap_s - (reply.start_s - turn.end_s)) < 0.3
        assert abs(row.reply_start_s - reply.start_s) < 0.2 and abs(row.reply_end_s - reply.end_s) < 0.2
    names = {"P001": found["turn_person"][0], "P005": found["reply_person"][0]}
    assert [names[a.speaker] for a, _ in truth] == found["turn_person"].tolist()
    assert [names[b.speaker] for _, b in truth] == found["reply_person"].tolist()
    assert found["turn_person_seen"].tolist() == ["on_screen", "previous_shot", "on_screen"]
    assert "green bicycle" in found["turn_words"][2]
    listening = tables.read("listening", run[0] / "results/dataset/listening.parquet")
    in_clips = listening[listening["clip"] != ""]
    assert len(in_clips) >= 4 and (in_clips["listener"] != in_clips["speaker"]).all()
    # Who is shown alone while the other one goes on talking.
    assert (listening.loc[listening["speaker_seen_share"] == 0, "listener"] == names["P001"]).all()


def test_every_file_of_a_clip_speaks_of_the_same_frames(run):
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


def test_the_gallery_shows_every_clip_and_every_rejected_segment(run):
    results = run[0] / "results"
    clips = tables.read("clips", results / "clips/talk.parquet")["clip"]
    assert all((results / "gallery/data" / f"{clip}.js").exists() for clip in clips)
    assert (results / "gallery/index.html").exists()


def test_nothing_is_written_beside_the_results(run):
    # splits.tsv remembers the splits when results/ is deleted.
    assert {p.name for p in run[0].iterdir()} == {"results", "videos.tsv", "splits.tsv", ".snakemake"}


def test_a_second_run_plans_nothing(run):
    assert planned(run[0]) == {}


def test_a_video_has_no_more_files_than_the_manual_says(run):
    results = run[0] / "results"
    files = [file.relative_to(results) for file in results.rglob("*talk*") if file.is_file()]
    kinds = {"logs": 18, "benchmarks": 18, "checksums": 18}
    for kind, most in kinds.items():
        assert sum(file.parts[0] == kind for file in files) <= most
    of_candidates = [file for file in files if file.parts[:2] == ("sound", "talk")]
    assert len(of_candidates) == tables.read("clips", results / "clips/talk.parquet")["candidate"].sum()
    others = [file for file in files if file.parts[0] not in (*kinds, "dataset", "gallery", "report")]
    assert 15 < len(others) - len(of_candidates) <= 22, others
    clips = tables.read("dataset", results / "dataset/clips.parquet")["clip"]
    assert all(len(list((results / "dataset" / clip).iterdir())) == 6 for clip in clips)


def test_previews_and_exports_are_made_when_asked(run, films, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    clips = list(tables.read("dataset", folder / "results/dataset/clips.parquet")["clip"])
    # A clip that is in no split is not exported, as is one that shows what another shows.
    exported = [json.dumps([{"clip": clips[1]}]), "[]", "[]", "[]"]
    for split, listed in zip(store.SPLITS, exported, strict=True):
        (folder / f"results/dataset/splits/{split}.json").write_text(listed)
    # By times alone: the sheet of the copy lies elsewhere, for which the data set would be collected, and split, again.
    done = snakemake(folder, "preview", "export_mit", "export_voices", "export_webdataset")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [p.name for p in (folder / "results/export/mit").iterdir() if p.is_dir()] == clips[1:]
    check_voices(folder / "results/export/voices", store.Clip(folder / "results/dataset" / clips[1]))
    for name in clips:
        assert (folder / "results/preview/talk" / f"{name}.mp4").stat().st_size > 10_000
    # A new video changes the data set, and draws only its own clips.
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"new\t{films / 'talk.mp4'}\ttest\tCC0-1.0\n")
    plan = planned(folder, "preview")
    assert plan["preview_clips"] == plan["detect_faces"] == plan["collect_dataset"] == 1


def check_voices(export, clip):
    """Check the voices and masks of a clip against its labels."""
    (listed,) = json.loads((export / "anytalker_train.json").read_text()).values()
    voices = np.stack([soundfile.read(file, dtype="float32")[0] for file in listed["audio_list"]])
    spoken, sound = clip.speaking.sum(axis=1).repeat(media.SAMPLES_PER_FRAME), clip.samples()
    # Away from where somebody begins or ends, the voices together are the sound where one speaks, and silent where nobody does.
    steady = scipy.ndimage.minimum_filter1d(spoken, 320) == scipy.ndimage.maximum_filter1d(spoken, 320)
    assert (steady & (spoken == 1)).mean() > 0.5
    assert np.abs(voices.sum(axis=0) - sound)[steady & (spoken == 1)].max() < 1e-3
    assert not voices[:, steady & (spoken == 0)].any()
    found = json.loads((export / clip.path.name / "multitalk.json").read_text())
    people = np.load(found["people"])
    mask, scale = people["mask"], people["mask"].shape[2] / clip.width
    assert mask.shape[0] == clip.frames and cv2.imread(found["cond_image"]).shape == (clip.height, clip.width, 3)
    for frame in range(0, clip.frames, 10):
        for i, box in enumerate(clip.face_boxes[frame]):
            x1, y1, x2, y2 = (box * scale).astype(int)
            assert (mask[frame, y1:y2, x1:x2] == i + 1).all()
            # A body is below its face, and larger.
            assert (mask[frame] == i + 1).sum() > 2 * (x2 - x1) * (y2 - y1)
    for i, (top, left, bottom, right) in enumerate(found["bbox"].values()):
        x1, y1, x2, y2 = clip.face_boxes[found["reference_frame"], i]
        assert left <= x1 and top <= y1 and x2 <= right and y2 <= bottom


def test_strict_fails_and_names_the_video(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    done = snakemake(folder, config=("strict=true",))
    assert done.returncode != 0 and "text.mp4" in done.stdout + done.stderr
