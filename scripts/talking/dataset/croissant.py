"""The data set described in Croissant 1.0 (MLCommons; Akhtar et al., 2024), with its fields for responsible AI."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from talking.core import schemas
from talking.core.atomic import atomic_write
from talking.core.checksums import sha256
from talking.dataset.changes import Version

NAME = "croissant.json"
_OWN = "data column dataType examples extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace separator source subField transform citeAs samplingRate equivalentProperty"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in _OWN.split()},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
_CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_TABLES = {"clips": "dataset", "people": "people", "turns": "turns", "listening": "listening"}
# What a row of these tables is found by.
_KEYS = {"clips": "clip", "people": "person"}
_FILES = {
    "video.mp4": ("videos", "video/mp4", "the clips' pictures, 25 a second, and sound"),
    "audio.wav": ("sounds", "audio/wav", "the clips' sound, 16 kHz mono"),
    "speakers.json": ("labels", "application/json", "who speaks when, face boxes, words"),
    "poses.npz": ("poses", "application/octet-stream", "133 keypoints of each person in each frame"),
    "sound.npz": ("features", "application/octet-stream", "features of the sound, a row a frame"),
    "meta.json": ("provenance", "application/json", "where a clip comes from, what was measured, who reviewed it"),
}


def write(dataset: Path, inputs: pd.DataFrame, clips: int, contact: str, version: Version) -> None:
    """Write `croissant.json` of a folder of a data set of so many clips; `inputs` is the table `videos`."""
    with atomic_write(dataset / NAME) as aside:
        aside.write_text(
            json.dumps(describe(dataset, inputs, clips, contact, version), indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def describe(dataset: Path, inputs: pd.DataFrame, clips: int, contact: str, version: Version) -> dict[str, Any]:
    """Return the description of a folder of a data set as JSON-LD, with addresses relative to that folder."""
    used = inputs[inputs["num_clips"] > 0]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "talking_together",
        "conformsTo": _CONFORMS,
        "description": (
            f"{clips} clips of people talking with each other, from {len(used)} videos: who is on screen, who speaks when, what is"
            " said, faces, 133 keypoints of each person. Labels are made by models; README.md is the data card."
        ),
        "url": "README.md",
        "license": sorted(set(used["licence"])) or ["unknown"],
        "keywords": ["conversation", "active speaker detection", "talking head", "diarization", "pose"],
        "version": f"{version.number}.0.0+{version.content[:12]}",
        "isLiveDataset": False,
        "rai:dataCollection": (
            f"Clips cut from {len(used)} of {len(inputs)} videos of the sources {', '.join(sorted(set(used['source']))) or 'none'}, where gates on"
            " measured qualities let them pass; clips.parquet names the source, licence and address of each."
        ),
        "rai:dataCollectionType": "Secondary data analysis",
        "rai:dataAnnotationProtocol": "Labels are made by models. Where people reviewed a clip, its meta.json says who and what was corrected.",
        "rai:dataLimitations": (
            "Who speaks, words, keypoints and identities have errors of the models; voices from off screen, dubbing and listeners who"
            " mouth words mislead them. README.md has measured figures under Known errors."
        ),
        "rai:dataBiases": "People, languages and situations are those of the source videos; small, turned or covered faces are left out by the gates.",
        "rai:personalSensitiveInformation": (
            "Faces, voices and words of people who can be identified. "
            + (f"Requests to be removed: {contact}." if contact else "No contact for requests to be removed is given.")
        ),
        "rai:dataUseCases": "Training and evaluating models of conversation: generation of talking people, active speaker detection, diarization.",
        "distribution": [*_files(dataset)],
        "recordSet": [_records(name, schema) for name, schema in _TABLES.items()],
    }


def _files(dataset: Path) -> list[dict[str, Any]]:
    tables = [
        {
            "@type": "cr:FileObject",
            "@id": f"{name}.parquet",
            "name": f"{name}.parquet",
            "contentUrl": f"{name}.parquet",
            "encodingFormat": "application/x-parquet",
            "sha256": sha256(dataset / f"{name}.parquet"),
        }
        for name in _TABLES
    ]
    folder = {
        "@type": "cr:FileObject",
        "@id": "folder",
        "name": "folder",
        "description": "the folder that this file lies in",
        "contentUrl": ".",
        "encodingFormat": "application/x-directory",
        "sha256": "https://github.com/mlcommons/croissant/issues/80",
    }
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "description": meaning,
            "containedIn": {"@id": "folder"},
            "encodingFormat": kind,
            "includes": f"*/{file}",
        }
        for file, (name, kind, meaning) in _FILES.items()
    ]
    return [*tables, folder, *sets]


def _records(table: str, schema: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        **({"key": {"@id": f"{table}/{_KEYS[table]}"}} if table in _KEYS else {}),
        "field": [_field(table, column) for column in schemas.SCHEMAS[schema] if not _is_nested(column.type)],
    }


def _field(table: str, column: schemas.Column) -> dict[str, Any]:
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    unit = f" ({column.unit})" if column.unit else ""
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": f"{column.meaning}{unit}",
        "dataType": _data_type(kind),
        "source": {"fileObject": {"@id": f"{table}.parquet"}, "extract": {"column": column.name}},
        **({"repeated": True} if pa.types.is_list(column.type) else {}),
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


def _is_nested(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) and pa.types.is_list(kind.value_type)
