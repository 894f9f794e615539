"""Collecting: tables of many videos against a count by hand, and what is no longer wanted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from talking.core import schemas, tables
from talking.core.errors import InputError
from talking.dataset import card, collect, report, splits, store
from talking.review.decisions import Decision
from talking.runs import summary


def write_video(results, video, clips, people=2, tracks=None):
    """Write the tables of a video with `clips` kept clips of 200 frames and a rejected one, of tracks 1, 2, ..."""
    for folder in ("clips", "annotations", "media"):
        (results / folder).mkdir(parents=True, exist_ok=True)
    rows = clips + 1
    start = 1000 * np.arange(rows)
    frame = pd.DataFrame(index=range(rows), columns=schemas.schema("clips").names)
    for column in schemas.SCHEMAS["clips"]:
        kind = str(column.type)
        frame[column.name] = [[]] * rows if "list" in kind else "" if kind == "string" else 0
    frame["clip"] = [f"s_{video}_{a:06d}to{a + 200:06d}" for a in start]
    frame["video"], frame["source"] = video, "s"
    frame["start_frame"], frame["end_frame"], frame["duration_s"] = start, start + 200, 8.0
    frame["num_people"] = people
    frame["tracks"] = [tracks or list(range(1, people + 1))] * rows
    frame["speaking_s"] = [[2.0] + [1.0] * (people - 1)] * rows
    frame["sync_offsets"] = frame["sync_confidences"] = [[0.0] * people] * rows
    frame["face_px"] = 150.0
    frame["candidate"] = True
    frame["kept"] = np.arange(rows) < clips
    frame.loc[clips, "rejected_by"] = "min_area_ratio"
    tables.write("clips", frame, results / "clips" / f"{video}.parquet")
    names = frame["clip"][:clips]
    index = pd.DataFrame({"video": video, "clip": names, "num_frames": 200, "width": 1280, "height": 720})
    index = index.assign(files=[["video.mp4"]] * clips, file_bytes=[[9]] * clips, file_sha256=[["00"]] * clips)
    index = index.assign(bytes=1000, sha256="00") if clips else tables.empty("annotations")
    tables.write("annotations", index, results / "annotations" / f"{video}.parquet")
    for folder, table in {"tracks": "tracks", "speaking": "speaking", "people": "persons", "speech": "words", "shots": "shots"}.items():  # fmt: skip
        file = results / folder / f"{video}{'.words' * (table == 'words')}.parquet"
        if not file.exists():
            tables.write(table, tables.empty(table), file)
    probe = {"status": "ok", "reason": "", "duration_s": 100.0}
    (results / "media" / f"{video}.json").write_text(json.dumps(probe))


def sheet_of(*videos, split=""):
    rows = [
        {"video": v, "path": f"{v}.mp4", "source": "s", "licence": "CC0", "sha256": "", "url": "", "split": split}
        for v in videos
    ]
    return pd.DataFrame(rows)


def run(results, sheet, identities, again=(), decisions=(), **settings):
    """Collect videos whose `identities` are (video, track, person) and whose clips `again` are (video, clip, duplicate of)."""
    table = pd.DataFrame(identities, columns=schemas.schema("identities").names)
    tables.write("identities", table, results / "identities.parquet")
    shown = pd.DataFrame(again, columns=["video", "clip", "duplicate_of"])
    shown = shown.assign(offset_frames=0, overlap_share=1.0, sound_bit_error=0.1, picture_bits=2.0)
    tables.write("duplicates", shown, results / "duplicates.parquet")
    folders = collect.Results(
        results,
        results / "clips",
        results / "annotations",
        results / "media",
        results / "identities.parquet",
        results / "duplicates.parquet",
    )
    dataset = results / "dataset"
    chosen = splits.Settings(**({"memory": str(results / "splits.tsv")} | settings))
    collect.collect(sheet, folders, dataset, results / "videos.parquet", card.Settings(), chosen, decisions)
    read = {name: tables.read(name, path) for name, path in _tables(results).items()}
    read["splits"] = {s: json.loads((dataset / "splits" / f"{s}.json").read_text()) for s in store.SPLITS}
    return read


def _tables(results):
    dataset = results / "dataset"
    return {
        "dataset": dataset / "clips.parquet",
        "people": dataset / "people.parquet",
        "videos": results / "videos.parquet",
    }


def test_every_kept_clip_is_in_the_tables_once(tmp_path):
    write_video(tmp_path, "a", clips=3)
    write_video(tmp_path, "b", clips=1, people=3)
    write_video(tmp_path, "c", clips=0)
    cast = [("a", 1, "p1"), ("b", 1, "p3"), ("b", 2, "p4"), ("b", 3, "p6"), ("c", 1, "p5")]
    made = run(tmp_path, sheet_of("a", "b", "c"), cast)
    clips = made["dataset"]
    assert clips["video"].tolist() == ["a", "a", "a", "b"]
    assert clips["persons"].map(list).tolist() == [["p1", "a-track2"]] * 3 + [["p3", "p4", "p6"]]
    people = made["people"].set_index("person")
    assert people.index.tolist() == ["a-track2", "p1", "p3", "p4", "p6"]
    assert people.loc["p1", ["num_videos", "num_clips", "seconds_on_screen", "seconds_speaking"]].tolist() == [
        1,
        3,
        24,
        6,
    ]
    assert made["videos"]["seconds_kept"].tolist() == [24, 8, 0]
    assert made["videos"]["reason"].tolist() == ["", "", ""]
    # b is all there can be for testing, and hard for its three people.
    assert [r["clip"] for r in made["splits"]["test_hard"]] == ["s_b_000000to000200"]
    assert len(made["splits"]["train"]) == 3
    assert made["splits"]["test_easy"] == []
    assert clips.set_index("video").loc["b", "hard_because"] == "num_people"
    text = (tmp_path / "dataset/README.md").read_text()
    assert "4 clips, 0.01 hours (0.02 person-hours) of 5 people, from 2 of 3 videos" in text
    assert "$" not in text


def test_split_files_have_a_record_a_line_whatever_a_person_is_called(tmp_path):
    write_video(tmp_path, "a", clips=2)
    odd = 'Zoë "Z" \\ Ö\n\x01'
    made = run(tmp_path, sheet_of("a", split="train"), [("a", 1, odd), ("a", 2, "")])["splits"]["train"]
    assert [record["persons"] for record in made] == [[odd, ""]] * 2
    assert list(made[0]) == ["clip", "video", "persons", "num_people", "num_frames", "hard_because"]
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in made)
    assert (tmp_path / "dataset/splits/train.json").read_text() == f"[\n{lines}\n]\n"
    assert (tmp_path / "dataset/splits/val.json").read_text() == "[]\n"


def test_turns_and_listening_of_videos_with_clips_are_in_the_tables(tmp_path):
    write_video(tmp_path, "a", clips=2)
    write_video(tmp_path, "b", clips=0)
    for video in "ab":
        frame = np.tile(np.arange(1500), 2)
        faces = pd.DataFrame({"track": np.repeat([1, 2], 1500), "shot": 0, "frame": frame, "x1": 0, "y1": 10, "x2": 50})
        tables.write("tracks", faces.assign(y2=70, detected=True, confidence=1), tmp_path / f"tracks/{video}.parquet")
        # The first one talks from 0 to 80, the other from 90 to 150, and both before the second clip and into it.
        first = (frame < 80) | ((frame >= 900) & (frame < 1050))
        says = np.where(
            faces["track"] == 1, first, ((frame >= 90) & (frame < 150)) | ((frame >= 1060) & (frame < 1100))
        )
        scored = faces[["track", "frame"]].assign(score=0, score_smooth=0, speaking=says, speaking_confidence=1)
        tables.write("speaking", scored, tmp_path / f"speaking/{video}.parquet")
        people = pd.DataFrame(index=range(2), columns=schemas.schema("persons").names)
        people = people.assign(
            person=[5, 6], shot=0, tracks=[[1], [2]], start_frame=0, end_frame=1500, role="participant"
        )
        tables.write("persons", people, tmp_path / f"people/{video}.parquet")
        shots = pd.DataFrame(index=range(1), columns=schemas.schema("shots").names)
        tables.write("shots", shots.assign(shot=0, start_frame=0, end_frame=1500), tmp_path / f"shots/{video}.parquet")
        clips = tables.read("clips", tmp_path / f"clips/{video}.parquet")
        tables.write(
            "clips",
            clips.assign(people=[[6, 5]] * len(clips), tracks=[[2, 1]] * len(clips)),
            tmp_path / f"clips/{video}.parquet",
        )
    run(tmp_path, sheet_of("a", "b"), [("a", 1, "p1"), ("a", 2, "p2")])
    turns, listening = (tables.read(name, tmp_path / f"dataset/{name}.parquet") for name in ("turns", "listening"))
    assert set(turns["video"]) == set(listening["video"]) == {"a"}
    told = turns[
        ["turn_person", "turn_clip", "turn_person_in_clip", "reply_person", "reply_clip", "reply_person_in_clip"]
    ]
    first, second = "s_a_000000to000200", "s_a_001000to001200"
    assert told.to_numpy().tolist() == [["p1", first, 1, "p2", first, 0], ["p1", "", -1, "p2", second, 0]]
    assert turns["split"].tolist() == ["train"] * 2 and turns["gap_s"].tolist() == pytest.approx([0.4, 0.4])
    inside = listening[listening["clip"] == second]
    assert inside[["listener", "start_in_clip", "end_in_clip"]].to_numpy().tolist() == [["p2", 0, 50], ["p1", 60, 100]]
    text = (tmp_path / "dataset/README.md").read_text()
    assert "2 turns with a reply, 1 of them with both in one clip; the median gap is 0.40 s" in text
    described = json.loads((tmp_path / "dataset/croissant.json").read_text())
    assert "turns/gap_s" in {field["@id"] for records in described["recordSet"] for field in records["field"]}


def test_a_person_in_two_videos_keeps_them_together(tmp_path):
    for video in "abcd":
        write_video(tmp_path, video, clips=2)
    cast = [("a", 1, "p1"), ("a", 2, "p4"), ("b", 2, "p1"), ("b", 1, "p5"), ("c", 1, "p2"), ("d", 1, "p3")]
    cast += [("c", 2, "p6"), ("d", 2, "p7")]
    made = run(tmp_path, sheet_of(*"abcd"), cast, test_share=0.5)
    side = dict(zip(made["dataset"]["video"], made["dataset"]["split"].str[:4], strict=True))
    assert side["a"] == side["b"]
    assert set(side.values()) == {"trai", "test"}
    assert set(made["people"]["split"]) == {"train", "test"}


def test_a_clip_that_was_shown_before_is_in_the_table_and_in_no_split(tmp_path):
    write_video(tmp_path, "a", clips=2)
    write_video(tmp_path, "b", clips=2)
    cast = [("a", 1, "p1"), ("a", 2, "p2"), ("b", 1, "p1"), ("b", 2, "p2")]
    plain = run(tmp_path, sheet_of("a", "b"), cast)
    names = plain["dataset"]["clip"].tolist()
    assert plain["dataset"]["split"].tolist() == ["train"] * 4
    made = run(tmp_path, sheet_of("a", "b"), cast, again=[("b", names[2], names[1])])
    clips = made["dataset"].set_index("clip")
    assert clips["duplicate_of"].to_dict() == dict.fromkeys(names, "") | {names[2]: names[1]}
    assert clips["split"].tolist() == ["train", "train", "duplicate", "train"]
    assert [r["clip"] for r in made["splits"]["train"]] == [names[0], names[1], names[3]]
    # Its folder stays, so that it is there when the other one goes.
    assert "| duplicate | 1 |" in (tmp_path / "dataset/README.md").read_text()


def test_one_group_is_for_training_and_the_card_says_why(tmp_path):
    write_video(tmp_path, "a", clips=2)
    made = run(tmp_path, sheet_of("a"), [])
    assert len(made["splits"]["train"]) == 2
    assert "nothing could be held out" in (tmp_path / "dataset/README.md").read_text()


def test_no_clip_at_all_is_a_data_set_too(tmp_path):
    write_video(tmp_path, "a", clips=0)
    made = run(tmp_path, sheet_of("a"), [])
    assert len(made["dataset"]) == 0
    assert made["splits"] == {"train": [], "val": [], "test_easy": [], "test_hard": []}


def test_folders_of_other_clips_are_removed(tmp_path):
    write_video(tmp_path, "a", clips=1)
    write_video(tmp_path, "gone", clips=1)
    dataset = tmp_path / "dataset"
    for name in ("s_a_000000to000200", "s_gone_000000to000200", ".s_gone_000000to000200.new", "notes"):
        (dataset / name).mkdir(parents=True)
    run(tmp_path, sheet_of("a"), [])
    left = {p.name for p in dataset.iterdir() if p.is_dir()}
    assert left == {"s_a_000000to000200", "notes", "splits"}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    for video in "abc":
        write_video(tmp_path, video, clips=2)
    run(tmp_path, sheet_of(*"abc"), [("a", 1, "p1")])
    before = {p: p.read_bytes() for p in (tmp_path / "dataset").rglob("*") if p.is_file()}
    run(tmp_path, sheet_of(*"abc"), [("a", 1, "p1")])
    assert before == {p: p.read_bytes() for p in (tmp_path / "dataset").rglob("*") if p.is_file()}


def test_tables_that_do_not_fit_are_refused(tmp_path):
    write_video(tmp_path, "a", clips=2)
    tables.write("annotations", tables.empty("annotations"), tmp_path / "annotations/a.parquet")
    with pytest.raises(InputError, match=r"annotations/a\.parquet has other clips"):
        run(tmp_path, sheet_of("a"), [])


def test_a_split_that_cannot_be_is_refused(tmp_path):
    write_video(tmp_path, "a", clips=1)
    write_video(tmp_path, "b", clips=1)
    sheet = sheet_of("a", "b").assign(split=["train", "test"])
    with pytest.raises(InputError, match="p1 is in a and b"):
        run(tmp_path, sheet, [("a", 1, "p1"), ("b", 1, "p1")])


def test_a_note_on_a_usable_video_is_told_and_no_failure(tmp_path):
    write_video(tmp_path, "a", clips=1)
    probe = tmp_path / "media/a.json"
    note = "a.mp4 has sound for 5.0 of its 100.0 seconds only."
    probe.write_text(json.dumps(json.loads(probe.read_text()) | {"reason": note}))
    videos = run(tmp_path, sheet_of("a"), [("a", 1, "p1"), ("a", 2, "p2")])["videos"]
    assert videos[["status", "reason"]].to_numpy().tolist() == [["ok", note]]
    report.write_inputs(videos, tmp_path / "inputs.html")
    page = (tmp_path / "inputs.html").read_text()
    assert note in page and 'class="bad"' not in page
    assert summary.unread(tmp_path, ["a"]) == []


def test_the_card_counts_what_reviewers_decided(tmp_path):
    write_video(tmp_path, "a", clips=2)
    cast = [("a", 1, "p1"), ("a", 2, "p2")]
    run(tmp_path, sheet_of("a"), cast)
    assert "Nobody has reviewed the clips." in (tmp_path / "dataset/README.md").read_text()
    clips = tables.read("clips", tmp_path / "clips/a.parquet")
    tables.write("clips", clips.assign(reviewed=["keep,speaking", "", "drop"]), tmp_path / "clips/a.parquet")
    when = "2026-11-28T10:00:00"
    found = [
        Decision("a", 0, 8, "decision", value, None, who, when) for value, who in (("keep", "Ann"), ("drop", "Bo"))
    ]
    run(tmp_path, sheet_of("a"), cast, decisions=found)
    note = Decision("a", 1, 2, "note", "look again", None, "Ann", when)
    reviews = [run(tmp_path, sheet_of("a"), cast, decisions=of)["dataset"]["review"].tolist() for of in ([], [note], [replace(note, value="no")], found)]  # fmt: skip
    assert (
        reviews[0] == ["", ""] and len({first for first, _ in reviews}) == 4 and {later for _, later in reviews} == {""}
    )
    card_text = (tmp_path / "dataset/README.md").read_text()
    assert "1 of 2 clips were reviewed: 2 decisions of 2 reviewers, 1 of them to drop a clip." in card_text
    assert "keep in 1, speaking in 1" in card_text


def show(results, *videos, host="host"):
    """Write videos of a talk show, one clip each, and return who is who: the host and a guest of each video's own."""
    for video in videos:
        write_video(results, video, clips=1)
    return [row for v in videos for row in ((v, 1, host), (v, 2, f"guest of {v}"))]


