"""The results of a small video whose labels are known: a clip that is kept, a segment that a gate rejects, one that was not measured."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pandas as pd

from made_video import clips_of, make_sources
from talking.clips import qualities
from talking.core import schemas, tables
from talking.dataset import annotate, talk
from talking.video import media

KEPT, REJECTED, UNMEASURED = (f"s_v_{a:06d}to{b:06d}" for a, b in ((10, 60), (60, 110), (110, 120)))


def make_results(folder: Path) -> Path:
    """Return the folder of the results, filled: of the kept clip's people 5 is silent and 3 speaks in its frames 10 to 50.

    They are made once for all tests of a process, and copied.
    """
    return Path(shutil.copytree(Path(_made_once().name) / "results", folder / "results"))


@cache
def _made_once() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory()
    _fill(Path(folder.name))
    return folder


def _fill(folder: Path) -> None:
    sources = make_sources(folder / "made", (10, 60), (60, 110))
    results = folder / "results"
    clips = clips_of((10, 60), (60, 110), (110, 120))
    clips["video"], clips["language"], clips["off_screen_share"] = "v", "en", [0.1, 0.75, 0.0]
    clips["speaking_confidence"], clips["mouth_sound_agreement"] = [0.9, 0.6, None], [1.0, 0.5, None]
    clips["kept"], clips["rejected_by"] = (
        [True, False, False],
        ["", "max_off_screen_share", "min_duration_s,min_num_people"],
    )
    clips["candidate"] = [True, True, False]
    clips["not_understood_s"] = clips["not_understood_s"].map(lambda _: [])
    for column in ("people", "tracks", "person_tracks", "speaking_s"):
        clips.at[2, column] = []
    clips.loc[2, "num_people"] = 0
    index = annotate.annotate(clips, "v", sources, results / "dataset", annotate.Settings())
    tables.write("annotations", index, results / "annotations/v.parquet")
    tables.write("clips", clips, results / "clips/v.parquet")
    of_clip = index.set_index("clip").loc[KEPT]
    row = clips.head(1).assign(persons=[["p000001", "p000002"]], licence="CC0", url="", duplicate_of="", split="train")
    row = row.assign(
        hard_because="", review="", **{n: of_clip[n] for n in ("num_frames", "width", "height", "bytes", "sha256")}
    )
    tables.write("dataset", row[schemas.schema("dataset").names], results / "dataset/clips.parquet")
    for split in ("train", "val", "test_easy", "test_hard"):
        listed = [{"clip": KEPT}] if split == "train" else []
        _made(results / f"dataset/splits/{split}.json").write_text(json.dumps(listed))
    (results / "dataset/README.md").write_text("# Data card\n")
    for name, place in {"tracks": "tracks", "speaking": "speaking"}.items():
        shutil.copyfile(folder / f"made/{name}.parquet", _made(results / place / "v.parquet"))
    shutil.copyfile(sources.words, _made(results / "speech/v.words.parquet"))
    shutil.copyfile(sources.poses, _made(results / "poses/v.npz"))
    shutil.copyfile(sources.media, _made(results / "media/v.mp4"))
    width, height, _ = media.size_and_length(sources.media)
    (results / "media/v.json").write_text(json.dumps({"width": width, "height": height}))
    people = pd.DataFrame([_person(0, [3]), _person(1, [5])], columns=schemas.schema("persons").names)
    tables.write("persons", people, results / "people/v.parquet")
    shots = {c.name: ["" if str(c.type) == "string" else 0] for c in schemas.SCHEMAS["shots"]} | {"end_frame": [120]}
    tables.write("shots", pd.DataFrame(shots), results / "shots/v.parquet")
    kept = tables.read_columns("dataset", results / "dataset/clips.parquet")
    names = {3: "p000002", 5: "p000001"}
    found = talk.make(results, "v", kept, lambda tracks: [names[track] for track in tracks], qualities.Settings())
    for name, table in zip(("turns", "listening"), found, strict=True):
        tables.write(name, table.to_pandas(), results / f"dataset/{name}.parquet")
    videos = {c.name: ["" if str(c.type) == "string" else 1] for c in schemas.SCHEMAS["videos"]}
    tables.write(
        "videos", pd.DataFrame(videos | {"video": ["v"], "status": ["ok"], "source": ["s"]}), results / "videos.parquet"
    )


def read_script(path: Path) -> list:
    """Return what a script of the gallery hands to the page."""
    return json.loads(f"[{path.read_text(encoding='utf-8').split('(', 1)[1].rstrip().removesuffix(');')}]")


def _person(person: int, tracks: list[int]) -> dict:
    return {
        "person": person,
        "shot": 0,
        "tracks": tracks,
        "start_frame": 0,
        "end_frame": 120,
        "num_frames": 120,
        "role": "participant",
    }


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
