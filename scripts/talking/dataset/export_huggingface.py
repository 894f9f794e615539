"""The data set as Parquet shards that Hugging Face's library `datasets` reads, with typed features, videos and sound in them.

datasets.load_dataset(FOLDER, split="train", streaming=True); with the name "turns" or "listening" after FOLDER, the rows of that table.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from talking.core import cli, tables
from talking.dataset import protect, store
from talking.dataset.store import Clip
from talking.video import media

_SHARD = "data/{split}-{number:05d}-of-{count:05d}.parquet"
# A clip takes megabytes: a reader that streams need not hold many.
_ROWS_IN_GROUP = 8
_INT, _FLOAT, _TEXT = pa.int32(), pa.float32(), pa.string()
_FILE = pa.struct([("bytes", pa.binary()), ("path", _TEXT)])
_PERIODS, _ROWS, _STACK = pa.list_(pa.list_(_INT)), pa.list_(pa.list_(_FLOAT)), pa.list_(pa.list_(pa.list_(_FLOAT)))
_LABELS = pa.list_(
    pa.struct(
        [
            ("name", _TEXT),
            ("speak", _PERIODS),
            ("absent", _PERIODS),
            ("speaking_score", pa.list_(_FLOAT)),
            ("face_boxes", _ROWS),
        ]
    )
)
_WORDS = pa.list_(
    pa.struct([("word", _TEXT), ("start_s", _FLOAT), ("end_s", _FLOAT), ("confidence", _FLOAT), ("person", _INT)])
)
# Tables of their own beside the clips, by the names of their configurations.
_TABLES = ("turns", "listening")
# Sizes and checksums are of the clips' folders and of the review file.
_LEFT_OUT = ("bytes", "sha256", "review")
_POSES = {
    "keypoints": _STACK,
    "keypoint_scores": _STACK,
    "body_boxes": _STACK,
    "pose_valid": pa.list_(pa.list_(pa.bool_())),
}
# Names of licences on the hub; others are "other".
_LICENCES = "cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 cc-by-3.0 apache-2.0 mit".split()
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


@dataclass
class Settings:
    """Settings of the export for Hugging Face."""

    max_shard_mb: int = cli.setting(500, "size from which a new shard begins, in MB", minimum=1)
    poses: bool = cli.setting(True, "include keypoints, their scores and body boxes")
    sound: bool = cli.setting(False, "include the features of the sound, several MB a clip")


def export(
    dataset: Path, out: Path, settings: Settings | None = None, protection: protect.Settings | None = None
) -> None:
    """Write the data set as `data/{split}-*.parquet`, `turns/`, `listening/` and README.md below `out`, renamed to it when all are whole.

    A row has the columns of the table `dataset`, `mp4` and `wav` (the files themselves), `labels` of each person, `words` and,
    if the settings say so, `keypoints` and others (frames, people, …) and `sound` (frames, features). Of the tables `turns` and
    `listening`, the rows of each split are `{table}/{split}.parquet`.
    """
    settings, protection = settings or Settings(), protection or protect.Settings()
    rows = tables.read_columns("dataset", dataset / "clips.parquet")
    rows = rows.drop_columns(list(_LEFT_OUT))
    wanted = _schema(rows.schema, settings)
    aside = out.with_name(f".{out.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "data").mkdir(parents=True)
    at = {clip: i for i, clip in enumerate(rows["clip"].to_pylist())}
    content = hashlib.sha256((dataset / "clips.parquet").read_bytes() + str(settings).encode())
    for split in store.SPLITS:
        folders = store.split(dataset, split)
        clips = (_passed_on(rows.slice(at[folder.name], 1), folder, wanted, protection, content) for folder in folders)
        _write_shards(tqdm(clips, desc=split, total=len(folders)), wanted, split, aside, settings)
    for name in _TABLES:
        _write_table(name, tables.read_columns(name, dataset / f"{name}.parquet"), aside / name)
        content.update((dataset / f"{name}.parquet").read_bytes())
    clips = rows.to_pandas()
    card = (dataset / "README.md").read_text(encoding="utf-8")
    (aside / "README.md").write_text(
        _front(clips, aside, content.hexdigest()) + card + protect.note(protection), encoding="utf-8"
    )
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


def _schema(known: pa.Schema, settings: Settings) -> pa.Schema:
    fields = [*known, ("mp4", _FILE), ("wav", _FILE), ("labels", _LABELS), ("words", _WORDS)]
    if settings.poses:
        fields += list(_POSES.items())
    if settings.sound:
        fields.append(("sound", _ROWS))
    schema = pa.schema([f if isinstance(f, pa.Field) else pa.field(*f) for f in fields])
    features = {field.name: _feature(field.type) for field in schema}
    features |= {"mp4": {"_type": "Video"}, "wav": {"_type": "Audio", "sampling_rate": media.SOUND_HZ}}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> Any:
    """Return an Arrow type as the library's features are written: a list in brackets, a struct as a mapping."""
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    return {"_type": "Value", "dtype": {"float": "float32", "double": "float64"}.get(str(kind), str(kind))}