def sides(made):
    """Return the split of each video."""
    table = made["dataset"]
    return dict(zip(table["video"], table["split"].str.replace(r"test_.*", "test", regex=True), strict=True))


TEN = [f"show{n}" for n in range(10)]


def test_one_host_in_every_video_leaves_something_to_test_on(tmp_path):
    made = run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN))
    assert sorted(sides(made).values()) == ["test", *["train"] * 8, "val"]
    people = made["people"].set_index("person")["split"]
    assert people["host"] == "several"
    assert all(people[f"guest of {video}"] == side for video, side in sides(made).items())
    assert [r["video"] for r in made["splits"]["val"]] == [v for v, s in sides(made).items() if s == "val"]
    card_text = (tmp_path / "dataset/README.md").read_text()
    assert "host is in several splits" in card_text and "train 8, val 1, test 1, several 1" in card_text


@pytest.mark.slow
def test_added_and_removed_videos_move_nothing(tmp_path):
    first = sides(run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN)))
    # The host is in few of the videos that follow: still nobody whom splits are tied together by.
    more = [f"other{n}" for n in range(30)]
    cast = show(tmp_path, *TEN) + [row for v in more for row in show(tmp_path, v, host=f"guide of {v}")]
    second = sides(run(tmp_path, sheet_of(*TEN, *more), cast))
    assert {v: second[v] for v in TEN} == first
    assert sum(side == "test" for side in second.values()) == 4
    # Nor does the order of the sample sheet matter, nor what people are called, nor that some were away.
    run(tmp_path, sheet_of(*more), cast)
    renamed = [(v, t, f"p {p}") for v, t, p in cast]
    third = run(tmp_path, sheet_of(*reversed(more), *reversed(TEN)), renamed)
    assert sides(third) == second
    assert third["people"].set_index("person").loc["p host", "split"] == "several"


