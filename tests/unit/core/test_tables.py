import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conftest import REPO
from talking.core import atomic, schemas, tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError


def one_shot(**changes):
    frames = dict(start_frame=0, end_frame=25, clear_start_frame=0, clear_end_frame=25)
    motion = dict(camera_motion=0.5, camera_motion_peak=0.6, picture_motion=0.1)
    return pd.DataFrame([dict(shot=0, transition="start") | frames | motion | changes])


def test_a_table_comes_back_as_it_was_written(tmp_path):
    tables.write("shots", one_shot(), tmp_path / "a/shots.parquet")
    back = tables.read("shots", tmp_path / "a/shots.parquet")
    assert back.loc[0, "end_frame"] == 25 and back["camera_motion"].dtype == np.float32
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["shots.parquet"]


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_an_empty_table_has_its_columns(name, tmp_path):
    tables.write(name, tables.empty(name), tmp_path / "t.parquet")
    assert list(tables.read(name, tmp_path / "t.parquet").columns) == [c.name for c in schemas.SCHEMAS[name]]


def test_the_same_table_is_the_same_bytes(tmp_path):
    for name in "ab":
        tables.write("shots", one_shot(), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (one_shot().drop(columns="shot"), "lacks shot"),
        (one_shot(extra=1), "undeclared columns extra"),
        (one_shot(start_frame="soon"), "does not fit"),
    ],
)
def test_a_table_that_differs_from_its_schema_is_refused(frame, said, tmp_path):
    with pytest.raises(InputError, match=said):
        tables.write("shots", frame, tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_a_truncated_table_is_named(tmp_path):
    path = tmp_path / "shots.parquet"
    tables.write("shots", one_shot(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"shots\.parquet cannot be read"):
        tables.read("shots", path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    for read in (tables.read, tables.read_columns):
        with pytest.raises(InputError, match=r"shots\.parquet does not exist"):
            read("shots", tmp_path / "shots.parquet")


def test_another_table_is_not_taken_for_this_one(tmp_path):
    tables.write("faces", tables.empty("faces"), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="not a shots table"):
        tables.read("shots", tmp_path / "t.parquet")


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as new:
        new.write_text("new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_there_with_all_its_files_or_not_at_all(tmp_path):
    killed = (
        "import os, sys; from talking.core.atomic import atomic_folder\n"
        "with atomic_folder(sys.argv[1], '*.npz') as f: (f / 'b.npz').touch(); os.kill(os.getpid(), 9)"
    )
    folder = tmp_path / "sound/talk"
    run = [sys.executable, "-c", killed, folder]
    subprocess.run(run, env=os.environ | {"PYTHONPATH": str(REPO / "scripts")})
    assert not folder.exists() and any(folder.parent.iterdir())
    atomic.clear(tmp_path)
    assert not any(folder.parent.iterdir())
    for name in ("a.npz", "b.npz"):
        with atomic.atomic_folder(folder, "*.npz") as new:
            (new / name).write_text("whole")
    assert [file.name for file in folder.iterdir()] == ["b.npz"] and list(folder.parent.iterdir()) == [folder]
    assert folder.stat().st_mode == folder.parent.stat().st_mode


def test_a_folder_with_files_of_another_kind_is_not_replaced(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letter\.txt"), atomic.atomic_folder(tmp_path, "*.mp4"):
        pass
    assert (tmp_path / "letter.txt").exists()


def test_written_tables_carry_no_pandas_metadata(tmp_path):
    tables.write("shots", one_shot(), tmp_path / "t.parquet")
    assert not pq.read_schema(tmp_path / "t.parquet").metadata


def test_what_a_killed_process_leaves_aside_is_cleared_and_nothing_else(tmp_path):
    killed = "import os, sys; from talking.core.atomic import atomic_write\nwith atomic_write(sys.argv[1]): os.kill(os.getpid(), 9)"
    file = tmp_path / "poses/talk.npz"
    subprocess.run([sys.executable, "-c", killed, file], env=os.environ | {"PYTHONPATH": str(REPO / "scripts")})
    [left] = file.parent.iterdir()
    kept = [file, file.parent / ".keep", file.parent / ".a.hidden.file"]
    for other in kept:
        other.write_text("whole")
    atomic.clear(tmp_path)
    assert not left.exists() and set(file.parent.iterdir()) == set(kept)
