"""Removal on request: what is published goes in the next run, what stages made goes with --purge, and nothing of others."""

import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from conftest import REPO
from media_tools import ffmpeg_exe
from run.workflow import COSTLY, copy_run, planned, snakemake
from talking.core import tables
from talking.core.arrays import opened

pytestmark = pytest.mark.slow

# The two people of the shared run's conversation, and one of them with a third.
CAST = "--seed 8 --people 3 --width 640 --height 360 --shots 1,2:7:medium 2,3:7:medium".split()
KEPT, GONE = "test_cast_000000to000175", "test_cast_000175to000350"
# What the third person's clip alone is about.
WORDS = {"shoes", "Exactly"}
TARGETS = ("all", "export_webdataset", "export_huggingface", "preview")


@pytest.fixture(scope="module")
def published(once, run):
    """The folder of a run with a second conversation, exported; no test may change it."""

    def fill(folder: Path) -> None:
        film = [sys.executable, REPO / "scripts/film_conversation.py", "--out", folder / "cast.mp4", *CAST]
        subprocess.run(film, check=True)
        copy_run(run[0], folder / "run")
        add_row(folder / "run", "cast", folder / "cast.mp4")
        assert_done(snakemake(folder / "run", *TARGETS))

    return once("published", fill) / "run"


def add_row(folder, video, file):
    with (folder / "videos.tsv").open("a") as sheet:
        sheet.write(f"{video}\t{file}\ttest\tCC0\n")


def assert_done(done):
    assert done.returncode == 0, done.stdout + done.stderr


def remove(folder, *words):
    command = [sys.executable, REPO / "scripts/remove.py", "--results", folder / "results", *words]
    return subprocess.run(command, capture_output=True, text=True)


def where(folder: Path, secrets: set[bytes]) -> dict[str, set[bytes]]:
    """Return which secrets are in the names or the content of which files below a folder, whatever they are packed in."""
    pattern = re.compile(b"|".join(map(re.escape, secrets)))
    found = {}
    for file in folder.rglob("*"):
        there = {
            m[0] for part in (str(file.relative_to(folder)).encode(), *contents(file)) for m in pattern.finditer(part)
        }
        if there:
            found[str(file.relative_to(folder))] = there
    return found


def contents(file: Path):
    if not file.is_file():
        return
    raw = file.read_bytes()
    yield raw
    yield from unpacked(file.name, raw)


def unpacked(name, raw):
    if name.endswith(".parquet"):
        for batch in pq.ParquetFile(io.BytesIO(raw)).iter_batches(16):
            yield str(batch.to_pydict()).encode()
    elif name.endswith(".npz") and raw:
        with np.load(io.BytesIO(raw)) as arrays:
            for key in arrays.files:
                yield key.encode()
                yield arrays[key].tobytes()
    elif name.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar:
                yield from unpacked(member.name, tar.extractfile(member).read())


def people_of(folder):
    clips = tables.read("dataset", folder / "results/dataset/clips.parquet").set_index("clip")
    return {clip: (list(row["persons"]), row["split"]) for clip, row in clips.iterrows()}


