"""Faces: recall and precision on a film with truth, small faces in a crowd, sizes, empty and tiny videos."""

from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from talking import boxes, faces, media, tables
from talking.errors import InputError

BOX = ["x1", "y1", "x2", "y2"]


def cut(source: Path, to: Path, start: int, end: int, height: int | None = None) -> Path:
    """Write frames [start, end) of a video as a media file."""
    media.encode(to, media.frames(source, start, end, height=height))
    return to


def matched(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[float, float]:
    """Return recall and precision at an overlap of one half."""
    hits = faces_found = wanted = 0
    for frame in sorted(set(truth["frame"]) | set(found["frame"])):
        a, b = truth.loc[truth["frame"] == frame, BOX].to_numpy(), found.loc[found["frame"] == frame, BOX].to_numpy()
        hits += int((boxes.iou_matrix(a, b) >= 0.5).any(axis=1).sum()) if len(b) else 0
        faces_found, wanted = faces_found + len(b), wanted + len(a)
    return hits / wanted, hits / faces_found


@pytest.mark.parametrize(("start", "end"), [(170, 200), (330, 350)])
def test_every_face_of_a_film_is_found_and_nothing_else(shared, tmp_path, start: int, end: int) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", start, end)
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("visible >= 0.5 and @start <= frame < @end")
    found = faces.detect(film, faces.Settings())
    recall, precision = matched(found, truth.assign(frame=truth["frame"] - start))
    assert recall >= 0.98
    assert precision >= 0.98


def test_boxes_span_what_the_truth_spans(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 6)
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame < 6")
    found = faces.detect(film, faces.Settings())
    for frame, group in truth.groupby("frame"):
        overlap = boxes.iou_matrix(group[BOX], found.loc[found["frame"] == frame, BOX])
        assert overlap.max(axis=1).min() > 0.8


def test_points_are_the_persons_own_left_and_right(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 1)
    found = faces.detect(film, faces.Settings())
    assert len(found) == 2
    # Seen from the front the right eye is on the left of the picture.
    assert (found["right_eye_x"] < found["nose_x"]).all()
    assert (found["nose_x"] < found["left_eye_x"]).all()
    assert (found["mouth_right_x"] < found["mouth_left_x"]).all()
    assert (found["right_eye_y"] < found["nose_y"]).all()
    assert (found["nose_y"] < found["mouth_left_y"]).all()


def test_small_faces_in_a_crowd(shared, tmp_path) -> None:
    crowd = cut(shared / "data/clips/crowd_silent.mp4", tmp_path / "crowd.mp4", 0, 2, height=720)
    # Counted by eye in the first picture, at 1280×720: middles of the visible faces of 24 pixels and more.
    seen = np.array([[222, 517], [208, 440], [471, 398], [592, 430], [629, 452], [736, 427], [996, 372]])
    found = faces.detect(crowd, faces.Settings()).query("frame == 0")
    inside = [((found["x1"] < x) & (x < found["x2"]) & (found["y1"] < y) & (y < found["y2"])).any() for x, y in seen]
    assert inside == [True] * len(seen)


def test_two_people_debating(shared, tmp_path) -> None:
    debate = cut(shared / "data/clips/debate_both.avi", tmp_path / "debate.mp4", 0, 10)
    assert faces.detect(debate, faces.Settings()).groupby("frame").size().tolist() == [2] * 10


@pytest.mark.parametrize("turn", [0, 1])
def test_coordinates_are_of_the_video_whatever_its_size(shared, tmp_path, turn: int) -> None:
    picture = next(media.frames(shared / "data/filmed/sample.mp4", 0, 1))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame == 0").iloc[[0]]
    x = 60
    wide = picture[:, x : x + 600] if turn else np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)[:1080, :1920]
    media.encode(tmp_path / "v.mp4", [np.ascontiguousarray(wide)])
    found = faces.detect(tmp_path / "v.mp4", faces.Settings())
    expected = truth[BOX].to_numpy() - [x, 0, x, 0] if turn else truth[BOX].to_numpy() * 2
    assert boxes.iou_matrix(expected, found[BOX]).max() > 0.8


def test_a_film_without_faces_gives_an_empty_table(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 360, 640, 3), dtype=np.uint8)
    media.encode(tmp_path / "noise.mp4", noise)
    found = faces.detect(tmp_path / "noise.mp4", faces.Settings())
    tables.write("faces", found, tmp_path / "faces.parquet")
    assert tables.read("faces", tmp_path / "faces.parquet").empty


def test_a_failed_video_gives_an_empty_table(tmp_path) -> None:
    (tmp_path / "failed.mp4").touch()
    assert faces.detect(tmp_path / "failed.mp4", faces.Settings()).empty


def test_yunet_finds_the_same_faces(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 3)
    weights = str(shared / "weights/yunet_n_dynamic.onnx")
    found = faces.detect(film, faces.Settings(model="yunet", weights=weights))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame < 3")
    assert matched(found, truth) == (1.0, 1.0)


def test_yunet_without_weights_says_what_to_do(tmp_path) -> None:
    (tmp_path / "v.mp4").touch()
    with pytest.raises(InputError, match="yunet needs its weights"):
        faces.detect(tmp_path / "v.mp4", faces.Settings(model="yunet", weights=str(tmp_path / "none.onnx")))


def test_doubles_go_and_neighbours_stay() -> None:
    rows = np.zeros((3, 15))
    rows[:, :4] = [[0, 0, 40, 40], [4, 4, 44, 44], [30, 0, 70, 40]]
    rows[:, 4] = [0.7, 0.9, 0.8]
    assert faces.without_doubles(rows)[:, 4].tolist() == [0.9, 0.8]


def test_a_square_beyond_the_edge_repeats_it() -> None:
    picture = np.arange(20, dtype=np.uint8).reshape(4, 5)
    part, corner = faces.cut_square(picture, np.array([0.0, 0.0]), 4)
    assert corner.tolist() == [-2, -2]
    assert part.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [5, 5, 5, 6]]


def test_detecting_keeps_nothing_of_a_picture() -> None:
    detector = faces.MODELS["yuface"](faces.Settings())
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    process = psutil.Process()
    detector(picture)
    before = process.memory_info().rss
    for _ in range(500):
        detector(picture)
    assert process.memory_info().rss - before < 5e6


@pytest.mark.parametrize("looks_like_one", [1, 2, 99])
def test_what_looks_like_a_face_from_one_place_only_is_none(looks_like_one):
    looks = 0

    def detector(picture: np.ndarray) -> np.ndarray:
        nonlocal looks
        height, width = picture.shape[:2]
        if height == width:
            looks += 1
            if looks >= looks_like_one:
                return np.zeros((0, 15))
        middle = np.array([width / 2, height / 2])
        side = min(width, height) / 4
        return np.concatenate([middle - side, middle + side, [0.8], np.tile(middle, 5)])[None]

    found = faces._Finder(detector, faces.Settings())(np.zeros((360, 640, 3), dtype=np.uint8))
    assert len(found) == (looks_like_one == 99)
