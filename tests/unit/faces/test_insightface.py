"""InsightFace's networks by small files of the same form: places of detections, aligned faces, what goes wrong."""

import cv2
import numpy as np
import pandas as pd
import pytest

from onnx_models import write_arcface, write_scrfd
from talking.core import pictures
from talking.core.errors import InputError
from talking.faces import detect, embedding, identities, insightface, kept
from talking.video import encoding


@pytest.fixture(scope="module")
def scrfd(tmp_path_factory):
    return write_scrfd(tmp_path_factory.mktemp("onnx") / "det.onnx")


@pytest.fixture(scope="module")
def arcface(tmp_path_factory):
    return write_arcface(tmp_path_factory.mktemp("onnx") / "rec.onnx")


def red_cell(height: int, width: int, x: int, y: int, side: int) -> np.ndarray:
    """A blue picture (BGR) with one red square."""
    picture = np.full((height, width, 3), (255, 0, 0), np.uint8)
    picture[y : y + side, x : x + side] = (0, 0, 255)
    return picture


@pytest.mark.parametrize(("stride", "column", "row"), [(8, 5, 3), (8, 24, 13), (16, 2, 4)])
def test_a_detection_lies_where_its_cell_is_whatever_the_pictures_size(scrfd, stride, column, row) -> None:
    # 210 and 107 are multiples of no stride: the picture is padded.
    found = insightface.scrfd(scrfd)(red_cell(107, 210, column * stride, row * stride, stride))
    best = found[np.argmax((found[:, 2:4] - found[:, :2]).max(axis=1) * (found[:, 4] > 0.9))]
    corner = np.array([column, row]) * stride
    np.testing.assert_allclose(best[:2], corner - np.array([1, 2]) * stride)
    np.testing.assert_allclose(best[2:4], corner + np.array([3, 4]) * stride)
    np.testing.assert_allclose(best[5:], np.tile(corner, 5) + np.arange(1, 11) * 0.1 * stride, atol=1e-4)


def test_of_overlapping_boxes_the_surest_stays(scrfd) -> None:
    picture = red_cell(128, 128, 32, 32, 16)
    picture[32:40, 40:48] = (0, 0, 200)
    found = insightface.scrfd(scrfd)(picture)
    fine = found[np.isclose(found[:, 2] - found[:, 0], 32)]
    assert fine[0, 4] == pytest.approx(1, abs=0.02)
    # The weaker neighbour, whose box shares more than 0.4 of the whole, is gone.
    assert not np.isclose(fine[:, 0], 32).any()


def test_the_table_of_a_video_is_the_same_as_any_detectors(scrfd, tmp_path) -> None:
    encoding.encode(tmp_path / "v.mp4", (red_cell(256, 448, 192, 96, 64)[..., ::-1].copy() for _ in range(6)))
    found = detect.detect(tmp_path / "v.mp4", detect.Settings(model="scrfd", weights=str(scrfd)))
    assert set(found["frame"]) <= set(range(6))
    assert list(found.columns) == ["frame", *detect._COLUMNS]


def face_points() -> np.ndarray:
    """68 points of an upright face of 300 px; only those that alignment looks at lie anywhere special."""
    points = np.random.default_rng(2).uniform(100, 400, (68, 2))
    points[36:42], points[42:48] = (180, 200), (320, 200)
    points[30], points[48], points[54] = (250, 280), (190, 350), (310, 350)
    return points