def test_a_removed_person_is_in_no_file_and_nobody_else_changes(published, tmp_path):
    folder = copy_run(published, tmp_path / "run")
    results, before = folder / "results", people_of(folder)
    (name,) = set(before[GONE][0]) - set(before[KEPT][0])
    number = before[GONE][0].index(name)
    with opened(results / "embeddings/cast.npz") as file:
        track = tables.read("dataset", results / "dataset/clips.parquet").set_index("clip").at[GONE, "tracks"][number]
        face = file["embedding"][file["track"] == track][0].tobytes()
    secrets = {GONE.encode(), name.encode(), face, *(word.encode() for word in WORDS)}
    before_removal = where(results, secrets)
    assert set().union(*before_removal.values()) == secrets
    assert {"export", "preview", "gallery", "dataset", "speech"} <= {file.split("/")[0] for file in before_removal}
    assert "has the persons 0, 1, not 7" in remove(folder, "--clip", GONE, "--person", "7").stderr
    assert not (folder / "removals.tsv").exists()
    done = remove(folder, "--clip", GONE, "--person", str(number), "--reason", "asked by mail")
    assert done.returncode == 0, done.stderr
    # Nothing costly, exports and previews too, and then it is done.
    jobs = planned(folder)
    assert not COSTLY & set(jobs) and {"export_webdataset", "export_huggingface", "preview_clips"} <= set(jobs)
    assert_done(snakemake(folder))
    after = people_of(folder)
    assert after == {clip: of for clip, of in before.items() if clip != GONE}
    assert planned(folder) == {}
    card = (results / "dataset/README.md").read_text()
    assert "Removed on request, with every clip that showed or let hear it: persons 1, videos 0, ranges 0." in card
    assert "- 1 removed (removal)\n" in (results / "dataset/CHANGES.md").read_text()
    changes = tables.read("changes", results / "dataset/changes.parquet")
    assert changes[["clip", "video", "why"]].to_numpy().tolist() == [["", "", "removal"]]
    for public in ("dataset", "export", "gallery", "preview", "report"):
        assert where(results / public, secrets) == {}
    assert not where(results, {b"asked by mail"})
    # Then what stages made of the person.
    done = remove(folder, "--purge")
    assert done.returncode == 0, done.stderr
    assert not COSTLY & set(planned(folder))
    assert_done(snakemake(folder))
    assert people_of(folder) == after and planned(folder) == {}
    assert where(results, secrets) == {}
    verified = snakemake(folder, "verify")
    assert verified.returncode == 0 and "0 damaged files" in verified.stdout, verified.stdout + verified.stderr

    # The person is known in a video that is added later, cut and encoded otherwise, and gets no clip there.
    again = [
        "-ss",
        "7.2",
        "-i",
        published.parent / "cast.mp4",
        "-vf",
        "hue=s=0.9",
        "-crf",
        "22",
        tmp_path / "later.mp4",
    ]
    subprocess.run([ffmpeg_exe(), "-loglevel", "error", *again], check=True)
    add_row(folder, "later", tmp_path / "later.mp4")
    assert_done(snakemake(folder))
    assert people_of(folder) == after
    clips = tables.read("clips", results / "clips/later.parquet")
    assert clips["rejected_by"].tolist() == ["removal"] and not where(results / "gallery", {clips["clip"][0].encode()})


def test_a_removed_video_leaves_nothing_and_is_not_made_again(published, tmp_path):
    folder = copy_run(published, tmp_path / "run")
    results, before = folder / "results", people_of(folder)
    # Deleted before the run that leaves it out.
    done = remove(folder, "--video", "talk", "--purge")
    assert done.returncode == 0, done.stderr
    assert not COSTLY & set(planned(folder))
    assert_done(snakemake(folder))
    # The people whom it showed first keep their names.
    assert people_of(folder) == {clip: of for clip, of in before.items() if "_talk_" not in clip}
    assert "persons 0, videos 1, ranges 0" in (results / "dataset/README.md").read_text()
    left = {file.relative_to(results) for file in results.rglob("*") if file.name.split(".")[0] == "talk"}
    assert left == set() and not where(results, {b"test_talk_"})
    assert planned(folder) == {}


def test_a_removed_range_takes_the_clips_that_touch_it(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    before = people_of(folder)
    (folder / "removals.tsv").write_text("video\tstart_s\tend_s\tclip\tperson\tdate\treason\ntalk\t6.5\t6.6\t\t\t\t\n")
    assert_done(snakemake(folder))
    assert people_of(folder) == {clip: of for clip, of in before.items() if clip != "test_talk_000000to000175"}
    # Without the file everything is there as before.
    (folder / "removals.tsv").unlink()
    assert_done(snakemake(folder))
    assert people_of(folder) == before


def test_a_wrong_file_of_removals_stops_the_run_and_changes_nothing(run, tmp_path):
    folder = copy_run(run[0], tmp_path / "run")
    head = "video\tstart_s\tend_s\tclip\tperson\tdate\treason\n"
    for row, said in (
        ("talk\t9\t8\t\t\t\t\n", "the end is after the start"),
        ("\t\t\t\tp000077\t\t\n", "no person 'p000077'"),
    ):
        (folder / "removals.tsv").write_text(head + row)
        done = snakemake(folder)
        printed = done.stdout + done.stderr
        assert done.returncode != 0 and "removals.tsv, line 2" in printed and said in printed
        assert "Traceback" not in printed
    shutil.rmtree(folder / ".snakemake/log", ignore_errors=True)
    absent = snakemake(folder, config=("removals=elsewhere.tsv",))
    assert "the file of removals elsewhere.tsv (config key removals) does not exist" in absent.stdout + absent.stderr
    (folder / "removals.tsv").unlink()
    assert planned(folder) == {}
    assert (folder / "results/dataset/clips.parquet").read_bytes() == (
        run[0] / "results/dataset/clips.parquet"
    ).read_bytes()
