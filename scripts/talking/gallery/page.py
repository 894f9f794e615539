"""The page: its own files, its table and a file for each clip, which is written again only if the clip has changed."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from talking.clips import gates
from talking.core import cli, tables
from talking.core.atomic import atomic_write
from talking.core.checksums import sha256
from talking.core.schemas import Column
from talking.dataset import store
from talking.gallery import clips, index
from talking.removal.apply import gone
from talking.removal.removals import Removals
from talking.review.apply import DROP_SHARES, KEEP_COVERS, frames
from talking.review.decisions import COLUMNS, GIVEN, KEEP, NAME, NAMED, Decision

_STATIC = Path(__file__).with_name("static")
# To be raised when a clip's file is written in another way.
_FORM = 1
_READ = ("tracks/{}.parquet", "speaking/{}.parquet", "speech/{}.words.parquet", "people/{}.parquet")
_POSES = "poses/{}.npz"
_DIGITS = 4
# What the page's review.js has to know of a review file.
_REVIEW = {
    "columns": COLUMNS,
    "name": NAME.pattern,
    "given_name": GIVEN.pattern,
    "named": NAMED,
    "keep": KEEP,
    "keep_covers": KEEP_COVERS,
    "drop_shares": DROP_SHARES,
}
_OF_ALL = ("index.js", "words.js", "review.js")


@dataclass(frozen=True)
class Settings:
    """Settings of the gallery."""

    max_videos: int = cli.setting(
        200, "runs of more videos make the gallery only if it is requested (`snakemake gallery`)", minimum=0
    )
    rejected: bool = cli.setting(True, "also show segments that are not in the data set, played from results/media")
    poses: bool = cli.setting(True, "write the poses, about 40 kB for 10 s of two people")


def draw(
    results: Path,
    folder: Path,
    limits: gates.Settings,
    settings: Settings | None = None,
    threads: int = 1,
    decisions: Iterable[Decision] = (),
    removed: Removals | None = None,
) -> None:
    """Write the gallery of a folder of results; files of clips that are as they were stay, those of others are removed.

    `limits` are the gates, which the page names where it says why a segment was rejected. `threads` processes share the videos.
    `decisions` are those of the review file; what was `removed` is not shown.
    """
    settings = settings or Settings()
    videos = tables.read("videos", results / "videos.parquet")
    with_rejected = videos if settings.rejected else videos.head(0)
    rows = index.rows(results, with_rejected, tables.read("dataset", results / "dataset/clips.parquet"))
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    before = _made(data)
    work = [
        (str(video), of.to_dict("records"), {clip: before[clip] for clip in of["clip"] if clip in before})
        for video, of in rows.groupby("video", sort=False)
    ]
    write = partial(_write_video, results, data, settings.poses)
    made, words = {}, {}
    # Begun anew, as a fork ends the libraries' threads.
    with ProcessPoolExecutor(threads, get_context("spawn")) as pool:
        for fingerprints, said in tqdm(pool.map(write, work), total=len(work), desc="gallery", unit=" videos"):
            made |= fingerprints
            words |= said
    _remove_others(data, made, settings.poses)
    _write_json(data / "made.json", made)
    is_gone = gone(removed or Removals(), results / "clips")
    shown = [d for d in decisions if not is_gone(d.video, frames(d))]
    write_table(folder, rows, words, limits, shown)


def write_table(
    folder: Path,
    rows: pd.DataFrame,
    words: dict[str, str],
    limits: gates.Settings,
    decisions: Iterable[Decision] = (),
) -> None:
    """Write the page's own files and its table of rows of `index.rows`; `words` are what is said in each clip."""
    table = rows.assign(persons=[", ".join(p) if isinstance(p, Iterable) else "" for p in rows["persons"]])
    _write(folder / "data/index.js", "index", _index(table, index.columns(), limits))
    _write(folder / "data/words.js", "words", [words[clip] for clip in rows["clip"]])
    _write(folder / "data/review.js", "review", [decision.row() for decision in decisions], _REVIEW)
    # The page last: it is the job's output.
    for file in sorted(_STATIC.iterdir(), key=lambda file: file.name == "index.html"):
        with atomic_write(folder / file.name) as aside:
            shutil.copyfile(file, aside)


