import json

import numpy as np
import pandas as pd
import pytest
from test_people import tracks_of

from talking.core.errors import InputError
from talking.people import fitting


def truth_file(tmp_path, **changes):
    """Write a truth by eye of one face at x = 100 and a poster at x = 300, and return its path."""
    box = {"frame": 0, "x1": 102, "y1": 50, "x2": 141, "y2": 92}
    content = {
        "video": "v",
        "shots": [{"start": 0, "end": 100, "participants": ["host"]}],
        "checked_frames": [0, 25],
        "boxes": [box | {"person": "host"}, box | {"person": "host", "frame": 25}],
        "not_faces": [box | {"x1": 300, "x2": 341, "frame": 40}],
        "ignore": [{"start": 0, "end": 100, "x1": 480, "y1": 0, "x2": 640, "y2": 360}],
    }
    (tmp_path / "v.json").write_text(json.dumps(content | changes))
    return tmp_path / "v.json"


def test_tracks_are_named_by_the_boxes_of_the_truth(tmp_path):
    video, known = fitting.read_truth(truth_file(tmp_path))
    # The face, the poster between checked frames, a checked track of nobody, one in an ignored region, one that was never checked.
    tracks = tracks_of((0, 60, 100), (30, 60, 300), (0, 30, 400), (0, 30, 500), (50, 60, 200))
    assert video == "v"
    assert fitting.names_of(tracks, known) == {0: "host", 1: "", 2: "", 3: None, 4: None}


def test_synthetic_boxes_are_a_truth_too_and_anything_else_is_named(tmp_path):
    boxes = pd.DataFrame(
        {"frame": [0, 0], "person": ["P1", "P2"], "x1": [100, 300], "y1": 50, "x2": [140, 340], "y2": 90}
    )
    boxes.assign(visible=[1.0, 0.0]).to_csv(tmp_path / "talk.boxes.csv")
    video, known = fitting.read_truth(tmp_path / "talk.boxes.csv")
    assert video == "talk" and known.faces["person"].tolist() == ["P1"]
    with pytest.raises(InputError, match=r"v\.json has no truth of faces"):
        fitting.read_truth(truth_file(tmp_path, shots=None))


def test_a_fit_stays_near_its_prior_without_examples_and_follows_many():
    prior = {"presence": 3.5, "still": -7.0}
    rng = np.random.default_rng(0)
    few = pd.DataFrame({"presence": [1.0], "still": [0.0], "truth": [1.0]})
    near = fitting.fit([few], prior, 0.5)
    assert near["weights"]["presence"] == pytest.approx(3.5, abs=0.2)
    # Videos in which presence says nothing.
    many = [
        pd.DataFrame({"presence": rng.uniform(0, 1, 50), "still": 0.0, "truth": rng.integers(0, 2, 50).astype(float)})
        for _ in range(60)
    ]
    far = fitting.fit(many, prior, 0.5)
    assert abs(far["weights"]["presence"]) < 2 and far["weights"]["still"] == -7.0


def test_each_video_is_judged_by_a_calibration_of_the_others():
    def example(still, truth):
        return {"confidence": 1.0, "presence": 1.0, "still": still, "brief": 0.0, "truth": truth}

    faces = pd.DataFrame([example(0.0, 1.0), example(1.0, 0.0)])
    person = {"smaller": 0.0, "blurred": 0.0, "cut_off": 0.0, "brief": 0.0, "silent": 0.0, "aside": 0.0, "truth": 1.0}
    persons = pd.DataFrame([person, person | {"smaller": 3.0, "blurred": 4.0, "silent": 1.0, "truth": 0.0}])
    found = fitting.left_out({"a": (faces, persons), "b": (faces, persons)}, "centerface").set_index("video")
    assert found.loc["a"].to_dict() == dict.fromkeys(
        [f"{kind}{end}" for kind in ("false_faces", "faces", "bystanders", "participants") for end in ("", "_right")], 1
    )
