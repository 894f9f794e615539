"""What the gallery writes of a video whose labels are known."""

import base64
import gzip
import os

import numpy as np
import pandas as pd
import pytest

from gallery_results import KEPT, REJECTED, UNMEASURED, make_results, read_script
from talking.clips import gates
from talking.core import arrays, tables
from talking.gallery import clips, index, page
from talking.removal import removals
from talking.review import apply, decisions
from talking.review.decisions import Decision


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    results = make_results(tmp_path_factory.mktemp("made"))
    page.draw(results, results / "gallery", gates.Settings())
    return results


def content(results, clip):
    return read_script(results / "gallery/data" / f"{clip}.js")[0]


def test_a_kept_clip_has_its_labels_and_plays_its_own_video(results):
    shown = content(results, KEPT)
    silent, talker = shown["people"]
    assert (silent["name"], talker["name"]) == ("p000001", "p000002")
    assert talker["speak"] == [[10, 50]] and silent["speak"] == []
    assert talker["boxes"][: 2 * 4] == [30, 10, 50, 30, 30, 11, 50, 31] and len(talker["boxes"]) == 4 * 50
    assert [word[:4] for word in shown["words"]] == [["hello", 0.6, 0.7, 1], ["you", 0.8, 1.0, -1]]
    assert (results / "gallery" / shown["video"]).samefile(results / "dataset" / KEPT / "video.mp4")
    assert shown["offset"] == 0


def test_rejected_segments_play_from_the_whole_video(results):
    rejected, unmeasured = content(results, REJECTED), content(results, UNMEASURED)
    assert [one["offset"] for one in (rejected, unmeasured)] == [2.4, 4.4]
    assert (results / "gallery" / rejected["video"]).samefile(results / "media/v.mp4")
    assert rejected["people"][1]["speak"] == [[0, 10]]
    # Nobody is labelled where nothing was measured, but whoever was found is shown.
    assert unmeasured["people"] == [] and [len(b["boxes"]) for b in unmeasured["bystanders"]] == [40, 40]
    assert rejected["poses"] and not unmeasured["poses"]


def test_somebody_who_is_seen_by_several_tracks_in_a_segment_that_was_not_measured_is_one(results):
    video = clips.Video(results, "v")
    first, second = video.people.to_dict("records")
    video.people = pd.DataFrame([first, second | {"person": first["person"], "shot": 1}])
    segment = {"clip": UNMEASURED, "start_frame": 110, "end_frame": 120, "person_tracks": []}
    (one,) = video.labels(segment)["bystanders"]
    assert one["tracks"] == [3, 5]


def test_what_was_removed_is_not_shown_nor_what_reviewers_said_of_it(tmp_path):
    results = make_results(tmp_path)
    table = tables.read("clips", results / "clips/v.parquet")
    table.loc[table["clip"] == REJECTED, "rejected_by"] = "max_off_screen_share,removal"
    tables.write("clips", table, results / "clips/v.parquet")
    said = [
        Decision("v", a, b, "words", w, None, "Ann", "2026-11-28") for a, b, w in ((1, 2, "open"), (3, 4, "secret"))
    ]
    removed = removals.Removals((removals.Removal("v", (0, 5)),))
    page.draw(results, results / "gallery", gates.Settings(), decisions=said, removed=removed)
    assert not (results / "gallery/data" / f"{REJECTED}.js").exists()
    assert (results / "gallery/data" / f"{UNMEASURED}.js").exists()
    told, *_ = read_script(results / "gallery/data/review.js")
    assert [row[4] for row in told] == ["open"]


def test_a_data_set_without_a_clip_has_a_page(tmp_path):
    results = make_results(tmp_path)
    for name in ("clips", "dataset"):
        path = results / {"clips": "clips/v.parquet", "dataset": "dataset/clips.parquet"}[name]
        tables.write(name, tables.empty(name), path)
    page.draw(results, results / "gallery", gates.Settings())
    assert read_script(results / "gallery/data/index.js")[0]["rows"] == 0 and (results / "gallery/index.html").exists()


def test_the_table_has_every_number_and_text_that_is_known_of_a_clip(results):
    table = read_script(results / "gallery/data/index.js")[0]
    names = [column["name"] for column in table["columns"]]
    state = table["values"]["state"]
    assert [state["texts"][code] for code in state["codes"]] == ["kept", "rejected", "rejected"]
    assert table["values"]["off_screen_share"] == [0.1, 0.75, 0]
    persons = table["values"]["persons"]
    assert [persons["texts"][code] for code in persons["codes"]] == ["p000001, p000002", "", ""]
    measured = {c.name for c in index.lists()} | set(names)
    assert measured >= set(tables.read("dataset", results / "dataset/clips.parquet")) - {
        "person_tracks",
        "bystander_tracks",
    }
    assert read_script(results / "gallery/data/words.js") == [["hello you", "after", ""]]