@pytest.mark.parametrize(("angle", "scale"), [(0, 1.0), (25, 0.7), (-40, 1.6)])
def test_a_face_is_aligned_however_it_is_turned_and_scaled(arcface, angle, scale) -> None:
    points = face_points()
    picture = np.random.default_rng(1).uniform(0, 255, (20, 20, 3)).astype(np.uint8)
    picture = cv2.resize(picture, (500, 500), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((250, 250), angle, scale)
    turn[:, 2] += 400
    moved = cv2.warpAffine(picture, turn, (1300, 1300), flags=cv2.INTER_CUBIC)
    embed = insightface.ArcFace(arcface)
    straight, turned = embed((picture, points)), embed((moved, points @ turn[:, :2].T + turn[:, 2]))
    assert np.linalg.norm(straight) == pytest.approx(1)
    assert straight @ turned > 0.99
    assert straight @ embed((picture[:, ::-1].copy(), points)) < 0.5


def test_faces_embedded_together_are_those_embedded_alone(arcface) -> None:
    rng = np.random.default_rng(5)
    faces = [(rng.integers(0, 255, (300 + 40 * i, 500, 3)).astype(np.uint8), face_points()) for i in range(3)]
    embed = insightface.ArcFace(arcface, at_once=3)
    np.testing.assert_allclose(embed.together(faces), [embed(face) for face in faces], atol=1e-5)


def test_eyes_and_mouth_come_where_the_network_expects_them() -> None:
    picture = np.zeros((500, 500, 3), np.uint8)
    points = face_points()
    for k in (36, 42, 30, 48, 54):
        cv2.circle(picture, points[k].astype(int).tolist(), 9, (255, 255, 255), -1)
    found = insightface.aligned(picture, points)[..., 0]
    _, _, _, centres = cv2.connectedComponentsWithStats((found > 100).astype(np.uint8))
    spots = centres[1:]
    for expected in insightface._EXPECTED:
        assert np.linalg.norm(spots - expected, axis=1).min() < 6


def test_what_shrinks_is_averaged_and_nothing_moves() -> None:
    # Stripes of one pixel vanish into grey; a step stays where it was.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    part = pictures.warped(stripes, np.array([[0.25, 0, 0], [0, 0.25, 0]]), (100, 100))
    assert np.abs(part[1:, 1:].astype(int) - 127).max() <= 2
    step = np.zeros((400, 400, 3), np.uint8)
    step[:, 200:] = 255
    for scale, shift in ((0.25, 0.0), (0.4, 7.0), (2.0, -300.0)):
        part = pictures.warped(step, np.array([[scale, 0, shift], [0, scale, 0]]), (160, 40))[20, :, 0].astype(float)
        # The edge lies between pixels 199 and 200, at 199.5.
        assert np.argmax(part > 127.5) - 0.5 == pytest.approx(199.5 * scale + shift, abs=0.8)


def test_another_embedding_brings_its_own_scale(arcface) -> None:
    table = pd.DataFrame({"track": [0], "frame": [0], "x1": 0.0, "y1": 0.0, "x2": 50.0, "y2": 50.0, "detected": True})
    marks = {"points": np.full((1, 68, 2), np.nan), "yaw": np.zeros(1), "pitch": np.zeros(1), "blur": np.ones(1)}
    settings = embedding.Settings(model="arcface", weights=str(arcface))
    found = embedding.embed(table, marks | kept.Keeper(table).arrays(), settings)
    assert found["embedding"].shape == (0, 512)
    assert found["same_person"].tolist() == [0.6]
    # A quarter turn apart is a distance of 1 - cos 45° = 0.29: one person to ArcFace, two to dlib.
    vectors = np.zeros((2, 512))
    vectors[0, 0], vectors[1, :2] = 1, np.sqrt(0.5)
    tracks = pd.DataFrame({"track": [0, 1], "frame": [0, 9], "x1": 0.0, "y1": 0.0, "x2": 50.0, "y2": 50.0})
    arrays = {"track": np.arange(2), "embedding": vectors, "same_person": found["same_person"]}
    assert identities.cluster_tracks(arrays, tracks, 0) == {0: 0, 1: 0}
    assert identities.cluster_tracks(arrays, tracks, 0.07) == {0: 0, 1: 1}


@pytest.mark.parametrize("content", [None, b"no network"])
def test_weights_that_are_none_are_named(tmp_path, content) -> None:
    file = tmp_path / "w.onnx"
    if content:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.onnx"):
        insightface.scrfd(file)
    with pytest.raises(InputError, match=r"w\.onnx"):
        insightface.ArcFace(file)


def test_another_network_than_scrfd_is_named(arcface) -> None:
    with pytest.raises(InputError, match="is no SCRFD"):
        insightface.scrfd(arcface)