def _write_video(
    results: Path, data: Path, with_poses: bool, work: tuple[str, list[dict], dict[str, list]]
) -> tuple[dict[str, list], dict[str, str]]:
    """Write the files of a video's clips that have changed; return by clip the fingerprints with the words, and the words.

    `work` is the video, its rows and what was returned of its clips before.
    """
    video, rows, before = work
    source = clips.Video(results, video)
    files = [results / name.format(video) for name in (*_READ, *([_POSES] if with_poses else []))]
    is_read = any(row["state"] != "kept" for row in rows)
    read = [sha256(file) if file.exists() else "" for file in files] if is_read else []
    lists = [column.name for column in index.lists()]
    made, words = {}, {}
    for row in rows:
        clip = row["clip"]
        measured = [str(row[name]) for name in ("people", *lists)]
        said_of = [row["sha256"], list(row["persons"])] if row["state"] == "kept" else [*read, *measured]
        fingerprint = hashlib.sha256(json.dumps([_FORM, row["state"], with_poses, *said_of]).encode()).hexdigest()
        known = before.get(clip)
        if known and known[0] == fingerprint and (data / f"{clip}.js").exists():
            made[clip], words[clip] = known, known[1]
            continue
        shown = _content(row, source, lists)
        packed = _poses(row, results) if with_poses else None
        shown["poses"] = packed is not None
        if packed is not None:
            _write(data / f"{clip}.poses.js", "poses", clip, packed)
        _write(data / f"{clip}.js", "clip", shown)
        words[clip] = " ".join(word[0] for word in shown["words"])
        made[clip] = [fingerprint, words[clip]]
    return made, words


def _content(row: dict, source: clips.Video, lists: list[str]) -> dict:
    if row["state"] == "kept":
        labels = store.Clip(source.results / "dataset" / row["clip"]).speakers
        return clips.content(row, labels, (int(row["width"]), int(row["height"])), lists)
    return clips.content(row, source.labels(row), source.size, lists)


def _poses(row: dict, results: Path) -> dict | None:
    if row["state"] == "kept":
        return clips.poses_of(results / "dataset" / row["clip"] / "poses.npz")
    return clips.poses_of(results / "poses" / f"{row['video']}.npz", f"{row['clip']}/")


def _index(rows: pd.DataFrame, shown: list[Column], limits: gates.Settings) -> dict:
    return {
        "columns": [
            {"name": c.name, "unit": c.unit, "meaning": c.meaning, "text": pa.types.is_string(c.type)} for c in shown
        ],
        "rows": len(rows),
        "values": {
            c.name: _texts(rows[c.name]) if pa.types.is_string(c.type) else _numbers(rows[c.name]) for c in shown
        },
        "limits": dataclasses.asdict(limits),
        "limbs": clips.LIMBS,
    }


def _texts(values: pd.Series) -> dict:
    """Return texts as numbers of a list of different ones."""
    codes, known = pd.factorize(values.fillna("").astype(str))
    return {"codes": codes.tolist(), "texts": known.tolist()}


def _numbers(values: pd.Series) -> list[float | int | None]:
    return [None if pd.isna(v) else int(v) if float(v).is_integer() else float(f"{v:.{_DIGITS}g}") for v in values]


def _made(data: Path) -> dict[str, list]:
    try:
        return json.loads((data / "made.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _remove_others(data: Path, made: dict[str, list], with_poses: bool) -> None:
    """Remove the files of clips that are no longer there."""
    for file in _files_of_clips(data):
        clip = file.name.removesuffix(".js").removesuffix(".poses")
        if clip not in made or (file.name.endswith(".poses.js") and not with_poses):
            file.unlink()


def _files_of_clips(data: Path) -> Iterator[Path]:
    return (file for file in data.glob("*.js") if file.name not in _OF_ALL)


def _write(path: Path, call: str, *content: Any) -> None:
    """Write a script that hands content to the page; from disk, a browser reads no other files."""
    words = ",".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in content)
    with atomic_write(path) as aside:
        aside.write_text(f"gallery.{call}({words});\n", encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
