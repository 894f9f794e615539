"""Sapiens 2: the map of its 308 points to the 133, and its real loading code with a small random network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import Sapiens2Config, Sapiens2ForPoseEstimation

from talking import poses
from talking.core import keypoints
from talking.core.errors import InputError
from talking.poses import sapiens, sapiens2
from talking.poses.looks import Piece

# Names of the 308 at some indices, as the authors list them.
NAMES = {
    0: "nose", 5: "left_shoulder", 9: "left_hip", 20: "right_heel", 21: "right_thumb4", 24: "right_thumb_third_joint",
    25: "right_forefinger4", 41: "right_wrist", 42: "left_thumb4", 61: "left_pinky_finger_third_joint", 62: "left_wrist", 77: "tip_of_chin",
    80: "end_of_r_eyebrow", 87: "upper_startpoint_of_l_eyebrow", 97: "l_outer_end_of_upper_lash_line", 120: "r_inner_end_of_upper_lash_line",
    178: "tip_of_nose", 188: "r_outer_corner_of_mouth", 190: "center_of_cupid_bow", 206: "center_of_upper_inner_lip",
}  # fmt: skip
MEANT = {
    "nose": "nose", "left_shoulder": "left_shoulder", "left_hip": "left_hip", "right_heel": "right_heel", "right_thumb4": "right_hand_thumb_4",
    "right_thumb_third_joint": "right_hand_thumb_1", "right_forefinger4": "right_hand_index_4", "left_thumb4": "left_hand_thumb_4",
    "left_pinky_finger_third_joint": "left_hand_little_1", "tip_of_chin": "face_8", "end_of_r_eyebrow": "face_17",
    "upper_startpoint_of_l_eyebrow": "face_22", "l_outer_end_of_upper_lash_line": "face_45", "r_inner_end_of_upper_lash_line": "face_39",
    "tip_of_nose": "face_30", "r_outer_corner_of_mouth": "face_48", "center_of_cupid_bow": "face_51", "center_of_upper_inner_lip": "face_62",
}  # fmt: skip


def test_points_of_the_same_meaning_are_taken() -> None:
    for index, name in NAMES.items():
        if name in MEANT:
            assert sapiens2.SOURCES[keypoints.INDEX[MEANT[name]]] == index
    for side, wrist in (("left", 62), ("right", 41)):
        assert sapiens2.SOURCES[keypoints.INDEX[f"{side}_wrist"]] == wrist
        assert sapiens2.SOURCES[keypoints.INDEX[f"{side}_hand_wrist"]] == wrist


def test_the_map_is_whole_but_for_the_jaw_and_as_symmetric_as_people() -> None:
    jaw = {keypoints.FACE.start + i for i in (3, 4, 5, 6, 7, 9, 10, 11, 12, 13)}
    assert set(range(keypoints.COUNT)) - set(sapiens2.SOURCES) == jaw
    assert {sapiens.MIRRORED[i] for i in sapiens2.SOURCES} == set(sapiens2.SOURCES)
    taken = [of for i, of in sapiens2.SOURCES.items() if keypoints.NAMES[i] not in ("left_wrist", "right_wrist")]
    assert len(taken) == len(set(taken)) and max(taken) < sapiens2.COUNT
    # Of the face, the ears and lids of each side come from the same block of the 308, at the same place in it.
    for own, shift in ((range(0, 3), 26), (range(42, 46), -24)):
        for i in own:
            other = sapiens.MIRRORED[keypoints.FACE.start + i]
            assert abs(sapiens2.SOURCES[other] - sapiens2.SOURCES[keypoints.FACE.start + i]) in (
                abs(shift),
                abs(shift) - 1,
                abs(shift) + 1,
            )


WHOLE = np.array([0, 0, 640, 360])


def piece(*box: float) -> Piece:
    """Return one frame of a face without points, alone in its picture."""
    return Piece(0, 0, np.array([box]), np.full((1, 68, 2), np.nan), WHOLE, np.zeros((1, 0, 4)), goal=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small random Sapiens 2 as transformers writes it."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("sapiens2")
    small(sapiens2.COUNT).save_pretrained(path)
    return path


def small(labels: int) -> Sapiens2ForPoseEstimation:
    head = {"upsample_out_channels": [8, 8], "conv_out_channels": [8]}
    config = Sapiens2Config(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_attention_heads=2,
        image_size=[1024, 768], num_register_tokens=1, num_labels=labels, head_config=head,
    )  # fmt: skip
    return Sapiens2ForPoseEstimation(config)


def test_a_session_gives_the_points_that_the_network_has(folder) -> None:
    picture = np.random.default_rng(4).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    settings = poses.Settings(model="sapiens2", sapiens_weights=str(folder), sapiens_flip=False)
    model, one = poses.MODELS["sapiens2"](settings, 1), piece(300, 60, 360, 130)
    model.look(SimpleNamespace(rgb=lambda: picture), 0, [one])
    model.flush()
    points, scores = one.found[0]
    assert points.shape == (133, 2)
    absent = [i for i in range(keypoints.COUNT) if i not in sapiens2.SOURCES]
    assert not scores[absent].any()
    # The same by hand: the crop, ImageNet's normalisation, the network, the highest cell of the nose's map.
    crop, to_crop = sapiens.cut_out(picture, one.boxes[0])
    values = torch.from_numpy(crop).permute(2, 0, 1)[None] / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    with torch.inference_mode():
        heat = (
            Sapiens2ForPoseEstimation.from_pretrained(folder)
            .eval()(pixel_values=values / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
            .heatmaps
        )
    assert heat.shape == (1, 308, 256, 192)
    row, column = divmod(int(heat[0, 0].argmax()), 192)
    nose = (np.array([column * 767 / 191, row * 1023 / 255]) - to_crop[:, 2]) / to_crop[0, 0]
    np.testing.assert_allclose(points[0], nose, atol=4 / to_crop[0, 0])
    assert scores[0] == pytest.approx(float(heat[0, 0].max().clamp(0, 1)), abs=1 / 512)


@pytest.mark.slow
def test_crops_of_all_faces_and_frames_share_batches_whose_size_changes_nothing(folder) -> None:
    pictures = np.random.default_rng(5).integers(0, 255, (3, 360, 640, 3)).astype(np.uint8)
    found, sizes = {}, {}
    for batch in (1, 4):
        model = sapiens2.opened(folder, batch, True, 1)
        sizes[batch], inner = [], model.points
        model.points = lambda crops, b=batch, f=inner: (sizes[b].append(len(crops)), f(crops))[1]
        faces = [piece(*np.add([300.0, 60, 360, 130], 40 * k)) for k in range(2)]
        for of in faces:
            of.boxes = np.repeat(of.boxes, 3, 0)
            of.points, of.scores, of.others = np.full((3, 68, 2), np.nan), np.zeros(3), np.zeros((3, 0, 4))
        for frame, picture in enumerate(pictures):
            model.look(SimpleNamespace(rgb=lambda p=picture: p), frame, faces)
        model.flush()
        found[batch] = [(of.found[frame]) for of in faces for frame in range(3)]
    assert sizes == {1: [1] * 6, 4: [4, 2]}
    for (points, scores), (same, same_scores) in zip(found[1], found[4], strict=True):
        # A step of rounding: 1/16 px and 1/256.
        np.testing.assert_allclose(points, same, atol=1 / 16)
        np.testing.assert_allclose(scores, same_scores, atol=1 / 256)


@pytest.mark.parametrize("labels", [0, 17])
def test_a_folder_that_holds_another_model_is_named(tmp_path, labels) -> None:
    if labels:
        small(labels).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no Sapiens 2 of 308 points"):
        sapiens2.opened(tmp_path, 1, False, 1)
