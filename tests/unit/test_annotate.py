"""Annotation: cuts against the video they are cut from, periods against every frame, interrupted runs against whole ones."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talking import annotate, arrays, media, tables
from talking.errors import InputError

FRAMES = 120
SHEET = {"source": "s", "licence": "CC0", "url": "https://example.org/v"}


def pictures():
    """Yield pictures no two of which are alike: a bar moves over a fixed pattern."""
    base = np.random.default_rng(0).integers(60, 200, size=(12, 16, 3)).repeat(10, axis=0).repeat(10, axis=1)
    for frame in range(FRAMES):
        picture = base.astype(np.uint8)
        picture[:, frame : frame + 12] = 255
        yield picture


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return the sources of a video of 120 frames with tracks 3 and 5 on screen, of which 3 speaks in frames 20 to 70."""
    folder = tmp_path_factory.mktemp("video")
    noise = np.random.default_rng(1).uniform(-1, 1, FRAMES * 640).astype(np.float32)
    media.encode(folder / "v.mp4", pictures(), noise)
    media.write_sound(folder / "v.wav", noise)
    frame = np.tile(np.arange(FRAMES), 2)
    track = np.repeat([3, 5], FRAMES)
    box = {"x1": track * 10.0, "y1": frame * 1.0, "x2": track * 10.0 + 20, "y2": frame + 20.0}
    tracks = pd.DataFrame({"track": track, "shot": 0, "frame": frame, **box, "detected": True, "confidence": 0.9})
    speaks = (track == 3) & (frame >= 20) & (frame < 70)
    speaking = pd.DataFrame(
        {
            "track": track,
            "frame": frame,
            "score": np.where(speaks, 2.5, -1.0),
            "score_smooth": 0.0,
            "speaking": speaks,
            "speaking_confidence": 0.9,
        }
    )
    words = pd.DataFrame(
        {
            "word": ["before", "hello", "you", "after"],
            "start_s": [0.1, 1.0, 1.2, 3.0],
            "end_s": [0.3, 1.1, 1.4, 4.0],
            "confidence": 0.5,
            "speaker": ["A", "A", "B", "A"],
            "track": pd.array([3, 3, None, 3], dtype="Int32"),
            "said_by": ["track 3", "track 3", "off screen", "track 3"],
        }
    )
    for name, table in {"tracks": tracks, "speaking": speaking, "words": words}.items():
        tables.write(name, table, folder / f"{name}.parquet")
    write_arrays(folder, clips_of((10, 60), (60, 110)))
    paths = {name: folder / f"{name}.parquet" for name in ("tracks", "speaking", "words")}
    paths |= {name: folder / f"{name}.npz" for name in ("poses", "sound")}
    return annotate.Sources(media=folder / "v.mp4", wav=folder / "v.wav", sheet=SHEET, **paths)


def write_arrays(folder, clips):
    poses, sound = {}, {}
    for clip, start, end in clips[["clip", "start_frame", "end_frame"]].itertuples(index=False):
        for name, shape in {"keypoints": (133, 2), "scores": (133,), "boxes": (4,), "valid": ()}.items():
            values = np.ones((end - start, 2, *shape), dtype=np.float32) * np.arange(start, end).reshape(
                -1, *[1] * (1 + len(shape))
            )
            poses[f"{clip}/{name}"] = values.astype(bool) if name == "valid" else values
        sound[f"{clip}/sound"] = np.ones((end - start, 5, 8), dtype=np.float16)
    np.savez(folder / "poses.npz", **poses)
    np.savez(folder / "sound.npz", **sound)


def clips_of(*spans):
    """Return a table `clips` with kept clips of tracks 5 and 3 in the given spans."""
    rows = [
        {
            "clip": f"s_v_{start:06d}to{end:06d}",
            "video": "v",
            "source": "s",
            "shot": 0,
            "start_frame": start,
            "end_frame": end,
            "duration_s": (end - start) / 25,
            "num_people": 2,
            "tracks": [5, 3],
            "speaking_s": [0.0, 1.0],
            "num_turns": 1.0,
            "rejected_by": "",
            "candidate": True,
            "kept": True,
        }
        for start, end in spans
    ]
    frame = pd.DataFrame(rows, columns=tables.schema("clips").names)
    return frame.fillna({c.name: 0 for c in tables.SCHEMAS["clips"] if c.name not in ("tracks", "speaking_s")})


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
    labels = annotate.label(
        clips_of((10, 60)).iloc[0].to_dict(), annotate.Faces(tracks, speaking), tables.empty("words"), 25
    )
    scores = labels["people"][1]["speaking_score"]
    assert len(scores) == 50
    assert scores[9:13] == [-1.0, -1.0, 0.0, 2.5]
    assert scores[40:] == [2.5] * 10
    assert labels["people"][1]["speak"] == [[10, 40]]
    nothing = annotate.Faces(tracks, speaking.assign(score=np.nan))
    labels = annotate.label(clips_of((10, 60)).iloc[0].to_dict(), nothing, tables.empty("words"), 25)
    assert labels["people"][0]["speaking_score"] == [0.0] * 50


def test_what_has_not_changed_is_not_encoded_again(sources, tmp_path, monkeypatch):
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    before = digests(tmp_path)
    (tmp_path / "s_v_000060to000110/audio.wav").write_bytes(b"damaged")
    asked = []
    cut_all = media.cut_all
    monkeypatch.setattr(media, "cut_all", lambda *a, **k: (asked.extend(a[2]), cut_all(*a, **k)))
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    assert [(start, end) for start, end, *_ in asked] == [(60, 110)]
    assert digests(tmp_path) == before


def test_folders_no_longer_kept_are_removed_and_others_are_not(sources, tmp_path):
    for other in ("s_v2_000000to000100", "s_w_v_000000to000100"):
        (tmp_path / other).mkdir()
    annotate.annotate(clips_of((10, 60), (60, 110)), "v", sources, tmp_path)
    clips = clips_of((10, 60), (60, 110))
    clips.loc[0, ["kept", "rejected_by"]] = [False, "min_face_px"]
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
    with pytest.raises(InputError, match="has nothing of s_v_000020to000060"):
        annotate.annotate(clips_of((20, 60)), "v", sources, tmp_path)
