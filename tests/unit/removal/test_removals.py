"""Files of removals that are right and wrong, whom they find in made-up results, and what is deleted there."""

import fcntl
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conftest import REPO
from made_video import clips_of
from talking.core import arrays, schemas, tables
from talking.core.errors import InputError
from talking.dataset import changes
from talking.faces import identities
from talking.removal import apply, purge, removals, seen
from talking.removal.removals import Removal
from talking.runs import made, verify
from talking.speech import turns
from talking.speech.turns import Turn

HEAD = "\t".join(removals.COLUMNS) + "\n"
VIDEO, RANGE = "v\t\t\t\t\t2026-11-28\tasked by mail\n", "v\t1\t2.02\t\t\t\t\n"
PERSON, NAMED = "\t\t\ts_v_000000to000050\t0\t\t\n", "\t\t\t\tp000002\t\t\n"
# Of the same people, and of one other: embeddings are near each other or at right angles.
ANNA, BEN, CLEO = np.eye(8)[:3]
# Tracks of two videos: who, from frame to frame, and whether it is seen well enough for an embedding.
TRACKS = {
    "v": {1: (ANNA, 0, 50, True), 2: (BEN, 0, 50, True), 3: (BEN, 60, 120, True), 4: (CLEO, 60, 120, True)},
    "w": {1: (CLEO, 0, 60, True), 2: (ANNA, 10, 30, True), 3: (ANNA, 31, 40, False)},
}
CLIPS = {"v": [((0, 50), [[1], [2]]), ((60, 120), [[3], [4]])], "w": [((0, 60), [[1], [2, 3]]), ((60, 100), [[1]])]}
TURNS = {
    "v": [Turn(0.0, 1.5, "A"), Turn(2.6, 4.0, "B"), Turn(4.1, 4.4, "A")],
    "w": [Turn(0.5, 1.0, "A"), Turn(1.3, 2.0, "B")],
}


def written(tmp_path, *lines):
    path = tmp_path / "removals.tsv"
    path.write_text(HEAD + "".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path):
    """Results of two videos: Anna is in the first clip of v, and in w beside Cleo; in v her voice comes again when she is away."""
    folder = tmp_path / "results"
    for video, of_video in TRACKS.items():
        write_video(folder, video, of_video)
    rows = [("v", 1, "p000001"), ("v", 2, "p000002"), ("v", 3, "p000002"), ("v", 4, "p000003")]
    rows += [("w", 1, "p000003"), ("w", 2, "p000001"), ("w", 3, "p000004")]
    table = pd.DataFrame(rows, columns=["video", "track", "person"])
    tables.write("identities", table, folder / "identities.parquet")
    return folder


