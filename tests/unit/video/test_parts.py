"""Long videos in parts: who has what, and what is joined."""

import argparse

import numpy as np
import pandas as pd
import pytest

from talking.core import arrays, tables
from talking.video import parts


@pytest.mark.parametrize("lengths", [[5.0], [1, 1, 1, 1], [100, 1, 1], [3, 40, 2, 2, 60, 1, 1, 7], [0.0, 0.0], []])
@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_the_parts_together_have_each_unit_once_in_order(lengths, number):
    units = list(range(len(lengths)))
    shares = [units[parts.share(name, lengths)] for name in parts.names(number)]
    assert [unit for share in shares for unit in share] == units
    assert units[parts.share("", lengths)] == units


def test_parts_are_of_about_the_same_length():
    lengths = np.random.default_rng(3).uniform(1, 20, 400)
    sums = [lengths[parts.share(name, lengths)].sum() for name in parts.names(6)]
    assert max(sums) - min(sums) <= 2 * lengths.max()


def shots(*edges: int) -> pd.DataFrame:
    return pd.DataFrame({"start_frame": edges[:-1], "end_frame": edges[1:]})


def test_a_part_has_whole_shots_and_one_long_shot_leaves_parts_empty():
    table = shots(0, 100, 150, 400, 420)
    assert [parts.span_of(name, table) for name in parts.names(2)] == [(0, 150), (150, 420)]
    whole = shots(0, 1000)
    assert [parts.span_of(name, whole) for name in parts.names(3)] == [(0, 0), (0, 1000), (0, 0)]


def tracks(*rows: tuple[int, int, int]) -> pd.DataFrame:
    number, shot, frame = zip(*rows, strict=True) if rows else ((), (), ())
    return (
        tables.empty("tracks")
        .reindex(range(len(rows)))
        .assign(track=number, shot=shot, frame=frame, x1=1.0, y1=1.0, x2=9.0, y2=9.0, detected=True, confidence=0.9)
    )


def test_tracks_that_each_part_counts_from_zero_are_numbered_through(tmp_path):
    of_parts = [tracks((0, 0, 0), (0, 0, 1), (1, 0, 0)), tracks(), tracks((0, 3, 50), (1, 3, 52))]
    files = [tmp_path / f"{k}.parquet" for k in range(3)]
    for file, table in zip(files, of_parts, strict=True):
        tables.write("tracks", table, file)
    joined = parts.joined_table("tracks", files)
    assert joined["track"].tolist() == [0, 0, 1, 2, 3] and joined["frame"].tolist() == [0, 1, 0, 50, 52]
    assert [joined["track"][parts.rows_of(name, joined)].tolist() for name in parts.names(2)] == [[0, 0, 1], [2, 3]]


def marked(track: list[int], thumbnails: list[int], faces: dict[int, int]) -> dict[str, np.ndarray]:
    """Return landmarks of rows of tracks: the rows of thumbnails, and of each kept face its row and how many bytes it has."""
    return {
        "track": np.array(track, np.int32),
        "thumbnail_row": np.array(thumbnails, np.int32),
        "face": np.concatenate([np.full(size, row, np.uint8) for row, size in faces.items()]),
        "face_row": np.array(list(faces), np.int32),
        "face_end": np.cumsum(list(faces.values())),
    }


def test_landmarks_of_parts_are_joined_and_a_part_that_was_given_up_has_none(tmp_path):
    files = [tmp_path / f"{k}.npz" for k in range(3)]
    arrays.write(files[0], marked([0, 0, 1], [2], {1: 4, 2: 3}).items())
    arrays.write(files[1], [])
    arrays.write(files[2], marked([0, 1], [0, 1], {1: 5}).items())
    joined = parts.joined_landmarks(files)
    assert joined["track"].tolist() == [0, 0, 1, 2, 3] and joined["thumbnail_row"].tolist() == [2, 3, 4]
    assert joined["face_row"].tolist() == [1, 2, 4] and joined["face_end"].tolist() == [4, 7, 12]
    assert joined["face"].tolist() == [1] * 4 + [2] * 3 + [1] * 5
    assert joined["track"].dtype == np.int32


@pytest.mark.parametrize("name", ["0of3", "4of3", "3", "of", "1of0"])
def test_a_name_that_is_no_part_is_refused(name):
    parser = argparse.ArgumentParser(exit_on_error=False)
    parts.add_arguments(parser)
    with pytest.raises(argparse.ArgumentError, match="names no part"):
        parser.parse_args(["--video-part", name])


def test_a_job_says_its_part_by_the_name_of_its_output():
    parser = argparse.ArgumentParser()
    parts.add_arguments(parser)
    words = ("", "2of3", "a/results.d/faces/v.2of3.parquet", "results/faces/1of3.parquet", "results/faces/v.parquet")
    assert [parser.parse_args(["--video-part", given]).video_part for given in words] == ["", "2of3", "2of3", "", ""]