def test_a_video_that_would_tie_two_splits_together_is_in_none(tmp_path):
    before = sides(run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN)))
    trained, tested = (next(v for v in TEN if before[v] == side) for side in ("train", "test"))
    for video in ("tie", "friend"):
        write_video(tmp_path, video, clips=1)
    cast = [("tie", 1, f"guest of {trained}"), ("tie", 2, f"guest of {tested}")]
    cast += [("friend", 1, f"guest of {tested}"), ("friend", 2, "somebody")]
    made = run(tmp_path, sheet_of(*TEN, "tie", "friend"), show(tmp_path, *TEN) + cast)
    assert sides(made) == before | {"tie": "withheld", "friend": "test"}
    assert "| withheld | 1 |" in (tmp_path / "dataset/README.md").read_text()


def test_two_people_who_turn_out_to_be_one_are_not_tested_on(tmp_path):
    cast = show(tmp_path, *TEN)
    before = sides(run(tmp_path, sheet_of(*TEN), cast))
    trained, tested = (next(v for v in TEN if before[v] == side) for side in ("train", "test"))
    merged = [(v, t, p.replace(f"guest of {tested}", f"guest of {trained}")) for v, t, p in cast]
    assert sides(run(tmp_path, sheet_of(*TEN), merged)) == before | {tested: "withheld"}
    assert sides(run(tmp_path, sheet_of(*TEN), cast)) == before


