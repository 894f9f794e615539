"""Looks that are kept: by face and frame, so that no clip's bounds, no kill and no other people make the model look again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talking import poses
from talking.core import arrays, keypoints, tables
from talking.poses import looks
from talking.poses.looks import Piece, Store
from talking.video import encoding, media

LENGTH = 1000
FACE = 40.0


class Counting:
    """Stands for a model: what it finds depends on the frame and, as with a body that is followed, on the looks before."""

    def __init__(self, calls: list[tuple[int, int]], most: int | None = None) -> None:
        self.calls, self.most = calls, most

    def look(self, picture, frame, pieces) -> None:
        for piece in pieces:
            if not piece.is_main(frame, 4):
                continue
            if self.most is not None and len(self.calls) >= self.most:
                raise KeyboardInterrupt
            self.calls.append((piece.track, frame))
            before = piece.state if piece.state.size else np.zeros(2)
            piece.state = 0.5 * before + [np.sin(frame), 1]
            points, scores = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
            box, lowest = piece.face(frame).box, len(piece.face(frame).others)
            names = ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")
            for name, away in zip(names, (0, 5, -5, 30, -30), strict=True):
                points[keypoints.INDEX[name]] = (box[:2] + box[2:]) / 2 + piece.state + [away, lowest]
                scores[keypoints.INDEX[name]] = 0.9
            piece.add(frame, points, scores)

    def flush(self) -> None:
        pass


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("looks") / "v.mp4"
    encoding.encode(path, (np.full((96, 320, 3), frame % 200, np.uint8) for frame in range(LENGTH)))
    return path


def material() -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Two people for the whole of the video, the first in two tracks, and somebody who passes by."""
    rows = [
        (track, 0, frame, x, 20.0, x + FACE, 20 + FACE, True, 0.9)
        for track, x, a, b in ((0, 40.0, 0, 600), (1, 40.0, 610, LENGTH), (2, 180.0, 0, LENGTH), (3, 260.0, 100, 150))
        for frame in range(a, b)
    ]
    tracks = pd.DataFrame(rows, columns=["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence"])
    number = len(tracks)
    return tracks, {
        "track": tracks["track"].to_numpy(),
        "points": np.full((number, 68, 2), np.nan, np.float32),
        "score": np.zeros(number),
    }


def clips(*bounds: tuple[int, int], people=((0, 1), (2,)), beside=((3,),)) -> pd.DataFrame:
    """Return candidates with these bounds."""
    rows = tables.empty("candidates").reindex(range(len(bounds)))
    return rows.assign(
        clip=[f"{a}to{b}" for a, b in bounds],
        start_frame=[a for a, _ in bounds],
        end_frame=[b for _, b in bounds],
        candidate=True,
        person_tracks=[[list(one) for one in people] for _ in bounds],
        bystander_tracks=[[list(one) for one in beside] for _ in bounds],
    )


def run(
    monkeypatch, video, wanted, folder: Path | None, most: int | None = None, settings=None, part: str = "", of=None
):
    """Return the arrays of some clips and the looks that the model took; `most` of them at most, as if it were killed then."""
    settings, calls = settings or poses.Settings(mediapipe_every_frames=4), []
    monkeypatch.setitem(poses.MODELS, "mediapipe", lambda *_: Counting(calls, most))
    store = Store(folder, poses.dependencies(video, settings)) if folder else None
    found = {}
    try:
        for name, array in poses.estimate(video, wanted, *(of or material()), settings, 1, store, part):
            found[name] = array
    except KeyboardInterrupt:
        return None, calls
    if store:
        store.close(keep=True)
    return found, calls


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_looks_fall_on_frames_of_the_video_and_on_the_ends_of_faces(monkeypatch, video) -> None:
    _, calls = run(monkeypatch, video, clips((37, 61)), None)
    # From the piece's first frame on, to the first main one that ends the clip.
    assert [frame for track, frame in calls if track == 0] == list(range(0, 61, 4))
    _, calls = run(monkeypatch, video, clips((590, 620)), None)
    assert [frame for track, frame in calls if track == 0] == [*range(480, 600, 4), 599]
    assert [frame for track, frame in calls if track == 1] == [610, 612, 616, 620]