def _passed_on(known: pa.Table, folder: Path, wanted: pa.Schema, protection: protect.Settings, content) -> pa.Table:
    """Return a clip's row, and add what it is made of to the checksum `content`."""
    with protect.passed_on(folder, protection) as passed:
        content.update((passed / "meta.json").read_bytes())
        return _row(known, Clip(passed), wanted)


def _row(known: pa.Table, clip: Clip, wanted: pa.Schema) -> pa.Table:
    """Return a clip's row."""
    speakers, names = clip.speakers, known["persons"][0].as_py()
    columns: dict[str, pa.Array] = {
        "mp4": _file(clip.path / "video.mp4"),
        "wav": _file(clip.path / "audio.wav"),
        "labels": pa.array([[_label(*pair) for pair in zip(names, speakers["people"], strict=True)]], type=_LABELS),
        "words": pa.array([[{f.name: w[f.name] for f in _WORDS.value_type} for w in speakers["words"]]], type=_WORDS),
    }
    if "keypoints" in wanted.names:
        points = clip.keypoints.reshape(*clip.keypoints.shape[:2], -1)
        arrays = (points, clip.pose_scores, clip.body_boxes, clip.pose_valid)
        columns |= {name: _nested(values) for name, values in zip(_POSES, arrays, strict=True)}
    if "sound" in wanted.names:
        columns["sound"] = _nested(clip.sound.reshape(len(clip.sound), -1).astype(np.float32))
    for name, values in columns.items():
        known = known.append_column(name, values)
    return known.cast(wanted)


def _file(path: Path) -> pa.Array:
    return pa.array([{"bytes": path.read_bytes(), "path": f"{path.parent.name}{path.suffix}"}], type=_FILE)


def _label(name: str, person: dict) -> dict:
    return {
        "name": name,
        "speak": person["speak"],
        "absent": person["absent"],
        "speaking_score": person["speaking_score"],
        "face_boxes": person["face_track"],
    }


def _nested(values: np.ndarray) -> pa.Array:
    """Return an array of any shape as one row of nested lists."""
    kind = pa.bool_() if values.dtype == bool else _FLOAT
    found, shape = pa.array(np.ascontiguousarray(values).ravel(), type=kind), values.shape
    for axis in range(len(shape) - 1, -1, -1):
        lists = int(np.prod(shape[:axis], dtype=int))
        found = pa.ListArray.from_arrays(np.arange(lists + 1, dtype=np.int32) * shape[axis], found)
    return found


def _write_shards(rows: Iterator[pa.Table], wanted: pa.Schema, split: str, out: Path, settings: Settings) -> None:
    """Write rows as shards, each up to the size of the settings and one row more; none without rows."""
    files: list[Path] = []
    writer, size, held = None, 0, []

    def flush() -> None:
        if held:
            writer.write_table(pa.concat_tables(held), row_group_size=_ROWS_IN_GROUP)
            held.clear()

    for row in rows:
        if writer is None:
            files.append(out / f"data/{split}-{len(files)}.new")
            # Videos are compressed already.
            writer, size = pq.ParquetWriter(files[-1], wanted, compression="zstd"), 0
        held.append(row)
        size += row.nbytes
        if len(held) == _ROWS_IN_GROUP:
            flush()
        if size >= settings.max_shard_mb * 1e6:
            flush()
            writer.close()
            writer = None
    if writer is not None:
        flush()
        writer.close()
    for number, file in enumerate(files):
        file.rename(out / _SHARD.format(split=split, number=number, count=len(files)))


def _write_table(name: str, rows: pa.Table, out: Path) -> None:
    """Write the rows of each split that has some."""
    out.mkdir()
    for split in store.SPLITS:
        of_split = rows.filter(pc.equal(rows["split"], split))
        if len(of_split):
            tables.write(name, of_split.to_pandas(), out / f"{split}.parquet")


def _front(clips: pd.DataFrame, out: Path, content: str) -> str:
    """Return the metadata that the hub reads at the top of README.md; `content` is a checksum of all that was exported."""
    licences = sorted({name.lower() for name in clips["licence"]})
    known = licences[0] if len(licences) == 1 and licences[0] in _LICENCES else "other"
    files = {"default": "data/{}-*.parquet"} | {name: f"{name}/{{}}.parquet" for name in _TABLES}
    made = {name: [split for split in store.SPLITS if any(out.glob(of.format(split)))] for name, of in files.items()}
    front = {
        "pretty_name": "Talking together",
        "license": known,
        **({"license_name": ", ".join(licences)} if known == "other" and licences else {}),
        "language": sorted({language for language in clips["language"] if language}),
        "size_categories": [next((name for most, name in _SIZES if len(clips) < most), "100K<n<1M")],
        "task_categories": ["video-classification", "automatic-speech-recognition"],
        "tags": ["conversation", "active-speaker-detection", "talking-head", "diarization", "pose"],
        "configs": [
            {
                "config_name": name,
                # By what stands here, and not by the files, the library finds what it has read before: without the checksum it would
                # give the rows of an earlier export.
                "description": f"content {content[:12]}",
                "data_files": [{"split": split, "path": files[name].format(split)} for split in splits],
            }
            for name, splits in made.items()
            if splits or name == "default"
        ],
    }
    # JSON is YAML.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items()]
    return f"---\n{''.join(lines)}---\n"
