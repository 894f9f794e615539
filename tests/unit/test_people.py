import numpy as np
import pandas as pd

from talking import people, tables


def tracks_of(*spans, shot=0, confidence=0.9):
    """Return a `tracks` table of one 40 px face for each (start, end, left edge)."""
    parts = [
        pd.DataFrame(
            {
                "track": number,
                "shot": shot,
                "frame": np.arange(start, end),
                "x1": float(left),
                "y1": 50.0,
                "x2": left + 40.0,
                "y2": 90.0,
                "detected": True,
                "confidence": confidence,
            }
        )
        for number, (start, end, left) in enumerate(spans)
    ]
    return pd.concat(parts, ignore_index=True)


def persons_of(*groups):
    """Return a `persons` table of one row for each list of tracks."""
    rows = [{"person": i, "tracks": list(group)} for i, group in enumerate(groups)]
    return pd.DataFrame(rows, columns=tables.schema("persons").names)


def test_rows_of_gives_the_row_of_each_person_in_each_frame_and_marks_absence():
    tracks = tracks_of((0, 4, 0), (2, 8, 100), (6, 8, 0))
    rows = people.rows_of([1, 0], tracks, persons_of([0, 2], [1]), 1, 7)
    frames = np.arange(1, 7)
    assert rows.shape == (6, 2)
    assert (rows[:, 0] < 0).tolist() == [True, False, False, False, False, False]
    assert (rows[:, 1] < 0).tolist() == [False, False, False, True, True, False]
    for column, mine in ((0, {1}), (1, {0, 2})):
        seen = rows[:, column] >= 0
        found = tracks.iloc[rows[seen, column]]
        assert (found["frame"].to_numpy() == frames[seen]).all() and set(found["track"]) == mine


def test_of_a_double_detection_the_more_confident_row_counts():
    tracks = tracks_of((0, 4, 0), (2, 6, 2))
    tracks.loc[tracks["track"] == 1, "confidence"] = 0.95
    rows = people.rows_of([0], tracks, persons_of([0, 1]), 0, 6)
    assert tracks["track"].iloc[rows[:, 0]].tolist() == [0, 0, 1, 1, 1, 1]


def test_a_person_who_is_not_in_the_frames_is_absent_throughout():
    tracks = tracks_of((0, 4, 0), (10, 14, 0))
    assert (people.rows_of([1], tracks, persons_of([0], [1]), 0, 5) == -1).all()
    assert people.rows_of([], tracks, persons_of([0], [1]), 0, 5).shape == (5, 0)


def test_every_track_has_one_row_and_the_table_fits_its_schema(tmp_path):
    tracks = tracks_of((0, 30, 0), (2, 28, 100), (32, 50, 0))
    found = people.find(tracks, people.Settings())
    tables.write("persons", found, tmp_path / "p.parquet")
    back = tables.read("persons", tmp_path / "p.parquet")
    assert sorted(t for group in back["tracks"] for t in group) == [0, 1, 2]
    first = back.iloc[0]
    assert (first["start_frame"], first["end_frame"], first["num_frames"], first["role"]) == (0, 30, 30, "participant")


def test_a_video_without_faces_has_no_persons():
    assert len(people.find(tables.empty("tracks"), people.Settings())) == 0
