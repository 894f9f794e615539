"""Landmarks: lips that follow the truth, small and turned faces, lost faces, head angles, sharpness, repeatability."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from talking.core import tables
from talking.faces import landmarks, tracked
from talking.video import encoding, media

SETTINGS = landmarks.Settings()
BOX = ["x1", "y1", "x2", "y2"]
UPPER_LIP, LOWER_LIP, BRIDGE, CHIN = 62, 66, 27, 8


def tracks_of(truth: pd.DataFrame, start: int, scale: float = 1.0) -> pd.DataFrame:
    """The `tracks` table of true boxes, one track a person."""
    box = {c: truth[c].to_numpy() * scale for c in ("x1", "y1", "x2", "y2")}
    number = pd.factorize(truth["person"])[0]
    return pd.DataFrame(
        {
            "track": number,
            "shot": 0,
            "frame": truth["frame"].to_numpy() - start,
            **box,
            "detected": True,
            "confidence": 0.9,
        }
    )


def film(shared, tmp_path, start: int, end: int, height: int = 720) -> tuple:
    """A piece of the film as a media file, its truth and its tracks."""
    encoding.encode(tmp_path / "v.mp4", media.frames(shared / "data/filmed/sample.mp4", start, end, height=height))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("visible >= 0.5 and @start <= frame < @end")
    return tmp_path / "v.mp4", truth, tracks_of(truth, start, height / 720)


@pytest.mark.parametrize("height", [720, 240])
def test_lips_follow_the_truth_without_lag(shared, tmp_path, height: int) -> None:
    video, truth, tracks = film(shared, tmp_path, 180, 253, height)
    points = landmarks.mark(video, tracks, SETTINGS)["points"]
    gap = np.linalg.norm(points[:, UPPER_LIP] - points[:, LOWER_LIP], axis=1)
    gap = gap / np.linalg.norm(points[:, BRIDGE] - points[:, CHIN], axis=1)
    opening = truth["lip_opening"].to_numpy()
    at = {lag: np.corrcoef(opening[2:-2], np.roll(gap, -lag)[2:-2])[0, 1] for lag in (-1, 0, 1)}
    assert at[0] >= 0.96
    assert max(at, key=at.get) == 0


def test_points_are_where_their_names_say(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 0, 2)
    found = landmarks.mark(video, tracks, SETTINGS)
    boxes = tracks[["x1", "y1", "x2", "y2"]].to_numpy()
    size = boxes[:, 2:] - boxes[:, :2]
    place = (found["points"] - boxes[:, None, :2]) / size[:, None]
    assert place.min() > -0.15
    assert place.max() < 1.15
    mean = place.mean(axis=0)
    # Top to bottom: brows, eyes, nose, upper lip, lower lip, chin.
    heights = [mean[i, 1].mean() for i in (slice(17, 27), slice(36, 48), slice(31, 36), [51], [57], [8])]
    assert heights == sorted(heights)
    # The person's right side is on the left of the picture.
    for right, left in ((0, 16), (17, 26), (36, 45), (39, 42), (31, 35), (48, 54), (60, 64)):
        assert mean[right, 0] < mean[left, 0]
    # Inner lips lie inside the outer ones.
    assert mean[48, 0] < mean[60, 0] < mean[64, 0] < mean[54, 0]
    assert mean[51, 1] < mean[62, 1] < mean[57, 1]
    assert mean[51, 1] < mean[66, 1] < mean[57, 1]


def test_rows_are_those_of_the_tracks_in_their_order_and_repeatable(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 0, 4)
    tracks = tracks.sort_values(["track", "frame"]).reset_index(drop=True)
    found, again = (landmarks.mark(video, tracks, SETTINGS) for _ in range(2))
    assert found["track"].tolist() == tracks["track"].tolist()
    assert found["frame"].tolist() == tracks["frame"].tolist()
    middle = (tracks["x1"] + tracks["x2"]) / 2
    assert (np.abs(found["points"][:, 30, 0] - middle) < 20).all()
    for name, values in found.items():
        np.testing.assert_array_equal(values, again[name])


def test_where_there_is_no_face_the_points_are_lost(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 0, 2)
    tracks[["x1", "y1", "x2", "y2"]] = [20.0, 560.0, 120.0, 680.0]
    found = landmarks.mark(video, tracks, SETTINGS)
    assert (found["score"] < 0.5).all()
    assert np.isnan(found["points"]).all()
    assert np.isnan(found["yaw"]).all()


def test_a_leaning_head_is_measured(shared, tmp_path) -> None:
    picture = next(media.frames(shared / "data/filmed/sample.mp4", 200, 201))
    row = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame == 200").iloc[0]
    centre = ((row.x1 + row.x2) / 2, (row.y1 + row.y2) / 2)
    straight, leaning = (
        cv2.warpAffine(picture, cv2.getRotationMatrix2D(centre, -angle, 1), picture.shape[1::-1]) for angle in (0, 20)
    )
    # Clockwise in the picture; the head is followed from frame to frame.
    encoding.encode(tmp_path / "v.mp4", [straight, leaning, leaning])
    truth = pd.DataFrame([{**row[["person", "x1", "y1", "x2", "y2"]], "frame": f} for f in range(3)])
    found = landmarks.mark(tmp_path / "v.mp4", tracks_of(truth, 0), SETTINGS)
    assert found["roll"][2] - found["roll"][0] == pytest.approx(20, abs=2)
    assert abs(found["yaw"][0]) < 10
    assert abs(found["pitch"][0]) < 10
    turn = np.deg2rad(20)
    about = found["points"][0] - centre
    expected = about @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre
    assert np.linalg.norm(found["points"][2] - expected, axis=1).mean() < 0.02 * (row.x2 - row.x1)


@pytest.mark.parametrize(("name", "axis", "turn"), [("yaw", 1, -30), ("yaw", 1, 30), ("pitch", 0, 20)])
def test_angles_of_a_turned_mesh(name: str, axis: int, turn: float) -> None:
    mesh = np.zeros((478, 3))
    for right, left in landmarks._LEVEL:
        mesh[[right, left], 0] = -1, 1
    ((top, low),) = landmarks._UPRIGHT
    mesh[top, 1], mesh[low, 1] = -1, 1
    vector = np.zeros(3)
    vector[axis] = np.deg2rad(turn)
    at_rest = dict(zip(("yaw", "pitch", "roll"), landmarks.head_angles(mesh), strict=True))
    turned = dict(zip(("yaw", "pitch", "roll"), landmarks.head_angles(mesh @ cv2.Rodrigues(vector)[0].T), strict=True))
    changes = {key: abs(turned[key] - at_rest[key]) for key in turned}
    assert changes.pop(name) == pytest.approx(abs(turn))
    assert max(changes.values()) < 1e-6


def test_a_blurred_face_is_less_sharp(shared) -> None:
    picture = next(media.frames(shared / "data/filmed/sample.mp4", 200, 201))
    box = np.array([460, 140, 760, 520])
    assert landmarks.sharpness(cv2.GaussianBlur(picture, (0, 0), 6), box) < landmarks.sharpness(picture, box) / 3
    assert landmarks.sharpness(picture, np.array([2000, 0, 2100, 100])) == 0


def test_no_tracks_give_empty_arrays(tmp_path) -> None:
    (tmp_path / "failed.mp4").touch()
    found = landmarks.mark(tmp_path / "failed.mp4", tables.empty("tracks"), SETTINGS)
    assert found["points"].shape == (0, 68, 2)
    assert all(len(values) == 0 for values in found.values())


def test_landmarks_are_those_of_whole_pictures(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 180, 184)
    # One face reaches beyond the picture's corner.
    tracks.loc[tracks["track"] == 0, ["x1", "y1"]] -= tracks.loc[0, ["x1", "y1"]].to_numpy() + 20
    found = landmarks.mark(video, tracks, SETTINGS)
    mesh = landmarks.FaceMesh()
    picture = next(media.frames(video, 0, 1))
    for row in np.flatnonzero(tracks["frame"] == 0):
        x1, y1, x2, y2 = box = landmarks._steadied(tracks[["x1", "y1", "x2", "y2"]].to_numpy(), tracks["track"])[row]
        points, score = mesh(picture, (box[:2] + box[2:]) / 2, max(x2 - x1, y2 - y1) * SETTINGS.region, 0.0)
        assert found["score"][row] == pytest.approx(score)
        assert found["blur"][row] == landmarks.sharpness(picture, tracks[["x1", "y1", "x2", "y2"]].to_numpy()[row])
        if np.isfinite(found["points"][row]).all():
            np.testing.assert_allclose(found["points"][row], points[landmarks.MESH_TO_IBUG, :2], atol=1e-3)
    mesh.close()


def test_every_fifth_frame_has_a_small_picture_of_the_face(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 180, 192)
    found = landmarks.mark(video, tracks, SETTINGS)
    rows = found["thumbnail_row"]
    assert sorted(set(tracks["frame"].iloc[rows])) == [0, 5, 10]
    assert len(rows) == (tracks["frame"] % 5 == 0).sum() and found["thumbnail"].shape == (len(rows), 32, 32)
    picture = next(media.frames(video, 5, 6, pixel_format="gray"))
    row = tracks.iloc[rows[tracks["frame"].iloc[rows] == 5][0]]
    face = picture[int(row.y1) : int(row.y2), int(row.x1) : int(row.x2)]
    small = found["thumbnail"][tracks["frame"].iloc[rows] == 5][0]
    assert abs(small[6:26, 6:26].mean() - face.mean()) < 12 and small.std() > 10


def test_of_an_audience_every_fifth_frame_is_marked_and_the_rest_filled_in(shared, tmp_path) -> None:
    video, _, tracks = film(shared, tmp_path, 180, 192)
    one = tracks[tracks["track"] == 0].reset_index(drop=True)
    # Eight larger boxes of the same face leave the smaller one to the audience.
    larger = one[BOX] + [-20, -20, 20, 20]
    many = pd.concat([one, *(one.assign(track=n, **larger) for n in range(1, 9))], ignore_index=True)
    assert tracked.in_audience(many).tolist() == [True] * len(one) + [False] * 8 * len(one)
    assert not tracked.in_audience(many[many["track"] < 8]).any()
    all_marked, found = landmarks.mark(video, one, SETTINGS), landmarks.mark(video, many, SETTINGS)
    small = np.flatnonzero(many["track"] == 0)
    assert np.isfinite(found["points"][small]).all() and (found["score"][small] > 0.5).all()
    seen = np.isin(one["frame"], [0, 5, 10, 11])
    # The square that is looked at is turned as the head was when it was last looked at.
    assert np.abs(found["points"][small][seen] - all_marked["points"][seen]).max() < 2
    between = found["points"][small][one["frame"] == 7]
    steps = found["points"][small][np.isin(one["frame"], [5, 10])]
    np.testing.assert_allclose(between[0], steps[0] * 0.6 + steps[1] * 0.4, atol=1e-3)


def test_marks_in_the_thread_that_asks(shared):
    picture = next(media.frames(shared / "data/filmed/sample.mp4", 0, 1))
    before = len(list(Path("/proc/self/task").iterdir()))
    mesh = landmarks.FaceMesh()
    mesh(picture, np.array([640.0, 360.0]), 200.0, 0.0)
    threads = len(list(Path("/proc/self/task").iterdir()))
    mesh.close()
    assert threads == before
