"""Tracks: joining by place and motion, gaps, cuts, crossings, flicker and looks."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from talking.core import tables
from talking.faces import embedding, tracks
from talking.video import encoding, media

SETTINGS = tracks.Settings()


def face(frame: int, x: float, y: float = 100.0, size: float = 40.0, confidence: float = 0.9) -> dict:
    """One detection about (x, y)."""
    return {
        "frame": frame,
        "x1": x - size / 2,
        "y1": y - size / 2,
        "x2": x + size / 2,
        "y2": y + size / 2,
        "confidence": confidence,
    }


def shots(*edges: int) -> pd.DataFrame:
    """The `shots` table with these edges."""
    return pd.DataFrame(
        {"shot": range(len(edges) - 1), "start_frame": edges[:-1], "end_frame": edges[1:]},
    )


def never(places: list) -> list:
    """Looks that must not be asked for."""
    raise AssertionError("nothing is ambiguous here")


def track(faces: list[dict], *edges: int, looks: Callable = never) -> pd.DataFrame:
    """The `tracks` table of these detections in shots with these edges."""
    return tracks.track(pd.DataFrame(faces), shots(*edges), tracks.Looks(looks, 0.07), SETTINGS)


def test_two_still_faces_are_two_tracks_left_to_right() -> None:
    found = track([face(f, x) for f in range(30) for x in (400, 100)], 0, 30)
    assert found.groupby("track")["x1"].first().tolist() == [80, 380]
    assert found.groupby("track").size().tolist() == [30, 30]


def test_a_gap_up_to_the_limit_is_filled_on_a_straight_line_and_marked() -> None:
    seen = [f for f in range(60) if not 20 <= f < 20 + SETTINGS.max_missed_frames]
    found = track([face(f, 100 + 2 * f) for f in seen], 0, 60)
    assert found["track"].nunique() == 1
    assert found["frame"].tolist() == list(range(60))
    filled = found[~found["detected"]]
    assert filled["frame"].tolist() == list(range(20, 20 + SETTINGS.max_missed_frames))
    assert (filled["confidence"] == 0).all()
    np.testing.assert_allclose(found["x1"], 80 + 2 * np.arange(60))


def test_a_longer_gap_ends_the_track() -> None:
    back = 21 + SETTINGS.max_missed_frames
    found = track([face(f, 100) for f in range(60) if not 20 <= f < back], 0, 60)
    assert found.groupby("track")["frame"].agg(["min", "max"]).to_numpy().tolist() == [[0, 19], [back, 59]]
    assert found["detected"].all()


def test_no_track_crosses_a_cut() -> None:
    found = track([face(f, 100) for f in range(40)], 0, 25, 40)
    assert found.groupby("track")["frame"].agg(["min", "max"]).to_numpy().tolist() == [[0, 24], [25, 39]]
    assert found.groupby("track")["shot"].first().tolist() == [0, 1]


def test_two_who_cross_do_not_swap() -> None:
    def unclear(places: list) -> list:
        return [None] * len(places)

    # The one behind is not seen while covered.
    faces = [face(f, 100 + 5 * f) for f in range(80)]
    faces += [face(f, 500 - 5 * f, y=110) for f in range(80) if abs((500 - 5 * f) - (100 + 5 * f)) > 35]
    found = track(sorted(faces, key=lambda row: row["frame"]), 0, 80, looks=unclear)
    ends = found.groupby("track")["x1"].agg(["first", "last"]).to_numpy()
    np.testing.assert_allclose(ends, [[80, 475], [480, 85]])


def test_looks_settle_who_turned_back_and_who_went_on() -> None:
    # Two meet and go back again: by motion alone they pass through each other.
    person = {}
    faces = []
    for f in range(81):
        apart = max(abs(40 - f) * 5, 8)
        for who, x in ((0, 300 - apart), (1, 300 + apart)):
            faces.append(face(f, x))
            person[f, x - 20] = who

    def looks(places: list) -> list:
        return [np.eye(2)[person[frame, box[0]]] for frame, box in places]

    found = track(faces, 0, 81, looks=looks)
    who = [person[row.frame, row.x1] for row in found.itertuples()]
    assert found.assign(who=who).groupby("track")["who"].nunique().tolist() == [1, 1]


def test_looks_put_a_wrong_join_right() -> None:
    a = tracks.Track(list(range(40)), list(range(40)), [np.array([x, 0, x + 40, 40.0]) for x in range(0, 160, 4)])
    b = tracks.Track(list(range(40)), list(range(40)), [np.array([x, 0, x + 40, 40.0]) for x in range(156, -4, -4)])

    def looks(places: list) -> list:
        # Each person stays on its own side: both tracks, which pass, are wrong.
        return [np.eye(2)[int(box[0] > 78)] for _, box in places]

    found = tracks.untangle([a, b], tracks.Looks(looks, 0.07), SETTINGS)
    assert [max(box[0] for box in t.boxes) for t in found] == [76, 156]
    assert all(len(t.frames) == 40 for t in found)


def test_weak_detections_continue_a_track_either_way_but_make_none() -> None:
    weak = [face(f, 100, confidence=0.9 if 10 <= f < 20 else 0.4) for f in range(30)]
    alone = [face(f, 500, confidence=0.4) for f in range(30)]
    found = track(weak + alone, 0, 30)
    assert found["track"].nunique() == 1
    assert found["frame"].tolist() == list(range(30))
    assert found["x1"].max() == 80


def test_who_bows_for_a_second_and_comes_back_is_one_track() -> None:
    # The head sinks while it is followed, is not seen for 20 frames, and rises again elsewhere than its fall would lead.
    faces = [face(f, 100, y=100 + 3 * max(0, f - 25)) for f in range(30)] + [face(f, 104) for f in range(50, 80)]
    found = track(faces, 0, 80)
    assert found["track"].nunique() == 1
    assert found["detected"].sum() == 60


def test_a_flicker_is_left_out_but_not_in_a_video_of_one_frame() -> None:
    steady = [face(f, 100) for f in range(30)]
    assert track([*steady, face(7, 500), face(8, 500)], 0, 30)["track"].nunique() == 1
    assert len(track([face(0, 100)], 0, 1)) == 1


def test_many_who_pass_keep_their_tracks() -> None:
    rng = np.random.default_rng(0)
    start, speed = rng.uniform(100, 1200, 12), rng.uniform(-4, 4, 12)
    rows = np.arange(12) * 60 + 40
    faces = [
        face(f, start[i] + speed[i] * f + rng.normal(), rows[i] + rng.normal(), confidence=0.9)
        for f in range(100)
        for i in range(12)
        if rng.random() > 0.1
    ]
    found = track(faces, 0, 100)
    assert found["track"].nunique() == 12
    drift = found.groupby("track")[["y1", "y2"]].agg(np.ptp)
    assert drift.to_numpy().max() < 15


@pytest.mark.parametrize("edges", [(0,), (0, 10)])
def test_a_video_without_faces_gives_an_empty_table(edges: tuple[int, ...], tmp_path) -> None:
    found = tracks.track(tables.empty("faces"), shots(*edges), never, SETTINGS)
    tables.write("tracks", found, tmp_path / "tracks.parquet")
    assert tables.read("tracks", tmp_path / "tracks.parquet").empty


def test_looks_of_real_faces_tell_two_people_apart(shared, tmp_path) -> None:
    video = tmp_path / "v.mp4"
    encoding.encode(video, (next(media.frames(shared / "data/filmed/sample.mp4", f, f + 1)) for f in (0, 90)))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").set_index(["frame", "person"])
    box = {
        (f, p): truth.loc[(f * 90, p), ["x1", "y1", "x2", "y2"]].to_numpy(float)
        for f in (0, 1)
        for p in ("P001", "P005")
    }
    places = [(0, box[0, "P001"]), (0, box[0, "P005"]), (1, box[1, "P001"]), (1, np.array([5.0, 5, 90, 90]))]
    looks = tracks.looks_in(video, embedding.Settings())
    first, other, again, nothing = looks.of(places)
    assert first @ again > first @ other + 2 * SETTINGS.swap_margin * looks.same_person
    assert nothing is None


def test_looks_are_those_of_the_chosen_model(monkeypatch, tmp_path) -> None:
    encoding.encode(tmp_path / "v.mp4", (np.zeros((64, 64, 3), np.uint8) for _ in range(2)))
    asked = []
    monkeypatch.setitem(embedding.MODELS, "arcface", lambda weights: asked.append(weights))
    looks = tracks.looks_in(tmp_path / "v.mp4", embedding.Settings(model="arcface", weights="w.onnx"))
    looks.of([])
    assert asked == ["w.onnx"]
    assert looks.same_person == embedding.SAME_PERSON["arcface"]


def test_two_who_sit_at_the_edge_of_touching_have_one_contact() -> None:
    rng = np.random.default_rng(5)
    faces = [face(f, x + rng.normal(0, 1)) for f in range(1500) for x in (100, 100 + 40 * SETTINGS.touch)]
    joined = tracks.join(pd.DataFrame(faces), SETTINGS)
    contacts = tracks.contacts_of(joined, SETTINGS)
    assert [(c.start < 200, c.end) for c in contacts] == [(True, 1500)]


def test_who_part_and_meet_again_have_two_contacts() -> None:
    faces = [face(f, x) for f in range(120) for x in (100, 100 + 20 + 100 * abs(np.sin(f * np.pi / 60)))]
    contacts = tracks.contacts_of(tracks.join(pd.DataFrame(faces), SETTINGS), SETTINGS)
    assert [(c.start, c.nearest) for c in contacts][1:] == [(contacts[1].start, 60), (contacts[2].start, 119)]
    assert len(contacts) == 3


def test_memory_grows_with_the_faces_not_with_their_pairs() -> None:
    def most(count: int) -> int:
        faces = pd.DataFrame([face(f, 100.0 * i, confidence=0.9) for f in range(40) for i in range(count)])
        tracemalloc.start()
        found = track(faces, 0, 40)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found["track"].nunique() == count
        return peak

    few, many = most(10), most(60)
    assert many < 8 * few
