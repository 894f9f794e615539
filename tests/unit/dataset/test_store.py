"""The store: what a model reads of a clip is what was annotated, frame by frame."""

import json
import re

import numpy as np
import pytest

from conftest import REPO
from gallery_results import make_results
from made_video import FRAMES, clips_of, make_sources
from talking.core.errors import InputError
from talking.dataset import annotate, store
from talking.video import media


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("video"), (10, 60))


@pytest.fixture(scope="module")
def clip(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    annotate.annotate(clips_of((10, 60)), "v", sources, folder)
    return store.Clip(folder / "s_v_000010to000060")


def test_shapes_and_orders(clip):
    assert (clip.frames, clip.people, clip.width, clip.height, clip.fps) == (50, 2, 160, 120, 25)
    assert clip.face_boxes.shape == (50, 2, 4)
    assert clip.face_boxes[7, :, 0].tolist() == [50, 30]
    assert clip.face_boxes[7, 0, 1] == 17
    assert clip.scores[9:11, 1].tolist() == [-1.0, 2.5]
    assert clip.speaking[:, 1].tolist() == [False] * 10 + [True] * 40
    assert not clip.speaking[:, 0].any()
    assert clip.keypoints.shape == (50, 2, 133, 2)
    assert clip.keypoints[5, 0, 0, 0] == 15
    assert clip.pose_scores.shape == (50, 2, 133)
    assert clip.body_boxes.shape == (50, 2, 4)
    assert clip.pose_valid.dtype == bool
    assert clip.sound.shape == (50, 5, 8)


def test_pictures_and_samples_by_frame(clip, sources):
    whole = np.stack(list(media.frames(sources.media)))
    asked = [31, 2, 31]
    for picture, number in zip(clip.pictures_at(asked), asked, strict=True):
        away = np.abs(whole.astype(float) - picture).mean(axis=(1, 2, 3))
        assert np.argmin(away) == number + 10
    assert clip.pictures_at([]).shape == (0, 120, 160, 3)
    assert len(whole) == FRAMES
    assert np.array_equal(clip.samples(3, 5), media.sound(sources.wav, 13, 15))
    with pytest.raises(InputError, match=r"video\.mp4 has no frame 50"):
        clip.pictures_at([49, 50])


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    nothing = store.Clip(tmp_path / "gone")
    with pytest.raises(InputError, match=r"gone/meta\.json"):
        assert nothing.frames
    with pytest.raises(InputError, match=r"gone/poses\.npz"):
        assert nothing.keypoints


def test_splits_are_folders_of_clips(tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.json").write_text(json.dumps([{"clip": "a"}, {"clip": "b"}]))
    assert store.split(tmp_path, "train") == [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(InputError, match=r"test_easy\.json"):
        store.split(tmp_path, "test_easy")


def test_the_loader_of_the_documentation_gives_a_second_of_each_clip(tmp_path):
    (code,) = (
        b
        for b in re.findall(r"```python\n(.*?)```", (REPO / "docs/dataset.md").read_text(), re.DOTALL)
        if "DataLoader" in b
    )
    found: dict = {}
    exec(code.split("\nloader =")[0], found)
    (second,) = found["Seconds"](make_results(tmp_path) / "dataset")
    assert second["pictures"].shape == (25, 120, 160, 3) and second["sound"].shape == (16_000,)
    assert second["speaking"].shape == (25, 2) and second["keypoints"].shape == (25, 2, 133, 2)
