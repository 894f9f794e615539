"""Annotation: cuts against the video they are cut from, periods against every frame, interrupted runs against whole ones."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from made_video import clips_of, make_sources
from talking.core import arrays, tables
from talking.core.errors import InputError
from talking.dataset import annotate
from talking.faces.tracked import Faces
from talking.review.decisions import Decision, Face
from talking.video import cutting, media


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("video"), (10, 60), (60, 110))


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_clip_is_the_video_between_its_frames(sources, tmp_path):
    index = annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    tables.write("annotations", index, tmp_path / "annotations.parquet")
    whole = list(media.frames(sources.media))
    for start, end in ((10, 60), (60, 110)):
        cut = list(media.frames(tmp_path / f"s_v_{start:06d}to{end:06d}" / "video.mp4"))
        assert len(cut) == end - start
        for number in (0, -1):
            away = [np.abs(cut[number] - picture.astype(float)).mean() for picture in whole]
            assert np.argmin(away) == (start, end - 1)[number]
            assert min(away) < 3
        heard = media.sound(tmp_path / f"s_v_{start:06d}to{end:06d}" / "audio.wav")
        assert np.array_equal(heard, media.sound(sources.wav, start, end))
    assert index["num_frames"].tolist() == [50, 50]
    assert index.loc[0, "bytes"] == sum(f.stat().st_size for f in (tmp_path / "s_v_000010to000060").iterdir())


def test_labels_are_in_frames_of_the_clip_and_persons_in_its_order(sources, tmp_path):
    annotate.annotate(clips_of((10, 60)), "v", sources, tmp_path)
    folder = tmp_path / "s_v_000010to000060"
    speakers = json.loads((folder / "speakers.json").read_text())
    quiet, talker = speakers["people"]
    assert (quiet["track"], talker["track"]) == (5, 3)
    assert talker["speak"] == [[10, 50]]
    assert talker["listen"] == [[0, 10]]
    assert talker["speak_merged"] == [[0, 50]]
    assert quiet["listen"] == [[0, 50]]
    assert talker["face_track"][0] == [30, 10, 50, 30]
    assert talker["speaking_score"][:11] == [-1.0] * 10 + [2.5]
    assert [(w["word"], w["start_s"], w["person"]) for w in speakers["words"]] == [
        ("hello", 0.6, 1),
        ("you", 0.8, None),
    ]
    with np.load(folder / "poses.npz", allow_pickle=False) as poses:
        assert poses["keypoints"][:, 0, 0, 0].tolist() == list(range(10, 60))
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["period_s"] == [0.4, 2.4]
    assert meta["num_turns"] == 1
    assert meta["licence"] == "CC0"
    assert meta["files"]["video.mp4"]["sha256"] == hashlib.sha256((folder / "video.mp4").read_bytes()).hexdigest()


def test_meta_says_who_reviewed_a_clip_and_what_was_decided(sources, tmp_path):
    decision = Decision("v", 1.0, 2.0, "speaking", "no", Face(1.0, 0.25, 0.3), "Ann", "2026-11-28T10:00:00")
    reviewed = dataclasses.replace(sources, decisions=[decision])
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", reviewed, tmp_path)
    first, second = (
        json.loads((tmp_path / f"s_v_{a}/meta.json").read_text()) for a in ("000010to000060", "000060to000110")
    )
    assert first["reviewed_by"] == ["Ann"] and second["reviewed_by"] == second["decisions"] == []
    assert [(d["field"], d["start_s"], d["end_s"]) for d in first["decisions"]] == [("speaking", 0.6, 1.6)]


def no_links(*_):
    raise OSError("this file system has no hard links")


@pytest.mark.parametrize("links", [True, False])
def test_sound_features_lie_on_the_disk_once_and_outlive_the_results(sources, tmp_path, monkeypatch, links):
    sound = shutil.copytree(sources.sound, tmp_path / "sound")
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    annotate.annotate(clips_of((10, 60)), "v", dataclasses.replace(sources, sound=sound), tmp_path / "dataset")
    of_results, of_clip = sound / "s_v_000010to000060.npz", tmp_path / "dataset/s_v_000010to000060/sound.npz"
    assert of_clip.samefile(of_results) == links
    content = of_results.read_bytes()
    # As at the next run, and with delete_intermediates.
    shutil.rmtree(sound)
    assert of_clip.read_bytes() == content


@pytest.mark.parametrize("seed", range(30))
def test_periods_partition_every_frame(seed):
    rng = np.random.default_rng(seed)
    speaking = rng.random(int(rng.integers(1, 200))).cumsum() % rng.integers(1, 30) < 4
    found = annotate.periods(speaking, 25)
    for speak, listen in (("speak", "listen"), ("speak_merged", "listen_merged")):
        covered = sorted(found[speak] + found[listen])
        assert [frame for start, end in covered for frame in range(start, end)] == list(range(len(speaking)))
    assert all(speaking[start:end].all() for start, end in found["speak"])
    merged = [end - start for start, end in found["speak_merged"] + found["listen_merged"]]
    assert min(merged) >= 25 or len(merged) == 1


def test_scores_that_are_missing_are_those_of_the_nearest_frame(sources):
    tracks = tables.read("tracks", sources.tracks)
    speaking = tables.read("speaking", sources.speaking)
    speaking.loc[speaking["frame"] == 20, "score"] = np.nan
    speaking.loc[speaking["frame"] == 21, "score"] = 0.0
    speaking = speaking[speaking["frame"] < 50]
    labels = annotate.label(clips_of((10, 60)).iloc[0].to_dict(), Faces(tracks, speaking), tables.empty("words"), 25)
    scores = labels["people"][1]["speaking_score"]
    assert len(scores) == 50
    assert scores[9:13] == [-1.0, -1.0, 0.0, 2.5]
    assert scores[40:] == [2.5] * 10
    assert labels["people"][1]["speak"] == [[10, 40]]
    nothing = Faces(tracks, speaking.assign(score=np.nan))
    labels = annotate.label(clips_of((10, 60)).iloc[0].to_dict(), nothing, tables.empty("words"), 25)
    assert labels["people"][0]["speaking_score"] == [0.0] * 50


def test_who_is_away_has_no_box_and_is_silent_and_bystanders_have_boxes(sources):
    tracks, speaking = tables.read("tracks", sources.tracks), tables.read("speaking", sources.speaking)
    away = (tracks["track"] == 3) & tracks["frame"].between(30, 39)
    after = (tracks["track"] == 3) & (tracks["frame"] >= 40)
    tracks.loc[after, "track"] = speaking.loc[after, "track"] = 4
    faces = Faces(tracks[~away], speaking[~away])
    clip = clips_of((10, 60)).iloc[0].to_dict() | {"tracks": [4], "person_tracks": [[3, 4]], "bystander_tracks": [[5]]}
    labels = annotate.label(clip, faces, tables.read("words", sources.words).assign(track=3), 25)
    [person], [bystander] = labels["people"], labels["bystanders"]
    assert person["absent"] == [[20, 30]] and person["speak"] == [[10, 20], [30, 50]]
    assert person["face_track"][19:21] == [[30, 29, 50, 49], [None] * 4]
    assert len(person["face_track"]) == len(person["speaking_score"]) == 50
    assert all(word["person"] == 0 for word in labels["words"])
    assert (bystander["tracks"], bystander["start"], len(bystander["face_track"])) == ([5], 0, 50)
    # What a model reads back.
    assert np.isnan(np.array(person["face_track"], dtype=float)[20:30]).all()


def test_what_has_not_changed_is_not_encoded_again(sources, tmp_path, monkeypatch):
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    before = digests(tmp_path)
    asked = []
    cut_all = cutting.cut_all
    monkeypatch.setattr(cutting, "cut_all", lambda *a, **k: (asked.extend(a[2]), cut_all(*a, **k)))
    for name in ("audio.wav", "meta.json"):
        (tmp_path / "s_v_000060to000110" / name).write_bytes(b"damaged")
        asked.clear()
        annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
        assert [(start, end) for start, end, *_ in asked] == [(60, 110)]
        assert digests(tmp_path) == before


def test_folders_no_longer_kept_are_removed_and_others_are_not(sources, tmp_path):
    for other in ("s_v2_000000to000100", "s_w_v_000000to000100"):
        (tmp_path / other).mkdir()
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    clips = clips_of((10, 60), (60, 110))
    clips.loc[0, ["kept", "rejected_by"]] = [False, "min_area_ratio"]
    annotate.annotate(clips, "v", sources, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "s_v2_000000to000100",
        "s_v_000060to000110",
        "s_w_v_000000to000100",
    ]
    assert len(annotate.annotate(clips.assign(kept=False), "v", sources, tmp_path)) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s_v2_000000to000100", "s_w_v_000000to000100"]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_a_kill_at_any_moment_and_a_rerun_leave_the_same(sources, tmp_path, monkeypatch):
    old, new = clips_of((10, 60), (60, 110)), clips_of((60, 110))
    write = annotate.annotate
    write(new, "v", sources, tmp_path / "whole")
    expected = digests(tmp_path / "whole")
    write(old, "v", sources, tmp_path / "before")
    moment = {"left": 0}

    def interrupted(function):
        def call(*args, **kwargs):
            moment["left"] -= 1
            if moment["left"] == 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    steps = [(annotate, "_write_json"), (arrays, "write"), (shutil, "rmtree"), (os, "link"), (Path, "rename")]
    for at in range(1, 100):
        dataset = tmp_path / f"killed{at}"
        shutil.copytree(tmp_path / "before", dataset)
        with monkeypatch.context() as patch:
            for owner, name in steps:
                patch.setattr(owner, name, interrupted(getattr(owner, name)))
            moment["left"] = at
            try:
                write(new, "v", sources, dataset)
            except Killed:
                pass
            else:
                break
        write(new, "v", sources, dataset)
        assert digests(dataset) == expected
        assert sorted(p.name for p in dataset.iterdir()) == ["s_v_000060to000110"]
    assert at > 6


def test_arrays_of_another_length_are_refused(sources, tmp_path):
    with pytest.raises(InputError, match="has no arrays of s_v_000020to000060"):
        annotate.annotate(clips_of((20, 60)), "v", sources, tmp_path)