def test_nobody_whose_face_was_not_compared_is_tested_on(tmp_path):
    before = sides(run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN)))
    (tested,) = (v for v in TEN if before[v] == "test")
    cast = [row for row in show(tmp_path, *TEN) if row[1] == 1 or row[0] != tested]
    assert sides(run(tmp_path, sheet_of(*TEN), cast)) == before | {tested: "withheld"}


def test_a_sheet_that_contradicts_the_memory_is_told_what_to_change(tmp_path):
    for video in "ab":
        write_video(tmp_path, video, clips=1)
    cast = [("a", 1, "p1"), ("b", 1, "p1")]
    assert sides(run(tmp_path, sheet_of("a", "b"), cast)) == {"a": "train", "b": "train"}
    with pytest.raises(InputError, match=r"a into test.*b, which splits.memory has in train"):
        run(tmp_path, sheet_of("a", "b").assign(split=["test", ""]), cast)
    both = sheet_of("a", "b").assign(split="test")
    named = [("a", 2, "p2"), ("b", 2, "p3")]
    assert sides(run(tmp_path, both, cast + named)) == {"a": "test", "b": "test"}
    # What the sample sheet wanted is remembered, too.
    assert sides(run(tmp_path, sheet_of("a", "b"), cast + named)) == {"a": "test", "b": "test"}


def test_the_memory_is_lines_that_git_can_merge(tmp_path):
    run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN))
    file = tmp_path / "splits.tsv"
    lines = file.read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[2:]] == sorted(TEN)
    assert all(line.endswith("\tin-show0") for line in lines[2:])
    wrong = [*lines, "show0\tnowhere\t"]
    file.write_text("\n".join(wrong))
    with pytest.raises(InputError, match=r"splits\.tsv, line 13: needs a video, train, val, test or withheld"):
        run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN))
    side = lines[2].split("\t")[1]
    file.write_text("\n".join([*lines, f"show0\t{'val' if side != 'val' else 'test'}\t"]))
    with pytest.raises(InputError, match=r"show0 is in .* on an earlier line"):
        run(tmp_path, sheet_of(*TEN), show(tmp_path, *TEN))
