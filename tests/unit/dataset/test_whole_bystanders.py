"""Of two people side by side in a real video, the one who is made unrecognisable is, and the other one stays as before."""

import json

import numpy as np
import pytest

from talking.core import arrays, keypoints
from talking.dataset import protect
from talking.dataset.store import Clip
from talking.faces import detect
from talking.video import encoding, media

FRAMES = 25


@pytest.fixture(scope="module")
def clip(shared, tmp_path_factory):
    """Return the folder of a second of two people, of whom the right one is a bystander who turned away for the last fifth."""
    folder = tmp_path_factory.mktemp("clips") / "s_v_000000to000025"
    folder.mkdir()
    pictures = [p for _, p in media.frames_at(shared / "data/real/two_in_turn.mp4", range(100, 100 + FRAMES))]
    encoding.encode(folder / "video.mp4", iter(pictures), np.zeros(FRAMES * media.SAMPLES_PER_FRAME, np.float32))
    faces = detect.detect(folder / "video.mp4", detect.Settings(), [0]).sort_values(["frame", "x1"])
    left, right = faces[["x1", "y1", "x2", "y2"]].to_numpy().reshape(FRAMES, 2, 4).swapaxes(0, 1).tolist()
    bystander = {"tracks": [1], "start": 0, "face_track": right[: FRAMES * 4 // 5]}
    speakers = {"people": [{"face_track": left}], "bystanders": [bystander]}
    (folder / "speakers.json").write_text(json.dumps(speakers))
    (folder / "meta.json").write_text(json.dumps({"num_frames": FRAMES, "num_people": 1, "files": {}}))
    points = np.zeros((FRAMES, 1, keypoints.COUNT, 2), np.float32)
    arrays.write(folder / "poses.npz", [("keypoints", points), ("scores", points[..., 0])])
    return folder


def test_no_face_hair_or_clothes_are_left_and_the_other_person_is_the_same(clip):
    with protect.passed_on(clip, protect.Settings(protect="whole_bystanders")) as passed:
        found = detect.detect(passed / "video.mp4", detect.Settings(), [0])
        pairs = list(zip(Clip(clip).pictures(), Clip(passed).pictures(), strict=True))
    boxes = Clip(clip).face_boxes[:, 0]
    assert found["frame"].tolist() == list(range(FRAMES))
    assert np.abs(found[["x1", "y1", "x2", "y2"]].to_numpy() - boxes).max() < 10
    width = pairs[0][0].shape[1]
    for (x1, y1, x2, y2), (before, after) in zip(boxes.astype(int), pairs, strict=True):
        change = np.abs(after.astype(int) - before).max(axis=-1) > 40
        assert change[y1:y2, x1:x2].mean() < 0.001
        # Shirts have edges, and what is left of one has none: of the right third of the picture, and of the left one.
        edges = [
            [sharpness(picture[:, a:b]) for a, b in ((-width // 3, None), (0, width // 3))]
            for picture in (before, after)
        ]
        assert edges[1][0] < edges[0][0] / 5 and edges[1][1] > edges[0][1] * 0.8


def sharpness(picture):
    """Return the mean difference of pixels beside each other."""
    return np.abs(np.diff(picture.astype(int), axis=1)).mean()


def test_no_face_is_left_with_all_faces_hidden(clip):
    with protect.passed_on(clip, protect.Settings(protect="all_faces")) as passed:
        assert detect.detect(passed / "video.mp4", detect.Settings(), [0]).empty
