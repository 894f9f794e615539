"""Faces: recall and precision on a film with truth, small faces in a crowd, sizes, empty and tiny videos."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from talking.core import boxes, tables
from talking.core.errors import InputError
from talking.faces import detect
from talking.video import encoding, media

BOX = ["x1", "y1", "x2", "y2"]


def cut(source: Path, to: Path, start: int, end: int, height: int | None = None) -> Path:
    """Write frames [start, end) of a video as a media file."""
    encoding.encode(to, media.frames(source, start, end, height=height))
    return to


def matched(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[float, float]:
    """Return recall and precision at an overlap of one half."""
    hits = faces_found = wanted = 0
    for frame in sorted(set(truth["frame"]) | set(found["frame"])):
        a, b = truth.loc[truth["frame"] == frame, BOX].to_numpy(), found.loc[found["frame"] == frame, BOX].to_numpy()
        hits += int((boxes.iou_matrix(a, b) >= 0.5).any(axis=1).sum()) if len(b) else 0
        faces_found, wanted = faces_found + len(b), wanted + len(a)
    return hits / wanted, hits / faces_found


@pytest.mark.parametrize(("start", "end", "starts"), [(170, 200, (0, 10)), (330, 350, (0,))])
def test_every_face_of_a_film_is_found_and_nothing_else(shared, tmp_path, start, end, starts) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", start, end)
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("visible >= 0.5 and @start <= frame < @end")
    found = detect.detect(film, detect.Settings(), starts)
    recall, precision = matched(found, truth.assign(frame=truth["frame"] - start))
    assert recall >= 0.98
    assert precision >= 0.98


def test_boxes_span_what_the_truth_spans(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 6)
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame < 6")
    found = detect.detect(film, detect.Settings())
    for frame, group in truth.groupby("frame"):
        overlap = boxes.iou_matrix(group[BOX], found.loc[found["frame"] == frame, BOX])
        assert overlap.max(axis=1).min() > 0.8


def test_points_are_the_persons_own_left_and_right(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 1)
    found = detect.detect(film, detect.Settings())
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
    found = detect.detect(crowd, detect.Settings()).query("frame == 0")
    inside = [((found["x1"] < x) & (x < found["x2"]) & (found["y1"] < y) & (y < found["y2"])).any() for x, y in seen]
    assert inside == [True] * len(seen)


def test_two_people_debating(shared, tmp_path) -> None:
    debate = cut(shared / "data/clips/debate_both.avi", tmp_path / "debate.mp4", 0, 10)
    assert detect.detect(debate, detect.Settings()).groupby("frame").size().tolist() == [2] * 10


@pytest.mark.parametrize("turn", [0, 1])
def test_coordinates_are_of_the_video_whatever_its_size(shared, tmp_path, turn: int) -> None:
    picture = next(media.frames(shared / "data/filmed/sample.mp4", 0, 1))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame == 0").iloc[[0]]
    x = 60
    wide = picture[:, x : x + 600] if turn else np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)[:1080, :1920]
    encoding.encode(tmp_path / "v.mp4", [np.ascontiguousarray(wide)])
    found = detect.detect(tmp_path / "v.mp4", detect.Settings())
    expected = truth[BOX].to_numpy() - [x, 0, x, 0] if turn else truth[BOX].to_numpy() * 2
    assert boxes.iou_matrix(expected, found[BOX]).max() > 0.8


def test_a_film_without_faces_gives_an_empty_table(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 360, 640, 3), dtype=np.uint8)
    encoding.encode(tmp_path / "noise.mp4", noise)
    found = detect.detect(tmp_path / "noise.mp4", detect.Settings())
    tables.write("faces", found, tmp_path / "faces.parquet")
    assert tables.read("faces", tmp_path / "faces.parquet").empty


def test_a_failed_video_gives_an_empty_table(tmp_path) -> None:
    (tmp_path / "failed.mp4").touch()
    assert detect.detect(tmp_path / "failed.mp4", detect.Settings()).empty


def test_yunet_finds_the_same_faces(shared, tmp_path) -> None:
    film = cut(shared / "data/filmed/sample.mp4", tmp_path / "film.mp4", 0, 3)
    weights = str(shared / "weights/yunet_n_dynamic.onnx")
    found = detect.detect(film, detect.Settings(model="yunet", weights=weights))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame < 3")
    assert matched(found, truth) == (1.0, 1.0)


def test_yunet_without_weights_says_what_to_do(tmp_path) -> None:
    (tmp_path / "v.mp4").touch()
    with pytest.raises(InputError, match="yunet needs its weights"):
        detect.detect(tmp_path / "v.mp4", detect.Settings(model="yunet", weights=str(tmp_path / "none.onnx")))


def test_doubles_go_and_neighbours_stay() -> None:
    rows = np.zeros((3, 15))
    rows[:, :4] = [[0, 0, 40, 40], [4, 4, 44, 44], [30, 0, 70, 40]]
    rows[:, 4] = [0.7, 0.9, 0.8]
    assert detect.without_doubles(rows)[:, 4].tolist() == [0.9, 0.8]


def test_a_square_beyond_the_edge_repeats_it() -> None:
    picture = np.arange(20, dtype=np.uint8).reshape(4, 5)
    part, corner = detect.cut_square(picture, np.array([0.0, 0.0]), 4)
    assert corner.tolist() == [-2, -2]
    assert part.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [5, 5, 5, 6]]


class Painted:
    """A detector that finds bright spots: square pictures are looks, all others searches. It counts both."""

    def __init__(self, search_confidence: float = 0.9, look_confidence: float = 0.8) -> None:
        self.searches = self.looks = 0
        self.confidences = search_confidence, look_confidence

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        is_look = picture.shape[0] == picture.shape[1]
        self.searches, self.looks = self.searches + (not is_look), self.looks + is_look
        _, _, stats, _ = cv2.connectedComponentsWithStats((picture[..., 0] > 100).astype(np.uint8))
        spots = [s for s in stats[1:] if s[4] > 50]
        boxes = [[x, y, x + w, y + h, self.confidences[is_look], *[x] * 10] for x, y, w, h, _ in spots]
        return np.array(boxes, dtype=float).reshape(-1, 15)


def painted(*spots: tuple[int, int]) -> np.ndarray:
    """A dark picture of 640×360 with bright spots of 40 px about these places (x, y)."""
    picture = np.zeros((360, 640, 3), dtype=np.uint8)
    for x, y in spots:
        picture[y - 20 : y + 20, x - 20 : x + 20] = 200
    return picture


class PaintedTogether(Painted):
    """The same, which gains from several pictures at once."""

    at_once = 8

    def together(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [self(picture) for picture in pictures]


def detected(monkeypatch, tmp_path, detector: Painted, pictures: list[np.ndarray], starts=(0,)) -> pd.DataFrame:
    """The `faces` table that a detector makes of pictures."""
    encoding.encode(tmp_path / "v.mp4", pictures)
    monkeypatch.setitem(detect.MODELS, "centerface", lambda _: detector)
    return detect.detect(tmp_path / "v.mp4", detect.Settings(), starts)


def test_what_looks_like_a_face_from_one_distance_only_is_none(monkeypatch, tmp_path) -> None:
    detector = Painted(look_confidence=0.1)
    assert detected(monkeypatch, tmp_path, detector, [painted((300, 200))] * 30).empty


def test_confidence_is_no_higher_than_the_whole_pictures(monkeypatch, tmp_path) -> None:
    found = detected(monkeypatch, tmp_path, Painted(0.4, 0.8), [painted((300, 200))] * 30)
    assert len(found) == 30
    assert found["confidence"].to_numpy() == pytest.approx(0.4)


def test_few_pictures_are_searched_and_the_others_are_interpolated(monkeypatch, tmp_path) -> None:
    detector = Painted()
    found = detected(monkeypatch, tmp_path, detector, [painted((200 + 2 * f, 200)) for f in range(50)])
    assert found["frame"].tolist() == list(range(50))
    assert (found["x1"] + found["x2"]).to_numpy() / 2 == pytest.approx(200 + 2 * np.arange(50), abs=1.5)
    assert detector.searches == 3
    assert detector.looks <= 15


def test_a_face_that_was_lost_is_searched_more_often_for_five_seconds(monkeypatch, tmp_path) -> None:
    detector = Painted()
    pictures = [painted((200, 200), *[(500, 300)] * (f < 48)) for f in range(210)]
    found = detected(monkeypatch, tmp_path, detector, pictures)
    assert (found.query("x1 > 400")["frame"].max(), len(found.query("x1 < 400"))) == (44, 210)
    # Frames 0 and 24; 48, where it is lost; every 12th to 168; and 192.
    assert detector.searches == 14


def test_pictures_searched_together_give_the_faces_of_single_ones(monkeypatch, tmp_path) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        painted((200 + 2 * f, 150), *[(500, 250)] * (10 < f < 40), *[rng.integers(40, 300, 2)] * (f % 17 == 0))
        for f in range(70)
    ]
    alone, together = (
        detected(monkeypatch, tmp_path, detector, pictures, (0, 31)) for detector in (Painted(), PaintedTogether())
    )
    pd.testing.assert_frame_equal(alone, together)


@pytest.mark.parametrize("cut", [13, 14, 15, 16])
def test_a_face_reaches_to_the_frame_where_its_shot_ends(monkeypatch, tmp_path, cut: int) -> None:
    pictures = [painted((200, 200))] * cut + [painted((400, 200))] * (30 - cut)
    found = detected(monkeypatch, tmp_path, Painted(), pictures, (0, cut))
    assert found["frame"].tolist() == list(range(30))
    assert (found["x1"] < 300).sum() == cut


def test_who_appears_between_two_searches_is_found_backwards(monkeypatch, tmp_path) -> None:
    pictures = [painted((200, 200))] * 5 + [painted((200, 200), (500, 100))] * 25
    found = detected(monkeypatch, tmp_path, Painted(), pictures).query("x1 > 300")
    assert found["frame"].tolist() == list(range(8, 30))


def test_two_faces_that_meet_are_not_one_face_twice(monkeypatch, tmp_path) -> None:
    pictures = [painted((200 + 6 * min(f, 20), 200), (420 - 6 * min(f, 20), 200)) for f in range(60)]
    found = detected(monkeypatch, tmp_path, Painted(), pictures)
    assert found.query("frame >= 40").groupby("frame").size().max() == 1
