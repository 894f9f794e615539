"""Review files that are right and wrong, and what their decisions make of tables whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from made_video import clips_of
from talking.core import tables
from talking.core.errors import InputError
from talking.review import apply, decisions
from talking.review.decisions import Decision, Face

HEAD = "video\tstart_s\tend_s\tfield\tvalue\tface\twho\twhen\n"
GOOD = "v\t1\t2\tspeaking\tno\t1.5 0.25 0.5\tAnn\t2026-11-28T10:00:00\n"


def written(tmp_path, *lines):
    path = tmp_path / "review.tsv"
    path.write_text(HEAD + "".join(lines), encoding="utf-8")
    return path


def decided(field, value, start_s=0.0, end_s=10.0, face=None, when="2026-11-28T10:00:00", video="v"):
    return Decision(video, start_s, end_s, field, value, face, "Ann", when)


def made_faces(**moved):
    """Return faces of a picture of 200 x 100 px: person 0 on the left with tracks 1 and then 4, person 1 on the right with track 2."""
    rows = [(1, 0, 50, 40), (4, 60, 120, 44), (2, 0, 120, 150)]
    frame = np.concatenate([np.arange(a, b) for _, a, b, _ in rows])
    track = np.repeat([t for t, *_ in rows], [b - a for _, a, b, _ in rows])
    x = np.repeat([float(x) for *_, x in rows], [b - a for _, a, b, _ in rows])
    tracks = pd.DataFrame({"track": track, "frame": frame, "x1": x - 10, "x2": x + 10, "y1": 40.0, "y2": 60.0})
    people = pd.DataFrame({"person": [0, 0, 1], "tracks": [[1], [4], [2]]})
    return apply.Faces(tracks.assign(**moved), people, (200, 100))


def made_speaking(faces):
    table = faces.tracks[["track", "frame"]].copy()
    speaks = (table["track"] == 2).to_numpy()
    score = np.where(speaks, 5.0, -1.0).astype(np.float32)
    return table.assign(score=score, score_smooth=score, speaking=speaks, speaking_confidence=np.float32(0.8))


def test_a_review_file_is_read_and_written_as_it_is(tmp_path):
    rows = [
        GOOD,
        # Seconds of a video of three hours keep their frames.
        "v\t12345.64\t12346.68\tdecision\tkeep\t\tBo\t2026-11-26T09:00:00\n",
        "v\t0\t9.48\tdecision\tdrop\t\tBo\t2026-11-27T09:00:00\n",
        'w\t0.04\t100000.12\tnote\tsays "hm"\t\t\t2026-11-29T09:00:00\n',
    ]
    rows[3] = rows[3].replace('says "hm"', '"says ""hm"""')
    found = decisions.read(written(tmp_path, *rows, "# a remark\n", "\n"))
    assert [d.value for d in found] == ["keep", "drop", "no", 'says "hm"']
    assert found[2].face == Face(1.5, 0.25, 0.5)
    decisions.write(found, tmp_path / "again.tsv")
    assert decisions.read(tmp_path / "again.tsv") == found
    assert decisions.checksum(found) != decisions.checksum(found[:2]) != decisions.checksum([]) == ""


def test_a_note_and_who_decided_when_change_no_table(tmp_path):
    first, second = decisions.read(written(tmp_path, GOOD, GOOD.replace("no", "yes")))
    note = replace(first, field="note", value="look again")
    effect = decisions.effect([first, second])
    assert decisions.effect([note, replace(first, who="Bo", when="2020-01-01T00:00:00"), second]) == effect
    assert decisions.effect([note]) == "" and decisions.checksum([note]) != decisions.checksum(
        [replace(note, value="no")]
    )
    # Of two decisions the later one holds.
    assert decisions.effect([second, first]) != effect != decisions.effect([first, replace(second, end_s=9.0)])


