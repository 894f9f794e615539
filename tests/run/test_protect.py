"""A face that is made unrecognisable in an export is found by no detector, and the other one as before."""

import json
import shutil

import numpy as np
import pytest

from talking.core import arrays
from talking.dataset import protect
from talking.dataset.store import Clip, split
from talking.faces import detect
from talking.video import media

pytestmark = pytest.mark.slow


def test_no_face_is_found_where_a_bystander_was(run, tmp_path):
    known = next(
        clip for name in ("train", "test_easy", "test_hard") for clip in split(run[0] / "results/dataset", name)
    )
    folder = shutil.copytree(known, tmp_path / known.name)
    # Of the two people of the conversation, one is taken for a bystander who is not seen in the middle.
    labels = json.loads((folder / "speakers.json").read_text())
    second = labels["people"].pop()
    track = [box if not 40 <= n < 60 else [None] * 4 for n, box in enumerate(second["face_track"])]
    labels["bystanders"] = [{"tracks": [second["track"]], "start": 0, "face_track": track}]
    (folder / "speakers.json").write_text(json.dumps(labels))
    (folder / "meta.json").write_text(json.dumps(Clip(known).meta | {"num_people": 1}))
    with arrays.opened(known / "poses.npz") as poses:
        arrays.write(folder / "poses.npz", [(name, poses[name][:, :1]) for name in poses])
    with protect.passed_on(folder, protect.Settings(protect="bystander_faces")) as passed:
        faces = [detect.detect(clip / "video.mp4", detect.Settings(), [0]) for clip in (folder, passed)]
        frames = Clip(folder).frames
        assert media.size_and_length(passed / "video.mp4") == media.size_and_length(folder / "video.mp4")
        assert [len(found) for found in faces] == [2 * frames, frames]
        first = np.array(labels["people"][0]["face_track"], dtype=float)
        middle = (faces[1][["x1", "y1"]].to_numpy() + faces[1][["x2", "y2"]].to_numpy()) / 2
        assert np.abs(middle - (first[:, :2] + first[:, 2:]) / 2).max() < 5
        box = protect.boxes(labels["bystanders"], frames)[:, 0].round().astype(int)
        for (x1, y1, x2, y2), *pictures in zip(
            box, *(media.frames(f / "video.mp4") for f in (folder, passed)), strict=True
        ):
            change = np.abs(pictures[0].astype(int) - pictures[1]).mean(-1)
            assert change[y1:y2, x1:x2].mean() > 15
            change[max(0, y1 - 4) : y2 + 4, max(0, x1 - 4) : x2 + 4] = 0
            assert change.mean() < 3
    with protect.passed_on(folder, protect.Settings(protect="whole_bystanders")) as passed:
        found = detect.detect(passed / "video.mp4", detect.Settings(), [0])
        assert len(found) == frames and np.abs(found["x1"].to_numpy() - first[:, 0]).max() < 10
    with protect.passed_on(folder, protect.Settings(protect="all_faces")) as passed:
        assert detect.detect(passed / "video.mp4", detect.Settings(), [0]).empty
