"""Windows: where a split screen, bars and captions end, and that a door frame or a desk divides nobody."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
import pytest

from talking import poses
from talking.core import keypoints, tables
from talking.poses import reading, windows
from talking.poses.looks import Piece
from talking.video import encoding, media

SIZE = (360, 640)
PEOPLE = np.array([[110.0, 80, 190, 180], [430, 90, 510, 190]])


def _scene(seed: int, frame: int, height: int, width: int) -> np.ndarray:
    """Return one picture (height, width, 3) of a scene in which everything moves."""
    blobs = np.random.default_rng(seed).uniform(40, 220, (12, 20, 3)).astype(np.float32)
    picture = cv2.resize(blobs, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    shift = int(6 * frame + 10 * np.sin(frame))
    return np.clip(picture[shift : shift + height, shift : shift + width], 0, 255).astype(np.uint8)


def _pictures(draw) -> list[np.ndarray]:
    """Return a few noisy pictures, each first a moving scene, then drawn over by `draw(picture, frame)`."""
    made, rng = [], np.random.default_rng(0)
    for frame in range(windows.PICTURES):
        picture = _scene(1, frame, *SIZE)
        draw(picture, frame)
        made.append(np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8))
    return made


def _split(picture: np.ndarray, frame: int) -> None:
    """Put another scene into the right half."""
    picture[:, 320:] = _scene(2, -frame % windows.PICTURES, SIZE[0], 320)


def test_a_split_screen_has_a_window_for_each_person() -> None:
    left, right = windows.find(_pictures(_split), PEOPLE)
    assert left[[0, 1, 3]].tolist() == [0, 0, 360] and 314 <= left[2] <= 320
    assert right[1:].tolist() == [0, 640, 360] and 320 <= right[0] <= 326


def test_windows_before_a_backdrop_end_where_they_end() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        _split(picture, frame)
        backdrop = np.zeros_like(picture)
        backdrop[40:330, 60:300], backdrop[40:330, 340:600] = picture[40:330, 60:300], picture[40:330, 340:600]
        picture[:] = backdrop

    found = windows.find(_pictures(draw), PEOPLE)
    # Edges may take a few pixels; where a window goes up to matters to nobody's body.
    np.testing.assert_allclose(found[:, [0, 2]], [[60, 300], [340, 600]], atol=4)
    np.testing.assert_allclose(found[:, 3], 330, atol=4)


def test_four_windows_part_those_above_each_other() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        _split(picture, frame)
        picture[180:, :320] = _scene(3, frame, 180, 320)
        picture[180:, 320:] = _scene(4, frame, 180, 320)

    faces = np.array([[130.0, 40, 170, 90], [450, 40, 490, 90], [130, 230, 170, 280], [450, 230, 490, 280]])
    found = windows.find(_pictures(draw), faces)
    np.testing.assert_allclose(
        found, [[0, 0, 320, 180], [320, 0, 640, 180], [0, 180, 320, 360], [320, 180, 640, 360]], atol=6
    )


def test_a_pillar_that_somebody_reaches_across_divides_nothing() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        picture[:, 300:330] = 30
        # An arm moves up and down before it.
        top = 150 + 10 * (frame % 3)
        picture[top : top + 60, 200:420] = (190, 140, 120)

    assert windows.find(_pictures(draw), PEOPLE).tolist() == [[0, 0, 640, 360]] * 2


def test_straight_lines_that_part_nobody_divide_nothing() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        picture[300:] = (110, 70, 40)
        picture[:, :40] = 230

    assert windows.find(_pictures(draw), PEOPLE).tolist() == [[0, 0, 640, 360]] * 2


def test_a_moving_camera_keeps_no_line() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        picture[:, 300 + 4 * frame : 330 + 4 * frame] = 30

    assert windows.find(_pictures(draw), PEOPLE).tolist() == [[0, 0, 640, 360]] * 2


@pytest.mark.parametrize("caption", [False, True])
def test_bars_are_no_part_of_the_picture_with_writing_in_them_or_without(caption: bool) -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        picture[:40], picture[310:], picture[:, :30] = 0, 0, 0
        if caption:
            # A black suit, which has no edge towards the bar.
            picture[200:310, 200:420] = 0
            cv2.putText(picture, f"so {frame * 7919} I said", (120, 345), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,) * 3, 2)

    found = windows.find(_pictures(draw), PEOPLE[:1])
    np.testing.assert_allclose(found, [[30, 40, 640, 310]], atol=3)


def test_a_dark_scene_has_no_bars() -> None:
    def draw(picture: np.ndarray, frame: int) -> None:
        picture[:] = picture * np.linspace(0, 1, SIZE[0])[:, None, None] ** 2

    assert windows.find(_pictures(draw), PEOPLE).tolist() == [[0, 0, 640, 360]] * 2


@pytest.mark.parametrize(
    ("video", "frames", "faces", "wanted"),
    [
        # Two windows before a backdrop that moves; a backdrop of red and blue lines.
        ("interview.mp4", 430, [(300, 80, 510, 320), (770, 80, 960, 330)], [(169, 0, 632, 720), (648, 0, 1115, 720)]),
        # A white line between them; captions in the bar below.
        (
            "debate_split_screen.mp4",
            320,
            [(370, 90, 660, 400), (1300, 90, 1580, 400)],
            [(0, 0, 956, 883), (965, 0, 1920, 883)],
        ),
        # A letterbox.
        ("phone_hi.mp4", 160, [(220, 110, 320, 220)], [(0, 82, 600, 397)]),
        # One room, with much that is straight.
        ("two_in_turn.mp4", 200, [(190, 90, 290, 210), (560, 90, 660, 210)], [(0, 0, 832, 448)] * 2),
    ],
)
def test_windows_of_real_videos(shared, video, frames, faces, wanted) -> None:
    numbers = np.linspace(0, frames - 1, windows.PICTURES).astype(int)
    pictures = [picture for _, picture in media.frames_at(shared / "data/real" / video, numbers.tolist())]
    np.testing.assert_allclose(windows.find(pictures, np.array(faces, dtype=float)), wanted, atol=8)


class _Outstretched:
    """Stands for a model: everybody's left arm is stretched out to the right."""

    def look(self, picture: reading.Picture, frame: int, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            points, scores = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
            box = piece.face(frame).box
            for name, away in (("nose", 0), ("left_eye", 5), ("right_eye", -5), ("left_wrist", 300)):
                points[keypoints.INDEX[name]] = (box[:2] + box[2:]) / 2 + [away, 0]
                scores[keypoints.INDEX[name]] = 0.9
            piece.add(frame, points, scores)

    def flush(self) -> None:
        pass


def test_no_pose_crosses_the_split_and_windows_are_those_of_each_shot(tmp_path, monkeypatch) -> None:
    """Frames 0 to 24 are a split screen, then a cut to a scene that both people are in."""
    video = tmp_path / "split.mp4"
    pictures = [_scene(1, frame % 8, *SIZE) for frame in range(50)]
    for frame in range(25):
        _split(pictures[frame], frame % 8)
    encoding.encode(video, iter(pictures))
    rows = [
        (2 * shot + p, shot, 25 * shot + k, *PEOPLE[p], True, 0.9) for shot in (0, 1) for p in (0, 1) for k in range(25)
    ]
    tracks = pd.DataFrame(rows, columns=["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence"])
    candidates = tables.empty("candidates").reindex(range(2)).assign(candidate=True, clip=["a", "b"])
    candidates["start_frame"], candidates["end_frame"] = [0, 25], [25, 50]
    candidates["person_tracks"], candidates["bystander_tracks"] = [[[0], [1]], [[2], [3]]], [[], []]
    landmarks = {"track": tracks["track"].to_numpy(), "points": np.full((100, 68, 2), np.nan), "score": np.zeros(100)}
    monkeypatch.setitem(poses.MODELS, "mediapipe", lambda settings, threads: _Outstretched())
    found = dict(poses.estimate(video, candidates, tracks, landmarks, poses.Settings()))
    wrist = keypoints.INDEX["left_wrist"]
    assert found["a/valid"].all() and found["b/valid"].all()
    # The left person's wrist would lie in the other window, the right one's beyond the picture.
    assert not found["a/scores"][:, :, wrist].any()
    assert (found["b/scores"][:, 0, wrist] > 0.8).all() and not found["b/scores"][:, 1, wrist].any()
    assert (found["a/boxes"][:, 0, 2] <= 320).all() and (found["b/boxes"][:, 0, 2] == 450).all()
