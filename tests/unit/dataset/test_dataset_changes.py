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
    (NAMED, {"persons": ["Anna"], "sha256": "11", "reviewed": "rename", "review": "aa"}),
    (EDITED, {"sha256": "11"}),
    (REVIEWED, {"sha256": "11", "reviewed": "speaking", "review": "aa"}),
    ("s_v_000600to000700", {}),
    ("s_v_000700to000800", {"reviewed": "keep"}),
    ("s_x_000000to000100", {"video": "x"}),
]


def test_every_change_has_its_reason(results):
    before, after = (changes.read(data_set(results / name, *of)) for name, of in (("old", BEFORE), ("dataset", AFTER)))
    found = changes.compare(before, after, {"v", "w"}, changes.why_gone(results / "clips"))
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
        dataset = data_set(results / "dataset", *clips)
        return changes.update(dataset, results / "remembered.parquet", results / "clips", {"v"}, is_whole)

    first = update((KEPT, {}), (MOVED, {}))
    file = results / "dataset/CHANGES.md"
    assert first.number == 1 and "The first version: 2 clips, 1 persons, 1 videos." in (noted := file.read_text())
    assert noted.count("## Version 1 ") == 1 and tables.read("changes", file.with_name("changes.parquet")).empty
    # The order of clips is no content, and a data set that lacks what failed is no version.
    assert update((MOVED, {}), (KEPT, {})) == first
    assert update((KEPT, {}), is_whole=False).number == 1
    assert update((KEPT, {}), (MOVED, {})) == first and file.read_text() == noted
    second = update((KEPT, {}))
    assert second.number == 2 and second.content != first.content
    assert update((KEPT, {})) == second
    assert update((KEPT, {}), ("s_x_000000to000100", {"video": "x"})).number == 3
    text = file.read_text()
    assert text.count("# Changes of the data set") == 1
    assert (
        text.index("## Version 3")
        < text.index("1 added (new video)")
        < text.index("## Version 2")
        < text.index(f"`{MOVED}`")
        < text.index("## Version 1 ")
    )


def test_a_first_run_with_failed_stages_notes_no_version_and_a_killed_one_notes_it_once(results):
    dataset, memory = data_set(results / "dataset", (KEPT, {})), results / "remembered.parquet"
    changes.update(dataset, memory, results / "clips", {"v"}, is_whole=False)
    assert not (dataset / "CHANGES.md").exists() and not (dataset / "changes.parquet").exists()
    for _ in range(2):
        assert changes.update(dataset, memory, results / "clips", {"v"}, is_whole=True).number == 1
        memory.unlink()
    assert (dataset / "CHANGES.md").read_text().count("The first version: 1 clips") == 1


def test_a_data_set_without_clips_is_no_version_and_the_next_one_counts_on(results):
    memory = results / "remembered.parquet"

    def made(*clips) -> int:
        return changes.update(
            data_set(results / "dataset", *clips), memory, results / "clips", {"v"}, is_whole=True
        ).number

    assert [made((KEPT, {})), made((KEPT, {}), (GONE, {})), made(), made((GONE, {})), made()] == [1, 2, 2, 3, 3]
    assert (results / "dataset/CHANGES.md").read_text().count("## Version") == 3


def test_a_job_that_was_killed_before_it_remembered_notes_nothing_twice(results):
    memory = results / "remembered.parquet"
    changes.update(data_set(results / "dataset", (KEPT, {})), memory, results / "clips", {"v"}, True)
    before = memory.read_bytes()
    data_set(results / "dataset", (KEPT, {}), (MOVED, {}))
    changes.update(results / "dataset", memory, results / "clips", {"v"}, True)
    noted = (results / "dataset/CHANGES.md").read_text()
    memory.write_bytes(before)
    assert changes.update(results / "dataset", memory, results / "clips", {"v"}, True).number == 2
    assert (results / "dataset/CHANGES.md").read_text() == noted


def reasons(results, before, after, videos=("v",), videos_now=("v",)):
    """Return the reasons that are noted when a data set of some clips and videos follows another."""
    memory = results / "remembered.parquet"
    for clips, of in ((before, videos), (after, videos_now)):
        changes.update(data_set(results / "dataset", *clips), memory, results / "clips", of, is_whole=True)
    return tables.read("changes", results / "dataset/changes.parquet")["why"].tolist()


def test_a_second_correction_of_a_clip_is_a_review(results):
    first = {"sha256": "11", "reviewed": "speaking", "review": "aa"}
    assert reasons(results, [(KEPT, first)], [(KEPT, first | {"sha256": "22", "review": "bb"})]) == ["review"]


def test_a_note_that_changed_is_a_review_and_labels_that_changed_below_it_are_not(results):
    noted = {"sha256": "11", "review": "aa"}
    assert reasons(results, [(KEPT, noted)], [(KEPT, noted | {"sha256": "22", "review": "bb"})]) == ["review"]
    assert reasons(results, [(KEPT, noted)], [(KEPT, noted | {"sha256": "33"})]) == ["labels or pictures"]


def test_a_video_that_had_no_clips_is_no_new_one(results):
    clip = ("s_w_000000to000100", {"video": "w"})
    assert reasons(results, [(KEPT, {})], [(KEPT, {}), clip], ("v", "w"), ("v", "w")) == ["gate or model"]
    assert reasons(results, [(KEPT, {})], [(KEPT, {}), clip], ("v",), ("v", "w")) == ["new video"]


def test_two_folders_are_compared_by_their_videos_too(results):
    old = data_set(results / "old/dataset", (KEPT, {}))
    videos = {c.name: ["" if str(c.type) == "string" else 0] * 3 for c in schemas.SCHEMAS["videos"]}
    assert changes.videos_of(old) == {"v"}
    videos |= {"video": ["v", "w", "x"], "status": ["ok", "ok", "failed"]}
    tables.write("videos", pd.DataFrame(videos), results / "old/videos.parquet")
    assert changes.videos_of(old) == {"v", "w"}


def test_what_was_removed_on_request_is_named_no_more_not_in_earlier_versions_either(results):
    memory, folder = results / "remembered.parquet", results / "dataset"
    for clips in (
        [(KEPT, {})],
        [(KEPT, {}), (MOVED, {}), (GONE, {})],
        [(KEPT, {}), (MOVED, {"split": "val"}), (GONE, {})],
    ):
        changes.update(data_set(folder, *clips), memory, results / "clips", ("v",), True)
    assert f"`{MOVED}` (train → val)" in (folder / "CHANGES.md").read_text()
    changes.update(data_set(folder, (KEPT, {})), memory, results / "clips", ("v",), True, lambda clip: clip == MOVED)
    told = (folder / "CHANGES.md").read_text()
    assert MOVED not in told and "train → val" not in told and GONE in told
    assert "- 1 removed (removal)\n" in told and "- 1 changed (split): a removed clip\n" in told
    found = tables.read("changes", folder / "changes.parquet").set_index("why")
    assert found.at["removal", "clip"] == found.at["removal", "video"] == ""
