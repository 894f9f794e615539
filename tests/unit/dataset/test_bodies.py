"""Which body a pixel belongs to, of two people drawn side by side."""

import numpy as np

from talking.core import keypoints
from talking.dataset import bodies


def scene(**more):
    """Two bodies of 60×100 px side by side, heads of 40 px, and everything between them people too."""
    probability = np.zeros((200, 300))
    probability[40:, 40:260] = 1
    faces = np.array([[60, 40, 100, 80], [200, 40, 240, 80]], dtype=float)
    points, scores = np.zeros((2, keypoints.COUNT, 2)), np.zeros((2, keypoints.COUNT))
    return {"probability": probability, "faces": faces, "points": points, "scores": scores} | more


def test_a_pixel_belongs_to_the_nearest_body():
    labels = bodies.masks(**scene())
    assert (labels[40:80, 60:100] == 1).all() and (labels[40:80, 200:240] == 2).all()
    assert (labels[100:150, 60:100] == 1).all() and (labels[100:150, 200:240] == 2).all()
    # Half way between them.
    assert set(labels[120, 140:150]) == {1} and set(labels[120, 151:160]) == {2}
    assert not labels[:, :39].any() and not labels[:39].any()


def test_an_arm_that_reaches_over_belongs_to_whom_the_pose_says():
    drawn = scene()
    for name, at in {"left_shoulder": (100, 100), "left_elbow": (150, 110), "left_wrist": (200, 110), "right_shoulder": (60, 100)}.items():  # fmt: skip
        drawn["points"][0, keypoints.INDEX[name]], drawn["scores"][0, keypoints.INDEX[name]] = at, 1
    assert (bodies.masks(**drawn)[110, 140:180] == 1).all()
    assert (bodies.masks(**scene())[110, 160:180] == 2).all()


def test_a_bystanders_body_is_nobodys():
    faces = np.concatenate([scene()["faces"], [[130.0, 40, 170, 80]]])
    labels = bodies.masks(**scene(faces=faces))
    assert (labels[100:150, 140:160] == 3).all() and (labels[100:150, 60:100] == 1).all()
    far = scene()
    far["faces"] = far["faces"][:1]
    far = {name: values if name == "probability" else values[:1] for name, values in far.items()}
    assert not bodies.masks(**far)[120:, 200:].any()


def test_of_two_faces_that_overlap_the_larger_one_is_in_front():
    faces = np.array([[60, 40, 100, 80], [80, 30, 140, 90]], dtype=float)
    labels = bodies.masks(**scene(faces=faces))
    assert (labels[30:90, 80:140] == 2).all() and (labels[40:80, 60:80] == 1).all()


def test_a_body_that_is_seen_is_in_front_of_one_that_is_guessed():
    # The second face looks over the first person's shoulder, and nothing is known of the body below it.
    faces = np.array([[60, 40, 120, 100], [110, 50, 140, 80]], dtype=float)
    drawn = scene(faces=faces, points=np.zeros((1, keypoints.COUNT, 2)), scores=np.zeros((1, keypoints.COUNT)))
    for name, at in {"left_shoulder": (140, 120), "right_shoulder": (40, 120), "left_hip": (130, 190), "right_hip": (50, 190)}.items():  # fmt: skip
        drawn["points"][0, keypoints.INDEX[name]], drawn["scores"][0, keypoints.INDEX[name]] = at, 1
    labels = bodies.masks(**drawn)
    assert (labels[110:180, 60:130] == 1).all() and (labels[50:80, 121:140] == 2).all()