def test_the_order_of_lines_does_not_matter(tmp_path):
    other = GOOD.replace("no", "yes").replace("10:00", "11:00")
    one, two = decisions.read(written(tmp_path, GOOD, other)), decisions.read(written(tmp_path, other, GOOD))
    assert one == two and one[-1].value == "yes"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD.replace("speaking", "speeking"), "line 2: the field 'speeking' is none of decision, labels, speaking"),
        (GOOD.replace("\tno\t", "\tmaybe\t"), "line 2: the value of speaking is 'maybe'; it must be yes or no"),
        (GOOD.replace("\t2\t", "\t0.5\t"), "line 2: start_s is 1 and end_s 0.5"),
        (GOOD.replace("\t2\t", "\ttwo\t"), "line 2: end_s is 'two', which is no number"),
        (GOOD.replace("\t2\t", "\tnan\t"), "line 2: end_s is 'nan'"),
        (GOOD.replace("1.5 0.25 0.5", "1.5 25 50"), "x and y are fractions"),
        (GOOD.replace("1.5 0.25 0.5", "left"), "line 2: face is 'left'"),
        (GOOD.replace("1.5 0.25 0.5", ""), "line 2: speaking needs face"),
        (GOOD.replace("speaking\tno", "decision\tkeep"), "line 2: decision has no face"),
        (GOOD.replace("speaking\tno", "rename\tp000012"), "another person after a rerun"),
        (GOOD.replace("speaking\tno", "person\t"), "line 2: '' is no name"),
        (GOOD.replace("2026-11-28T10:00:00", "yesterday"), "line 2: when is 'yesterday'"),
        (GOOD.replace("v\t1", "\t1"), "line 2: names no video"),
        ("v\t1\t2\n", "line 2: has no field"),
        ("<<<<<<< HEAD\n" + GOOD, "line 2: is a mark of a merge conflict"),
    ],
)
def test_a_bad_row_is_named_in_one_sentence(tmp_path, line, said):
    path = written(tmp_path, line)
    with pytest.raises(InputError) as error:
        decisions.read(path)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"a\0b", "is not a text file"),
        (b"video\twho\n", "has no column start_s, end_s"),
    ],
)
def test_a_bad_file_is_named_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "review.tsv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        decisions.read(path)


def test_an_empty_file_holds_no_decision(tmp_path):
    (tmp_path / "review.tsv").write_text("")
    assert decisions.read(tmp_path / "review.tsv") == []


def test_a_face_is_found_by_its_place_and_stands_for_all_tracks_of_the_person():
    faces = made_faces()
    assert faces.tracks_of(Face(1.0, 0.2, 0.5)) == [1, 4] and faces.tracks_of(Face(1.0, 0.75, 0.5)) == [2]
    # Between the tracks it is found a little before or after, far from any face nowhere.
    assert faces.tracks_of(Face(2.2, 0.2, 0.5)) == [1, 4]
    assert faces.tracks_of(Face(1.0, 0.5, 0.5)) == [] and faces.tracks_of(Face(60.0, 0.2, 0.5)) == []


def test_speech_is_corrected_within_the_range_whatever_numbers_tracks_have():
    left = Face(1.0, 0.2, 0.5)
    found = [
        decided("speaking", "yes", 1.0, 3.0, left),
        decided("speaking", "no", 2.8, 3.0, left, "2026-11-28T11:00:00"),
    ]
    for renumbered in ({1: 1, 4: 4, 2: 2}, {1: 20, 4: 10, 2: 30}):
        faces = made_faces()
        faces.tracks["track"] = faces.tracks["track"].map(renumbered)
        faces.people["tracks"] = [[renumbered[t] for t in tracks] for tracks in faces.people["tracks"]]
        before = made_speaking(faces)
        after = apply.speaking(before, found, faces)
        of_left = after["track"].isin([renumbered[1], renumbered[4]])
        assert after.loc[of_left & after["speaking"], "frame"].tolist() == [*range(25, 50), *range(60, 70)]
        changed = of_left & after["frame"].between(25, 74)
        pd.testing.assert_frame_equal(after[~changed], before[~changed])
        assert ((after["score"] > 0) == after["speaking"]).all() and (
            after.loc[changed, "speaking_confidence"] == 1
        ).all()
        assert (after.dtypes == before.dtypes).all()


def test_a_sure_score_that_agrees_keeps_its_size():
    faces = made_faces()
    after = apply.speaking(made_speaking(faces), [decided("speaking", "yes", 0, 4, Face(1, 0.75, 0.5))], faces)
    assert (after.loc[after["track"] == 2, "score"] == 5).all()