def test_moved_clips_are_made_of_the_looks_there_are(monkeypatch, video, tmp_path) -> None:
    _, calls = run(monkeypatch, video, clips((10, 700)), tmp_path)
    assert len(calls) > 300
    for bounds in (((10, 700),), ((10, 400), (400, 700)), ((13, 333), (350, 695))):
        found, calls = run(monkeypatch, video, clips(*bounds), tmp_path)
        assert calls == []
        assert equal(found, run(monkeypatch, video, clips(*bounds), None)[0])
    # One speaker more or less, in another order: other people for the clip, but no other faces.
    other = clips((10, 700), people=((2,),), beside=((3,), (0, 1)))
    found, calls = run(monkeypatch, video, other, tmp_path)
    assert calls == [] and equal(found, run(monkeypatch, video, other, None)[0])


def test_only_frames_that_were_never_looked_at_are_new(monkeypatch, video, tmp_path) -> None:
    run(monkeypatch, video, clips((10, 700)), tmp_path)
    found, calls = run(monkeypatch, video, clips((10, 740)), tmp_path)
    assert {frame for _, frame in calls} == set(range(704, 741, 4))
    assert equal(found, run(monkeypatch, video, clips((10, 740)), None)[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_parts_of_a_video_have_the_poses_of_the_whole(monkeypatch, video) -> None:
    # Somebody who passes by is a bystander of the first clip only, but is there when the second one begins.
    both = clips((10, 120), (120, 300))
    both.at[1, "bystander_tracks"] = []
    whole, calls = run(monkeypatch, video, both, None)
    found = [run(monkeypatch, video, both, None, part=part) for part in ("1of2", "2of2")]
    assert equal(whole, found[0][0] | found[1][0]) and all(of for of, _ in found)
    # What lies before the second clip in its block is looked at by both.
    assert set(calls) == {*found[0][1], *found[1][1]}


def test_no_pictures_and_no_model_are_needed_where_all_is_known(monkeypatch, video, tmp_path) -> None:
    run(monkeypatch, video, clips((0, 300)), tmp_path)
    monkeypatch.setattr(media, "decoded", lambda *_, **__: pytest.fail("decoded"))
    found, _ = run(monkeypatch, video, clips((20, 200)), tmp_path)
    assert found["20to200/valid"].all()


def test_another_context_video_or_setting_is_looked_at_again(monkeypatch, video, tmp_path) -> None:
    run(monkeypatch, video, clips((0, 300)), tmp_path)
    # Without the passer-by the faces beside which bodies are looked for are others, from the frame of arrival on.
    alone = clips((0, 300), beside=())
    found, calls = run(monkeypatch, video, alone, tmp_path)
    assert len(calls) == 2 * 76 and equal(found, run(monkeypatch, video, alone, None)[0])
    _, calls = run(monkeypatch, video, clips((0, 90), beside=()), tmp_path)
    assert calls == []
    _, calls = run(monkeypatch, video, alone, tmp_path, settings=poses.Settings(mediapipe_every_frames=2))
    assert len(calls) == 2 * 76
    other = tmp_path / "other.mp4"
    other.write_bytes(video.read_bytes() + b"\0" * 8)
    assert poses.dependencies(other, poses.Settings()) != poses.dependencies(video, poses.Settings())


def test_a_killed_job_goes_on_where_it_was(monkeypatch, video, tmp_path) -> None:
    monkeypatch.setattr(looks, "SHARD_S", -1.0)
    whole, all_calls = run(monkeypatch, video, clips((0, LENGTH)), None)
    none, before = run(monkeypatch, video, clips((0, LENGTH)), tmp_path, most=len(all_calls) - 20)
    assert none is None
    found, after = run(monkeypatch, video, clips((0, LENGTH)), tmp_path)
    assert equal(found, whole)
    # Of the two blocks that were finished nothing is looked at again; the last one begins anew.
    assert {frame for _, frame in after} == {frame for _, frame in all_calls if frame >= 2 * looks.BLOCK}
    assert len(before) + len(after) > len(all_calls) > len(after)
    [left] = tmp_path.iterdir()
    run(monkeypatch, video, clips((0, LENGTH)), tmp_path / "undisturbed")
    assert (tmp_path / "undisturbed" / left.name).read_bytes() == left.read_bytes()


def test_looks_at_tracks_that_are_no_more_are_forgotten(monkeypatch, video, tmp_path) -> None:
    run(monkeypatch, video, clips((0, LENGTH)), tmp_path)
    [file] = tmp_path.iterdir()
    size = file.stat().st_size
    # Other settings of the tracks: the same faces, begun a few frames later each time.
    tracks, landmarks = material()
    for later in (3, 5, 7, 9):
        kept = (tracks["frame"] >= later).to_numpy()
        of = tracks[kept].reset_index(drop=True), {name: array[kept] for name, array in landmarks.items()}
        found, calls = run(monkeypatch, video, clips((later, LENGTH)), tmp_path, of=of)
        assert calls and equal(found, run(monkeypatch, video, clips((later, LENGTH)), None, of=of)[0])
        assert 0.8 * size < file.stat().st_size < 1.05 * size
    # What is of the last tracks stays, whichever clips need it.
    _, calls = run(monkeypatch, video, clips((600, 700)), tmp_path, of=of)
    assert calls == []
    assert run(monkeypatch, video, clips((later, LENGTH)), tmp_path, of=of)[1] == []
    with arrays.opened(file) as named:
        assert {name.split("/")[2].split("to")[0] for name in named if name.startswith("looks/2/")} == {
            "9",
            "480",
            "960",
        }


def test_damaged_files_are_looks_that_are_not_there(monkeypatch, video, tmp_path) -> None:
    found, calls = run(monkeypatch, video, clips((0, 200)), tmp_path)
    [file] = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[400:900] = bytes(500)
    for damaged in (bytes(content), content[: len(content) // 2], b"nothing"):
        file.write_bytes(damaged)
        again, more = run(monkeypatch, video, clips((0, 200)), tmp_path)
        assert equal(again, found) and 0 < len(more) <= len(calls)
        [file] = tmp_path.iterdir()


def test_without_keeping_nothing_is_left(tmp_path, video) -> None:
    store = Store(tmp_path / "looks", {})
    piece = Piece(0, 0, np.zeros((1, 4)), np.zeros((1, 68, 2)), np.zeros(4), np.zeros((1, 0, 4)))
    piece.add(0, np.ones((133, 2)), np.ones(133))
    store.save(piece)
    store.close(keep=False)
    assert not (tmp_path / "looks").exists()


def test_what_is_kept_is_what_was_found_to_a_sixteenth_of_a_pixel(tmp_path) -> None:
    rng = np.random.default_rng(0)
    given = Piece(7, 3, np.zeros((9, 4)), np.zeros((9, 68, 2)), np.zeros(4), np.zeros((9, 0, 4)))
    points, scores = rng.uniform(0, 4000, (133, 2)), rng.uniform(0.1, 1, 133)
    given.add(3, points, scores)
    given.add(7, points + 8, scores)
    given.state = rng.normal(size=10)
    store = Store(tmp_path, {"of": 1})
    store.save(given)
    store.close(keep=True)
    again = Piece(7, 3, given.boxes, given.points, given.window, given.others)
    Store(tmp_path, {"of": 1}).load(again)
    np.testing.assert_allclose(again.found[3][0], points, atol=1 / 32)
    assert again.state.tolist() == given.state.tolist() and again.next() == 8
    between, _ = again.filled(np.array([3, 5, 7]))
    np.testing.assert_allclose(
        between - points, np.broadcast_to(np.array([0, 4, 8])[:, None, None], (3, 133, 2)), atol=1 / 8
    )
    with arrays.opened(next(tmp_path.iterdir())) as named:
        assert len(named) == 5
    Store(tmp_path, {"of": 2})
    assert not list(tmp_path.iterdir())
