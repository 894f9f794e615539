"""What changed between two data sets whose clips are known, and what a data set remembers of the one before."""

import subprocess
import sys

import pandas as pd
import pytest

from conftest import REPO
from made_video import clips_of
from talking.core import schemas, tables
from talking.dataset import changes

KEPT, GONE, MOVED, NAMED, EDITED, REVIEWED = (f"s_v_{a:06d}to{a + 100:06d}" for a in range(0, 600, 100))


def data_set(folder, *clips):
    """Write a table of clips given as (clip, more columns), and return its folder."""
    usual = {
        c.name: [] if "list" in str(c.type) else "" if str(c.type) == "string" else 0
        for c in schemas.SCHEMAS["dataset"]
    }
    rows = [
        usual | {"clip": clip, "video": "v", "sha256": "00", "split": "train", "persons": ["p1"]} | more
        for clip, more in clips
    ]
    tables.write("dataset", pd.DataFrame(rows, columns=list(usual)), folder / "clips.parquet")
    return folder


@pytest.fixture
def results(tmp_path):
    """Return results whose tables of clips say what became of the clips that are gone."""
    clips = clips_of((100, 200), (600, 700))
    clips["kept"], clips["rejected_by"] = [False, True], ["max_off_screen_share", ""]
    clips["language"] = ""
    clips["not_understood_s"] = clips["not_understood_s"].map(lambda _: [])
    tables.write("clips", clips, tmp_path / "clips/v.parquet")
    return tmp_path


BEFORE = [(clip, {}) for clip in (KEPT, GONE, MOVED, NAMED, EDITED, REVIEWED, "s_v_000900to000950")] + [
    ("s_w_000000to000100", {"video": "w"})
]
AFTER = [
    (KEPT, {}),
    (MOVED, {"split": "test_easy"}),
    (NAMED, {"persons": ["Anna"], "sha256": "11", "reviewed": "rename"}),
    (EDITED, {"sha256": "11"}),
    (REVIEWED, {"sha256": "11", "reviewed": "speaking"}),
    ("s_v_000600to000700", {}),
    ("s_v_000700to000800", {"reviewed": "keep"}),
    ("s_x_000000to000100", {"video": "x"}),
]


def test_every_change_has_its_reason(results):
    before, after = (changes.read(data_set(results / name, *of)) for name, of in (("old", BEFORE), ("dataset", AFTER)))
    found = changes.compare(before, after, changes.why_gone(results / "clips"))
    told = {(row.clip, row.change, row.why, row.before, row.after) for row in found.itertuples()}
    assert told == {
        (GONE, "removed", "rejected by max_off_screen_share", "train", ""),
        (MOVED, "changed", "split", "train", "test_easy"),
        (NAMED, "changed", "persons", "p1", "Anna"),
        (NAMED, "changed", "review", "", ""),
        (EDITED, "changed", "labels or pictures", "", ""),
        (REVIEWED, "changed", "review", "", ""),
        ("s_v_000600to000700", "added", "gate or model", "", "train"),
        ("s_v_000700to000800", "added", "review", "", "train"),
        ("s_v_000900to000950", "removed", "cut otherwise", "train", ""),
        ("s_w_000000to000100", "removed", "the video is not in the sample sheet", "train", ""),
        ("s_x_000000to000100", "added", "new video", "", "train"),
    }
    words = [
        sys.executable,
        REPO / "scripts/compare_datasets.py",
        results / "old",
        results / "dataset",
        "--table",
        results / "changes.parquet",
    ]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("8 clips before, 8 now; persons: 1 came, 0 went.")
    assert f"- 1 removed (rejected by max_off_screen_share): `{GONE}`\n" in printed
    assert f"- 1 changed (split): `{MOVED}` (train → test_easy)" in printed
    pd.testing.assert_frame_equal(tables.read("changes", results / "changes.parquet"), found, check_dtype=False)


def test_a_version_is_one_more_when_the_content_changes(results):
    def update(*clips, is_whole=True):
        return changes.update(
            data_set(results / "dataset", *clips), results / "remembered.parquet", results / "clips", is_whole
        )

    first = update((KEPT, {}), (MOVED, {}))
    assert first.number == 1 and not (results / "dataset/CHANGES.md").exists()
    # The order of clips is no content, and a data set that lacks what failed is no version.
    assert update((MOVED, {}), (KEPT, {})) == first
    assert update((KEPT, {}), is_whole=False).number == 1
    assert update((KEPT, {}), (MOVED, {})) == first and not (results / "dataset/CHANGES.md").exists()
    second = update((KEPT, {}))
    assert second.number == 2 and second.content != first.content
    assert update((KEPT, {})) == second
    assert update((KEPT, {}), ("s_x_000000to000100", {"video": "x"})).number == 3
    text = (results / "dataset/CHANGES.md").read_text()
    assert text.count("# Changes of the data set") == 1
    assert (
        text.index("## Version 3")
        < text.index("1 added (new video)")
        < text.index("## Version 2")
        < text.index(f"`{MOVED}`")
    )


def test_a_data_set_without_clips_is_no_version_and_the_next_one_counts_on(results):
    memory = results / "remembered.parquet"

    def made(*clips) -> int:
        return changes.update(data_set(results / "dataset", *clips), memory, results / "clips", is_whole=True).number

    assert [made((KEPT, {})), made((KEPT, {}), (GONE, {})), made(), made((GONE, {})), made()] == [1, 2, 2, 3, 3]
    assert (results / "dataset/CHANGES.md").read_text().count("## Version") == 2


def test_a_job_that_was_killed_before_it_remembered_notes_nothing_twice(results):
    memory = results / "remembered.parquet"
    changes.update(data_set(results / "dataset", (KEPT, {})), memory, results / "clips", True)
    before = memory.read_bytes()
    data_set(results / "dataset", (KEPT, {}), (MOVED, {}))
    changes.update(results / "dataset", memory, results / "clips", True)
    noted = (results / "dataset/CHANGES.md").read_text()
    memory.write_bytes(before)
    assert changes.update(results / "dataset", memory, results / "clips", True).number == 2
    assert (results / "dataset/CHANGES.md").read_text() == noted