def write_video(folder, video, of_video):
    number = np.concatenate([np.full(end - start, t) for t, (_, start, end, _) in of_video.items()])
    frame = np.concatenate([np.arange(start, end) for _, start, end, _ in of_video.values()])
    box = {"x1": number * 30.0, "y1": 10.0, "x2": number * 30.0 + 20, "y2": 30.0}
    tracks = pd.DataFrame({"track": number, "shot": 0, "frame": frame, **box, "detected": True, "confidence": 0.9})
    faces = filled("faces", tracks)
    # Anna speaks while she is seen, and so does Ben in v from frame 60 on.
    is_anna = [of_video[t][0] is ANNA for t in number]
    speaks = np.array(is_anna) | ((number == 3) & (video == "v"))
    scores = {"score": 1.0, "score_smooth": 1.0, "speaking": speaks, "speaking_confidence": 0.9}
    speaking = tracks[["track", "frame"]].assign(**scores)
    people = pd.DataFrame({"person": [1 if of[0] is ANNA else t + 10 for t, of in of_video.items()]})
    people = people.assign(tracks=[[t] for t in of_video], role="participant")
    words = pd.DataFrame({"word": ["secret", "open"], "start_s": [0.9, 2.7], "end_s": [1.1, 2.9], "confidence": 0.9})
    said = words.assign(speaker="", track=pd.array([None, None], dtype="Int32"), said_by="off screen")
    spans = [span for span, _ in CLIPS[video]]
    clips = clips_of(*spans).assign(person_tracks=[people for _, people in CLIPS[video]], video=video)
    clips = clips.assign(not_understood_s=[[] for _ in spans], language="")
    clips["clip"] = [f"s_{video}_{a:06d}to{b:06d}" for a, b in spans]
    for name, table in {"tracks": tracks, "faces": faces, "speaking": speaking, "clips": clips}.items():
        tables.write(name, table, folder / f"{name}/{video}.parquet")
    for name in ("candidates", "qualities", "inspections"):
        tables.write(name, filled(name, clips), folder / f"{name}/{video}.parquet")
    tables.write("asd", speaking[["track", "frame", "score"]], folder / f"asd/{video}.parquet")
    tables.write("persons", filled("persons", people), folder / f"people/{video}.parquet")
    tables.write("transcript", words, folder / f"speech/{video}.transcript.parquet")
    tables.write("words", said, folder / f"speech/{video}.words.parquet")
    turns.write(folder / f"speech/{video}.rttm", video, TURNS[video])
    known = [t for t, of in of_video.items() if of[3]]
    vectors = np.stack([of_video[t][0] for t in known]).astype(np.float32)
    embeddings = {"track": np.array(known), "embedding": vectors, "faces": np.ones(len(known), int)}
    arrays.write(folder / f"embeddings/{video}.npz", [*embeddings.items(), ("same_person", np.array([0.07]))])
    arrays.write(folder / f"landmarks/{video}.npz", landmarks(number, frame).items())
    of_clips = [(f"{clip}/valid", np.ones((3, 2), bool)) for clip in clips["clip"]]
    arrays.write(folder / f"poses/{video}.npz", of_clips)
    for clip in clips["clip"]:
        arrays.write(folder / f"sound/{video}/{clip}.npz", [("sound", np.ones(3))])
    made.record(
        folder / f"logs/tracks/{video}.log",
        [folder / f"{n}/{video}.{e}" for n, e in (("tracks", "parquet"), ("landmarks", "npz"))],
    )
    made.record(folder / f"logs/sound/{video}.log", [folder / f"sound/{video}"])
    for file in ("logs/tracks/{}.log", "media/{}.json"):
        path = folder / file.format(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")


def filled(name, table):
    """Return a table of a schema with the columns of another one, and nothing in those that it lacks."""
    empty = {c.name: [[]] * len(table) if "list" in str(c.type) else 0 for c in schemas.SCHEMAS[name]}
    return pd.DataFrame({n: table.get(n, of) for n, of in empty.items()}, index=table.index)


def landmarks(number, frame):
    """Landmarks whose every value says its row's track, with a picture of two bytes for every tenth row."""
    small, kept = np.arange(0, len(number), 5), np.arange(0, len(number), 10)
    return {
        "track": number,
        "frame": frame,
        "points": np.repeat(number, 136).reshape(-1, 68, 2).astype(np.float32),
        "thumbnail": np.repeat(number[small], 1024).reshape(-1, 32, 32).astype(np.uint8),
        "thumbnail_row": small.astype(np.int32),
        "face": np.repeat(number[kept], 2).astype(np.uint8),
        "face_row": kept.astype(np.int32),
        "face_end": 2 * np.arange(1, len(kept) + 1),
        "face_corner": np.repeat(number[kept], 2).reshape(-1, 2).astype(np.float32),
        "face_scale": number[kept].astype(np.float32),
    }


def kept_faces(path, results):
    found = removals.read(path)
    seen.keep_faces(found, results, 0.0)
    return found, seen.read_faces(found)


def test_a_file_says_persons_videos_and_ranges(tmp_path):
    found = removals.read(
        written(
            tmp_path,
            VIDEO,
            "# a remark\n",
            "w\t1\t2.02\t\t\t\t\n",
            PERSON,
            NAMED,
            "w\t4\t5\ts_v_000000to000050\t0\t\t\n",
        )
    )
    assert found.videos == {"v"} and found.spans("w") == [(25, 51), (100, 125)]
    assert found.counts() == {"persons": 2, "videos": 1, "ranges": 1}
    assert [row.key for row in found.persons] == ["s_v_000000to000050 0", "p000002"]
    assert found.unknown(["w"]) == ["v"]
    assert found.rows[0].reason == "asked by mail" and removals.read("").rows == ()
    assert found.checksum("v") != found.checksum("w") != removals.read("").checksum("w") == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\t\t\t\t\t\tasked\n", "line 2: names no video, clip or person"),
        ("\t1\t2\t\t\t\t\n", "line 2: has a time but no video"),
        ("v\t2\t1\t\t\t\t\n", "the end is after the start"),
        ("v\t\t9\t\t\t\t\n", "the end is after the start"),
        ("v\t1\tend\t\t\t\t\n", "the end is after the start"),
        ("v\t\t\t\tp000001\t\t\n", "names a video and a person"),
        ("\t\t\tinterview\t0\t\t\n", "is no name of a clip"),
        ("\t\t\ts_v_000000to000050\tleft\t\t\n", "number from the left"),
        ("v\t\t\t\t\t28.11.2026\t\n", "write it like 2026-11-28"),
        ("v\t\t\n", "line 2: has no clip"),
        ("<<<<<<< mine\n", "merge conflict"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(tmp_path, line, said):
    path = written(tmp_path, line)
    with pytest.raises(InputError, match=said) as error:
        removals.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_wrong_header_are_told(tmp_path):
    with pytest.raises(InputError, match=r"removals\.tsv does not exist"):
        removals.read(tmp_path / "removals.tsv")
    (tmp_path / "removals.tsv").write_text("video\tperson\nv\t\n")
    with pytest.raises(InputError, match="line 1: has no column start_s"):
        removals.read(tmp_path / "removals.tsv")


def test_rows_are_added_to_what_people_wrote(tmp_path):
    path = tmp_path / "mine" / "removals.tsv"
    removals.add(path, [Removal("v", (25, 51))])
    assert path.read_text() == HEAD + "v\t1.00\t2.04\t\t\t\t\n"
    mine = "# by hand\nreason\tdate\tperson\tclip\tend_s\tstart_s\tvideo\na \t\tp000001\t\t\t\t"
    path.write_text(mine)
    removals.add(path, [Removal("v", (2_500_001, 2_500_002))])
    assert path.read_text().startswith(mine + "\n")
    assert removals.read(path).rows[1].span == (2_500_001, 2_500_002)


def test_no_video_may_be_left_only_by_a_removal_of_all(tmp_path):
    sheet = pd.DataFrame({"video": ["v", "w"]})
    found = removals.read(written(tmp_path, VIDEO))
    assert found.without_videos(sheet)["video"].tolist() == ["w"]
    with pytest.raises(InputError, match="removes every video"):
        found.without_videos(sheet.head(1))


def test_a_person_of_a_clip_is_found_in_all_videos_and_nobody_else(tmp_path, results):
    found, faces = kept_faces(written(tmp_path, PERSON), results)
    assert seen.tracks(results, "v", faces.values(), 0.0) == {1} and seen.tracks(results, "w", faces.values(), 0.0) == {
        2
    }
    # Seen in v until frame 50, and heard again from 4.1 s on; in w also while no face of hers can be compared.
    assert seen.spans(results, "v", faces.values(), 0.0) == [(0, 50), (102, 110)]
    assert seen.spans(results, "w", faces.values(), 0.0) == [(10, 30), (31, 50)]
    by_name, _ = kept_faces(written(tmp_path, "\t\t\t\tp000001\t\t\n"), results)
    assert np.array_equal(seen.read_faces(by_name)["p000001"].embeddings, faces["s_v_000000to000050 0"].embeddings)
    # Of one who is not removed any more no face is kept.
    assert list(seen.read_faces(by_name)) == ["p000001"] and removals.read(found.file).persons[0].key == "p000001"
    written(tmp_path, VIDEO)
    seen.keep_faces(removals.read(found.file), results, 0.0)
    assert not found.faces.exists()


def test_a_bystander_of_a_clip_is_found_where_the_same_person_takes_part_too(tmp_path, results):
    table = tables.read("clips", results / "clips/w.parquet")
    table["bystander_tracks"] = [[[2, 3]], []]
    tables.write("clips", table.assign(person_tracks=[[[1]], [[1]]]), results / "clips/w.parquet")
    _, of_bystander = kept_faces(written(tmp_path, "\t\t\ts_w_000000to000060\tb0\t\t\n"), results)
    assert seen.spans(results, "v", of_bystander.values(), 0.0) == [(0, 50), (102, 110)]
    assert seen.spans(results, "w", of_bystander.values(), 0.0) == [(10, 30), (31, 50)]
    # Whoever keeps the clips, those in which the person is seen go.
    gone = apply.clips(table, seen.spans(results, "w", of_bystander.values(), 0.0))
    assert gone["kept"].tolist() == [False, True]


def test_a_person_far_from_the_own_mean_is_found_by_a_second_embedding(tmp_path, results):
    with arrays.opened(results / "embeddings/w.npz") as file:
        of_video = dict(file)
    of_video["embedding"][1] = [0.6, 0, 0, 0.8, 0, 0, 0, 0]
    arrays.write(results / "embeddings/w.npz", of_video.items())
    _, faces = kept_faces(written(tmp_path, PERSON), results)
    assert seen.tracks(results, "v", faces.values(), 0.0) == {1} and seen.tracks(results, "w", faces.values(), 0.0) == {
        2
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\t\t\ts_v_000000to000051\t0\t\t\n", "there is no clip s_v_000000to000051"),
        ("\t\t\ts_v_000000to000050\t2\t\t\n", "has the persons 0, 1, not 2"),
        ("\t\t\ts_v_000000to000050\tb0\t\t\n", "has the persons 0, 1, not b0"),
        ("\t\t\t\tp000009\t\t\n", "no person 'p000009'"),
        ("\t\t\t\tp000004\t\t\n", "remove the ranges that show the person"),
    ],
)
def test_a_person_who_is_not_there_is_told(tmp_path, results, line, said):
    with pytest.raises(InputError, match=said) as error:
        kept_faces(written(tmp_path, line), results)
    assert "removals.tsv, line 2" in str(error.value)


def test_faces_of_another_model_find_nobody_and_say_so(tmp_path, results):
    _, faces = kept_faces(written(tmp_path, PERSON), results)
    with arrays.opened(results / "embeddings/w.npz") as file:
        of_video = dict(file)
    arrays.write(results / "embeddings/w.npz", (of_video | {"same_person": np.array([0.6])}).items())
    with pytest.raises(InputError, match=r"embeddings/w\.npz is of another model"):
        seen.tracks(results, "w", faces.values(), 0.0)


def test_clips_that_share_a_frame_are_rejected_whoever_kept_them():
    table = clips_of((0, 50), (50, 100), (100, 120)).assign(rejected_by=["", "", "min_duration_s"], reviewed="keep")
    told = apply.clips(table, [(49, 50), (110, 111)])
    assert told["kept"].tolist() == [False, True, False]
    assert told["rejected_by"].tolist() == ["removal", "", "min_duration_s,removal"]
    assert apply.are_removed(told).tolist() == [True, False, True]


def test_names_stay_when_people_go(results):
    table = tables.read("identities", results / "identities.parquet")
    before = identities.remember(table, tables.empty("remembered_identities"))
    assert before["highest"].unique().tolist() == [4]
    # Without the first person everybody has another number, and somebody new comes.
    fewer = table[table["person"] != "p000001"].replace(
        {"p000002": "p000001", "p000003": "p000002", "p000004": "p000003"}
    )
    fewer = pd.concat([fewer, pd.DataFrame([("x", 0, "p000004")], columns=fewer.columns)], ignore_index=True)
    named = identities.keep_names(fewer, before)
    assert named["person"].tolist() == ["p000002", "p000002", "p000003", "p000003", "p000004", "p000005"]
    assert identities.remember(named, before)["highest"].unique().tolist() == [5]


def test_changes_name_nothing_that_was_removed(tmp_path):
    columns = changes.COLUMNS
    rows = [(f"s_{v}_000000to000050", v, "00", "train", ["p1"], "", "") for v in ("v", "w")]
    before = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    is_gone = apply.gone_clips(removals.Removals((Removal("v"),)), tmp_path)
    why = changes.why_gone(tmp_path, is_gone)
    found = changes.compare(before, before.slice(0, 0), {"v", "w"}, why)
    assert found[["clip", "video", "why"]].values.tolist() == [
        ["", "", "removal"],
        ["s_w_000000to000050", "w", "the video is not in the sample sheet"],
    ]
    told = changes.text(found, before, before.slice(0, 0))
    assert "- 1 removed (removal)\n" in f"{told}\n" and "s_v_" not in told


def test_what_is_left_of_a_person_is_deleted_and_of_others_stays(tmp_path, results):
    path = written(tmp_path, PERSON)
    found, _ = kept_faces(path, results)
    looks = [results / f"parts/poses/{name}.looks/000000.npz" for name in ("v.1of2", "v.2of2", "u.1of2")]
    for file in looks:
        file.parent.mkdir(parents=True)
        file.touch()
    times = {
        file: file.stat().st_mtime_ns for file in results.rglob("*") if file.is_file() and "checksums" not in file.parts
    }
    after = purge.purge(found, results, 0.0)
    # Where she was is known without her face; the places are no ranges that somebody asked for.
    assert after.spans("v") == [(0, 50), (102, 110)] and after.counts() == {"persons": 1, "videos": 0, "ranges": 0}
    for name in ("tracks", "asd", "speaking"):
        # Ben's first track lies wholly in frames that are gone.
        assert set(tables.read(name, results / f"{name}/v.parquet")["track"]) == {3, 4}
        assert set(tables.read(name, results / f"{name}/w.parquet")["track"]) == {1}
    assert tables.read("persons", results / "people/w.parquet")["tracks"].explode().tolist() == [1]
    assert tables.read("faces", results / "faces/v.parquet")["frame"].min() == 60
    with arrays.opened(results / "embeddings/v.npz") as file:
        assert file["track"].tolist() == [3, 4] and not np.isclose(file["embedding"] @ ANNA, 1).any()
    with arrays.opened(results / "landmarks/v.npz") as file:
        rows = tables.read("tracks", results / "tracks/v.parquet")
        assert np.array_equal(file["track"], rows["track"]) and np.array_equal(file["frame"], rows["frame"])
        assert (file["points"][:, 0, 0] == file["track"]).all()
        assert (file["thumbnail"][:, 0, 0] == file["track"][file["thumbnail_row"]]).all()
        assert (file["face_scale"] == file["track"][file["face_row"]]).all()
        assert np.array_equal(file["face"], np.repeat(file["track"][file["face_row"]], 2)) and file["face_end"][
            -1
        ] == len(file["face"])
    for name in ("candidates", "qualities", "inspections", "clips"):
        # Cleo's clip in v has Anna's voice; the one of w after her does not.
        assert tables.read(name, results / f"{name}/v.parquet")["clip"].tolist() == []
        assert tables.read(name, results / f"{name}/w.parquet")["clip"].tolist() == ["s_w_000060to000100"]
    with arrays.opened(results / "poses/w.npz") as file:
        assert list(file) == ["s_w_000060to000100/valid"]
    assert [file.stem for file in (results / "sound/w").iterdir()] == ["s_w_000060to000100"]
    for name in ("transcript", "words"):
        assert tables.read(name, results / f"speech/v.{name}.parquet")["word"].tolist() == ["open"]
    assert [turn.speaker for turn in turns.read(results / "speech/v.rttm", "v")] == ["B"]
    # To Snakemake nothing is new, and to verify nothing is damaged.
    assert {file: file.stat().st_mtime_ns for file in times if file.exists()} == {
        f: t for f, t in times.items() if f.exists()
    }
    assert verify.check(results) == []
    assert [file.exists() for file in looks] == [False, False, True]
    # A second time, as after a kill, there is nothing to do.
    written_so = path.read_text()
    purge.purge(removals.read(path), results, 0.0)
    assert path.read_text() == written_so


def test_nothing_is_left_of_a_removed_video(tmp_path, results):
    (results / "logs/v.log").write_text("of a rule that is named so\n")
    purge.purge(removals.read(written(tmp_path, VIDEO)), results, 0.0)
    left = [file for file in results.rglob("*") if file.name.split(".")[0] == "v"]
    assert left == [results / "logs/v.log"] and len(list(results.rglob("w*"))) > 15


def remove(results, *words):
    command = [sys.executable, REPO / "scripts/remove.py", "--results", results, *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_ranges_in_place_of_a_person_keep_no_face(tmp_path, results):
    done = remove(results, "--person", "p000001", "--ranges", "--date", "2026-11-28")
    assert done.returncode == 0, done.stderr
    found = removals.read(tmp_path / "removals.tsv")
    assert found.spans("v") == [(0, 50), (102, 110)] and found.spans("w") == [(10, 30), (31, 50)]
    assert found.counts() == {"persons": 0, "videos": 0, "ranges": 4} and not found.faces.exists()


def test_the_command_says_what_is_wrong_and_waits_for_no_run(tmp_path, results):
    assert "u is no video of these results" in remove(results, "--video", "u").stderr
    assert "name what to remove" in remove(results).stderr
    assert "the end is after the start" in remove(results, "--video", "v", "--start-s", "3").stderr
    assert not (tmp_path / "removals.tsv").exists()
    (tmp_path / ".snakemake").mkdir()
    with open(tmp_path / ".snakemake/at_work", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = remove(results, "--person", "p000001", "--purge")
    assert done.returncode == 1 and "a run is at work" in done.stderr and "Traceback" not in done.stderr
    # The row is there, and nothing was deleted.
    assert removals.read(tmp_path / "removals.tsv").counts()["persons"] == 1
    assert len(tables.read("tracks", results / "tracks/v.parquet")) == 220


def test_a_copy_of_what_is_removed_is_told(results):
    columns = schemas.schema("duplicates").names
    same = pd.DataFrame([("w", "s_w_000000to000060", "s_v_000060to000120", 0, 1.0, 0.0, 0.0)], columns=columns)
    tables.write("duplicates", same, results / "duplicates.parquet")
    assert "w has clips that show the same" in remove(results, "--video", "v").stdout
    assert "show the same" not in remove(results, "--video", "v", "--start-s", "0", "--end-s", "2").stdout