def test_wrong_words_go_and_given_words_take_their_place():
    words = pd.DataFrame(
        {
            "word": ["a", "b", "c", "d"],
            "start_s": [0.0, 1.0, 2.0, 3.0],
            "end_s": [0.9, 1.9, 2.9, 3.9],
            "confidence": 0.5,
        }
    ).assign(speaker="S", track=pd.array([7, 7, 7, None], dtype="Int32"), said_by=["track 7"] * 3 + ["off screen"])
    gone = apply.words(words, [decided("words", "", 1.0, 3.0)])
    assert gone["word"].tolist() == ["a", "d"]
    said = apply.words(words, [decided("words", "hello you", 1.0, 3.0)])
    assert said["word"].tolist() == ["a", "hello", "you", "d"]
    assert said["start_s"].tolist() == [0.0, 1.0, 2.25, 3.0] and said["end_s"].tolist()[1:3] == [2.25, 3.0]
    assert said["said_by"].tolist()[1:3] == ["track 7", "track 7"] and said["confidence"].tolist()[1:3] == [1.0, 1.0]
    alone = apply.words(words.head(0), [decided("words", "hello", 1.0, 3.0)])
    assert alone["said_by"].tolist() == ["off screen"] and alone["track"].isna().all()


@pytest.fixture
def clips():
    table = clips_of((0, 100), (100, 300), (300, 400))
    table["candidate"], table["kept"] = [True, True, False], [True, False, False]
    table["rejected_by"], table["reviewed"] = ["", "max_off_screen_share", "min_num_people"], ""
    return table


def test_clips_are_kept_and_dropped_as_reviewers_say(clips):
    found = [decided("decision", "drop", 0, 4), decided("decision", "keep", 4, 12), decided("decision", "keep", 12, 16)]
    after = apply.clips(clips, found)
    # What was not measured cannot be kept.
    assert after["kept"].tolist() == [False, True, False]
    assert after["rejected_by"].tolist() == ["review", "max_off_screen_share", "min_num_people"]
    assert after["reviewed"].tolist() == ["drop", "keep", ""]
    later = decided("decision", "keep", 0, 4, when="2026-11-28T12:00:00")
    assert apply.clips(clips, [*found, later])["kept"].tolist() == [True, True, False]


def test_a_decision_holds_for_a_clip_that_is_cut_otherwise():
    drop, keep = decided("decision", "drop", 4, 8), decided("decision", "keep", 4, 8)
    for span, is_dropped, is_kept in (
        ((100, 200), True, True),
        ((90, 210), True, True),
        ((0, 400), True, False),
        ((170, 400), False, False),
        ((120, 160), True, True),
    ):
        assert (apply.holds(drop, span), apply.holds(keep, span)) == (is_dropped, is_kept), span


def test_a_clip_names_what_was_corrected_in_it_and_by_whom(clips):
    face = Face(1, 0.2, 0.5)
    found = [decided("speaking", "no", 3, 5, face), decided("note", "nice", 0, 1), decided("labels", "right", 4, 12)]
    assert apply.clips(clips, found)["reviewed"].tolist() == ["speaking", "labels,speaking", ""]
    meta = apply.meta(found, 100, 300)
    assert meta["reviewed_by"] == ["Ann"]
    assert [(d["field"], d["start_s"], d["end_s"]) for d in meta["decisions"]] == [("speaking", 0, 1), ("labels", 0, 8)]
    assert apply.meta([], 100, 300) == {"reviewed_by": [], "decisions": []}


def test_persons_are_renamed_merged_and_split():
    faces = {"v": made_faces(), "w": made_faces()}
    rows = [("v", 1, "p000001"), ("v", 4, "p000001"), ("v", 2, "p000002"), ("w", 1, "p000003"), ("w", 2, "p000001")]
    table = pd.DataFrame(rows, columns=["video", "track", "person"])
    left = Face(1, 0.2, 0.5)

    def after(*found):
        return {(r.video, r.track): r.person for r in apply.identities(table, found, faces).itertuples()}

    renamed = after(decided("rename", "Anna", face=left))
    # Everybody who was the same person, in the other video too.
    assert [k for k, person in renamed.items() if person == "Anna"] == [("v", 1), ("v", 4), ("w", 2)]
    merged = after(decided("rename", "Anna", face=left), decided("rename", "Anna", face=left, video="w"))
    assert [k for k, person in merged.items() if person == "Anna"] == [("v", 1), ("v", 4), ("w", 1), ("w", 2), ("w", 4)]
    split = after(decided("person", "Bea", 2.4, 5.0, face=left))
    assert split[("v", 4)] == "Bea" and split[("v", 1)] == "p000001" and split[("w", 2)] == "p000001"
    # A face that nobody compared gets a name too; a video that is not there changes nothing.
    assert after(decided("rename", "Cleo", face=left, video="gone")) == after()
    assert tables.schema("identities").names == list(apply.identities(table, [], faces).columns)
