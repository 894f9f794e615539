"""Bad inputs, some hundreds of them: each ends in a result or in one plain sentence, in time, and writes nothing but its outputs."""

import csv
import io
import json
import random
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml

import records
from conftest import REPO
from faults import fuzz
from media_tools import ffmpeg_exe
from run.workflow import snakemake
from talking.core import arrays, schemas, tables
from talking.core.errors import InputError
from talking.runs import settings, sheet
from talking.video import encoding, ingest, media

pytestmark = pytest.mark.slow

VIDEOS, REAL_VIDEOS, SHEETS, CONFIGS, TABLES = 140, 40, 100, 60, 60
SLOWEST_S = 60
SHEET = b"""video\tpath\tsource\tlicence\tsha256\turl\tsplit
a\ta.mp4\tchannel\tCC0\t\thttps://example.org/a\ttrain
# a word
b\t"with ""quotes"".mp4"\tchannel\tCC-BY-4.0\t\t\ttest
c\tfilm:demo\tother\tCC0\t\t\t
d\thttps://example.org/d.mp4\tother\tCC0\t%s\t\t
""" % (b"0" * 64)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Return the bytes of a second of noise in several containers, and of a filmed conversation."""
    folder = tmp_path_factory.mktemp("films")
    choose = np.random.default_rng(0)
    pictures = choose.integers(0, 255, (25, 48, 64, 3), dtype=np.uint8)
    encoding.encode(folder / "a.mp4", list(pictures), choose.normal(0, 0.1, 25 * 640).astype(np.float32))
    films = [(folder / "a.mp4").read_bytes()]
    for name in ("mkv", "avi", "ts", "webm"):
        codecs = ["-c:v", "libvpx", "-c:a", "libopus"] if name == "webm" else ["-c", "copy"]
        command = [ffmpeg_exe(), "-v", "error", "-i", folder / "a.mp4", *codecs, folder / f"a.{name}"]
        subprocess.run(command, check=True)
        films.append((folder / f"a.{name}").read_bytes())
    words = "--people 2 --width 160 --height 90 --shots 1,2:1:medium".split()
    film = [sys.executable, REPO / "scripts/film_conversation.py", "--out", folder / "talk.mp4", *words]
    subprocess.run(film, check=True)
    return [*films, (folder / "talk.mp4").read_bytes()]


@pytest.fixture(scope="module")
def real_films(shared, tmp_path_factory):
    """Return the bytes of a second of real videos."""
    folder = tmp_path_factory.mktemp("real")
    for name in ("shot_cuts_2997fps.mp4", "one_talker_2213fps.mp4", "no_audio_track.mp4", "debate_both.avi"):
        first_second = ["-t", "1", "-c", "copy", folder / name]
        command = [ffmpeg_exe(), "-v", "error", "-i", shared / "data/clips" / name, *first_second]
        subprocess.run(command, check=True)
    return [file.read_bytes() for file in sorted(folder.iterdir())]


def note(inputs, asserted, cases, refused):
    """Note a kind of inputs for docs/reliability.md."""
    records.note("inputs", **{"inputs": inputs, "what is asserted": asserted, "cases": cases, "refused": refused})


def test_damaged_films_give_a_result_or_a_reason(films, tmp_path):
    states = ingest_damaged(films, VIDEOS, random.Random(1), tmp_path)
    note(
        "videos of one second (noise as mp4, mkv, avi, ts, webm, and a synthetic video): bits flipped, ends cut off, segments deleted, doubled or blanked, headers and lengths changed",
        "a result or a reason, complete files of matching lengths, at most a minute, nothing else written",
        VIDEOS,
        states.count("failed"),
    )
    # Were all alike, the damage would be too small or too great to tell anything.
    assert states.count("failed") > VIDEOS / 10 and states.count("ok") > VIDEOS / 10


def test_damaged_real_films_give_a_result_or_a_reason(real_films, tmp_path):
    states = ingest_damaged(real_films, REAL_VIDEOS, random.Random(5), tmp_path)
    note(
        "a second of four real videos (mp4, avi), damaged in the same ways",
        "the same",
        REAL_VIDEOS,
        states.count("failed"),
    )
    assert 0 < states.count("failed") < REAL_VIDEOS


def ingest_damaged(films, cases, choose, tmp_path):
    """Ingest films that were damaged at random, check what comes of each, and return their states."""
    states = []
    for number in range(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "film").write_bytes(fuzz.damaged(choose.choice(films), choose))
        outputs = [folder / name for name in ("v.mp4", "v.wav", "v.json")]
        began = time.monotonic()
        probe = ingest.ingest(folder / "film", *outputs, ingest.Settings(), threads=1)
        assert time.monotonic() - began < SLOWEST_S, number
        assert {file.name for file in folder.iterdir()} == {"film", "v.mp4", "v.wav", "v.json"}, number
        states.append(probe.status)
        assert bool(probe.reason) == (probe.status != "ok") and "Traceback" not in probe.reason, number
        width, height, frames = media.size_and_length(outputs[0])
        assert sum(1 for _ in media.frames(outputs[0])) == frames == probe.frames, number
        assert len(media.sound(outputs[1])) == frames * media.SAMPLES_PER_FRAME, number
        assert (probe.status == "failed") == (width * height == 0), number
    return states


def test_mangled_sheets_are_read_or_named(tmp_path):
    choose, refused = random.Random(2), 0
    path = tmp_path / "videos.tsv"
    for number in range(SHEETS):
        path.write_bytes(fuzz.mangled_sheet(SHEET, choose))
        try:
            rows = sheet.read_sheet(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and str(error).endswith("."), (number, str(error))
            continue
        for row in rows.to_dict("records"):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", row["video"]), number
            made = sheet.is_url(row["path"]) or sheet.film_of(row["path"])
            file = sheet.file_of(path, row["video"], row["path"])
            assert not made or (".." not in file.parts and file.parts[0] == "results"), number
    note(
        "sample sheets: characters, bits, lines and fields inserted, deleted, doubled, swapped",
        "read or refused in one sentence; no id and no path made of it leaves `results/`",
        SHEETS,
        refused,
    )
    assert SHEETS / 10 < refused < SHEETS * 0.95


def test_mangled_configs_are_read_or_named():
    choose, refused = random.Random(3), 0
    config = yaml.safe_load((REPO / "config/config.yaml").read_text())
    schema = REPO / "workflow/schemas/config.schema.yaml"
    for number in range(CONFIGS):
        try:
            settings.checked_config(fuzz.mangled_config(config, choose), schema)
        except InputError as error:
            refused += 1
            assert str(error).startswith("config: "), (number, str(error))
    note("configs: values of any kind at any depth", "read or refused in one sentence", CONFIGS, refused)
    assert refused > CONFIGS / 3


def test_damaged_tables_and_arrays_are_read_whole_or_named(tmp_path):
    choose = random.Random(4)
    numbers = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    columns = {c.name: 0 for c in schemas.SCHEMAS["tracks"]} | {"x1": numbers[:, 0]}
    frame = pd.DataFrame(columns, index=range(300)).astype({"detected": bool})
    tables.write("tracks", frame, tmp_path / "t.parquet")
    arrays.write(tmp_path / "a.npz", [("points", numbers)])
    sound = {name: (tmp_path / name).read_bytes() for name in ("t.parquet", "a.npz")}
    refused = 0
    for number in range(TABLES):
        for name, data in sound.items():
            path = tmp_path / f"damaged-{name}"
            path.write_bytes(fuzz.damaged(data, choose))
            try:
                if name == "t.parquet":
                    tables.read("tracks", path)
                else:
                    with arrays.opened(path) as found:
                        dict(found)
            except InputError as error:
                refused += 1
                assert str(path) in str(error), (number, name, str(error))
    note(
        "tables and arrays of the store, damaged like the videos",
        "read or refused in one sentence that names the file",
        2 * TABLES,
        refused,
    )
    assert refused > TABLES


def test_no_shell_sees_a_hostile_name_and_no_other_video_changes(films, tmp_path):
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["video", "path", "source", "licence"])
    writer.writerow(["good", "good.mp4", "s", "CC0"])
    (tmp_path / "good.mp4").write_bytes(films[0])
    for number, name in enumerate(fuzz.HOSTILE_NAMES):
        writer.writerow([f"v{number}", name, "s", "CC0"])
        if "/" not in name and name != ".":
            (tmp_path / name).write_bytes(films[0] if number % 2 else b"no video")
    (tmp_path / "videos.tsv").write_text(text.getvalue())
    before = {file.name for file in tmp_path.iterdir()}
    done = snakemake(tmp_path, "--until", "ingest_media", config=("covog={train: never}",))
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    assert {file.name for file in tmp_path.iterdir()} == before | {"results", ".snakemake"}
    failed = 0
    for number, name in enumerate(fuzz.HOSTILE_NAMES):
        probe = json.loads((tmp_path / f"results/media/v{number}.json").read_text())
        exists = "/" not in name and name != "."
        assert probe["status"] == ("ok" if exists and number % 2 else "failed"), name
        failed += probe["status"] == "failed"
    alone = tmp_path / "alone"
    outputs = [alone / name for name in ("v.mp4", "v.wav", "v.json")]
    ingest.ingest(tmp_path / "good.mp4", *outputs, ingest.Settings())
    assert outputs[0].read_bytes() == (tmp_path / "results/media/good.mp4").read_bytes()
    note(
        "file names with a meaning to a shell, to formatting or to Snakemake, or that lead elsewhere",
        "no shell runs them, the other video's bytes are the same, nothing is written beside `results/`",
        len(fuzz.HOSTILE_NAMES),
        failed,
    )
