"""The export with a voice a person, read as MultiTalk and AnyTalker read their input."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from made_video import clips_of, make_sources
from talking.core import arrays, keypoints
from talking.dataset import annotate, export_voices, store
from talking.video import media

SPAN = (10, 34)
CLIP = "s_v_000010to000034"
# A millisecond more than half the time in which voices are faded.
EDGE = round(0.006 * media.SOUND_HZ)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A data set of one clip of 24 frames at 160×120, in which person 1 speaks from frame 10 on and person 0 before."""
    folder = tmp_path_factory.mktemp("dataset")
    annotate.annotate(clips_of(SPAN), "v", make_sources(tmp_path_factory.mktemp("video"), SPAN), folder)
    clip = store.Clip(folder / CLIP)
    speakers = clip.speakers
    speakers["people"][0]["speak"] = [[0, 10]]
    # Nobody's face is seen in frame 0, person 1 alone in frame 1.
    for person, frames in enumerate(([0, 1], [0])):
        for frame in frames:
            speakers["people"][person]["face_track"][frame] = [None] * 4
    (clip.path / "speakers.json").write_text(json.dumps(speakers))
    boxes = np.zeros((clip.frames, 2, 4), dtype=np.float32)
    points = np.zeros((clip.frames, 2, keypoints.COUNT, 2), dtype=np.float32)
    nothing = {"keypoints": points, "scores": points[..., 0], "boxes": boxes, "valid": boxes[..., 0] > 0}
    arrays.write(clip.path / "poses.npz", nothing.items())
    (folder / "splits").mkdir()
    for name, clips in {"train": [{"clip": CLIP}], "test_easy": [], "test_hard": []}.items():
        (folder / "splits" / f"{name}.json").write_text(json.dumps(clips))
    return folder


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "voices"
    export_voices.export(dataset, out)
    return out


def content(exported):
    return json.loads((exported / CLIP / "multitalk.json").read_text())


def test_voices_are_the_sound_of_those_who_speak_and_silence(exported, dataset):
    voices = [soundfile.read(file) for file in content(exported)["cond_audio"].values()]
    sound, rate = soundfile.read(dataset / CLIP / "audio.wav")
    assert {hz for _, hz in voices} == {rate} == {16000} and {len(voice) for voice, _ in voices} == {len(sound)}
    first, second = (voice for voice, _ in voices)
    # One speaks at a time, and the voices fade into each other.
    assert np.abs(first + second - sound).max() < 2 / 32768
    change = 10 * media.SAMPLES_PER_FRAME
    assert not first[change + EDGE :].any() and not second[: change - EDGE].any()
    assert np.array_equal(first[: change - EDGE], sound[: change - EDGE]) and np.abs(sound).max() > 0.5


def test_the_input_is_as_multitalk_reads_it(exported, dataset):
    found = content(exported)
    people = ["person1", "person2"]
    assert list(found["cond_audio"]) == list(found["bbox"]) == list(found["masks"]) == people
    assert found["audio_type"] == "para" and found["prompt"]
    # The first frame in which both faces show.
    assert found["reference_frame"] == 2
    picture = cv2.imread(found["cond_image"])[..., ::-1]
    assert np.array_equal(picture, next(store.Clip(dataset / CLIP).pictures(2, 3)))
    for i, name in enumerate(people):
        # Its numbers are rows, then columns.
        top, left, bottom, right = found["bbox"][name]
        mask = np.zeros(picture.shape[:2], dtype=bool)
        mask[top:bottom, left:right] = True
        x1, y1, x2, y2 = store.Clip(dataset / CLIP).face_boxes[2, i].astype(int)
        assert mask[y1:y2, x1:x2].all() and not mask.all()
        of_person = cv2.imread(found["masks"][name], cv2.IMREAD_GRAYSCALE)
        assert set(np.unique(of_person)) == {0, 255} and of_person[y1:y2, x1:x2].all() and not of_person[~mask].any()
    assert Path(found["video"]).read_bytes() == (dataset / CLIP / "video.mp4").read_bytes()


def test_masks_of_all_frames_cover_the_faces_and_do_not_overlap(exported, dataset):
    clip = store.Clip(dataset / CLIP)
    with np.load(content(exported)["people"]) as people:
        assert np.array_equal(people["face_boxes"], clip.face_boxes, equal_nan=True)
        assert np.array_equal(people["speaking"], clip.speaking)
        mask = people["mask"]
    # Pictures of 160×120 are not made smaller.
    assert mask.shape == (24, 120, 160) and set(np.unique(mask)) <= {0, 1, 2}
    for frame in range(2, 24):
        for i, (x1, y1, x2, y2) in enumerate(clip.face_boxes[frame].astype(int)):
            assert (mask[frame, y1:y2, x1:x2] == i + 1).all()


def test_the_lists_are_as_anytalker_reads_them(exported):
    listed = json.loads((exported / "anytalker_train.json").read_text())
    found = content(exported)
    assert listed == {
        CLIP: {
            "image_path": found["cond_image"],
            "caption": found["prompt"],
            "enhance_caption": found["prompt"],
            "audio_list": [found["cond_audio"]["person1"], found["cond_audio"]["person2"]],
        }
    }
    assert json.loads((exported / "anytalker_val.json").read_text()) == {}


def test_unchanged_clips_stay_and_others_are_made_again_or_removed(dataset, tmp_path):
    out = tmp_path / "voices"
    export_voices.export(dataset, out, export_voices.Settings(root="/data"))
    assert content(out)["cond_audio"]["person2"] == f"/data/{CLIP}/person2.wav"
    file = out / CLIP / "person1.wav"
    file.write_bytes(b"")
    (out / "s_v_000040to000060").mkdir()
    export_voices.export(dataset, out, export_voices.Settings(root="/data"))
    assert file.read_bytes() == b"" and not (out / "s_v_000040to000060").exists()
    changed = shutil.copytree(dataset, tmp_path / "dataset")
    meta = json.loads((changed / CLIP / "meta.json").read_text())
    (changed / CLIP / "meta.json").write_text(json.dumps(meta | {"cut": "another"}))
    export_voices.export(changed, out, export_voices.Settings(root="/data"))
    assert file.stat().st_size > 10_000