def test_the_page_is_told_what_holds_for_a_review_file(results):
    rows, rules = read_script(results / "gallery/data/review.js")
    assert rows == [] and tuple(rules["columns"]) == decisions.COLUMNS
    assert (rules["keep"], rules["keep_covers"], rules["drop_shares"]) == ("keep", apply.KEEP_COVERS, apply.DROP_SHARES)
    assert decisions.NAME.pattern == rules["name"] and set(rules["named"]) < set(decisions.FIELDS)
    # They are not written down a second time.
    script = (results / "gallery/review.js").read_text()
    assert 'start_s", "end_s' not in script and "0.8" not in script and "{6,}" not in script


def test_packed_poses_are_the_points_that_are_sure(results):
    packed = read_script(results / "gallery/data" / f"{KEPT}.poses.js")
    assert packed[0] == KEPT
    points = np.random.default_rng(0).uniform(0, 600, (9, 2, 133, 2))
    scores = np.ones((9, 2, 133))
    scores[4, 1, 7] = 0.1
    found = clips.poses(points, scores)
    steps = np.frombuffer(gzip.decompress(base64.b64decode(found["packed"])), dtype="<i2").reshape(found["shape"])
    back = np.cumsum(steps, axis=0, dtype=np.int16) / found["steps"]
    assert (back[2, 1, 7] == 0).all()
    back[2, 1, 7] = points[4, 1, 7]
    assert np.abs(back - points[::2]).max() <= 0.25
    assert clips.poses(points[:, :0], scores[:, :0]) is None


def test_only_what_has_changed_is_written_again(tmp_path):
    results = make_results(tmp_path)
    data = results / "gallery/data"
    page.draw(results, results / "gallery", gates.Settings())
    files = [data / f"{clip}.js" for clip in (KEPT, REJECTED)]
    for file in files:
        os.utime(file, (1, 1))
    words = tables.read("words", results / "speech/v.words.parquet")
    tables.write(
        "words",
        words.assign(start_s=words["start_s"] + 1.5, end_s=words["end_s"] + 1.5),
        results / "speech/v.words.parquet",
    )
    page.draw(results, results / "gallery", gates.Settings())
    assert [file.stat().st_mtime == 1 for file in files] == [True, False]
    assert read_script(data / "words.js") == [["hello you", "hello you", ""]]


def test_a_rejected_segment_is_written_again_when_its_poses_or_what_was_measured_change(tmp_path):
    results = make_results(tmp_path)
    file = results / f"gallery/data/{REJECTED}.js"

    def is_written() -> bool:
        page.draw(results, results / "gallery", gates.Settings())
        is_new = file.stat().st_mtime != 1
        os.utime(file, (1, 1))
        return is_new

    assert is_written() and not is_written()
    with arrays.opened(results / "poses/v.npz") as named:
        moved = {name: array + 1 if name.endswith("keypoints") else array for name, array in named.items()}
    arrays.write(results / "poses/v.npz", moved.items())
    assert is_written() and not is_written()
    clips_table = tables.read("clips", results / "clips/v.parquet")
    tables.write("clips", clips_table.assign(speaking_s=clips_table["speaking_s"] + 0.5), results / "clips/v.parquet")
    assert is_written()


def test_without_the_video_its_clips_are_drawn_all_the_same(tmp_path):
    results = make_results(tmp_path)
    (results / "media/v.mp4").unlink()
    page.draw(results, results / "gallery", gates.Settings())
    assert (results / f"gallery/data/{REJECTED}.js").exists()


def test_files_of_clips_that_are_gone_are_removed(tmp_path):
    results = make_results(tmp_path)
    page.draw(results, results / "gallery", gates.Settings())
    page.draw(results, results / "gallery", gates.Settings(), page.Settings(rejected=False, poses=False))
    assert {file.name for file in (results / "gallery/data").iterdir()} == {
        "index.js",
        "words.js",
        "review.js",
        "made.json",
        f"{KEPT}.js",
    }


def test_the_expected_error_grows_with_every_doubt():
    sure = {
        name: 1.0
        for name in (
            "speaking_confidence",
            "mouth_sound_agreement",
            "speaking_share",
            "detected_share",
            "words_confidence",
        )
    }
    sure |= {"off_screen_share": 0.0, "not_understood_share": 0.0}
    doubts = {"speaking_confidence": 0.8, "mouth_sound_agreement": 0.5, "off_screen_share": 0.3, "detected_share": 0.6}
    doubts |= {"words_confidence": 0.4, "not_understood_share": 0.5}
    table = pd.DataFrame([sure, *(sure | {name: value} for name, value in doubts.items()), sure | doubts])
    found = index.expected_error(table)
    assert found[0] == 0 and (found[1:-1] > 0).all() and found[-1] > found[1:-1].max()
    assert found[1] == pytest.approx(0.2)
    unknown = pd.DataFrame([sure | {"speaking_confidence": None}, sure | {"words_confidence": None}])
    assert np.isnan(index.expected_error(unknown)[0]) and index.expected_error(unknown)[1] == 0
