"""The config's schema and the manual's tables, written from the settings dataclasses and table schemas."""

import dataclasses
import importlib
import json
import re
from typing import Any, get_args, get_origin

from talking.core import schemas

# Config section -> the settings dataclass it fills, in the order of the workflow.
SECTIONS = {
    "ingest": "talking.video.ingest",
    "shots": "talking.video.shots",
    "parts": "talking.runs.long_videos",
    "faces": "talking.faces.detect",
    "tracks": "talking.faces.tracks",
    "landmarks": "talking.faces.landmarks",
    "embeddings": "talking.faces.embedding",
    "identities": "talking.faces.identities",
    "voice": "talking.sound.voice",
    "speaking": "talking.speaking",
    "people": "talking.people",
    "fusion": "talking.speaking.fusion",
    "diarization": "talking.speech.diarization",
    "words": "talking.speech.words",
    "attribution": "talking.speech.attribution",
    "clips": "talking.clips.find",
    "qualities": "talking.clips.qualities",
    "gates": "talking.clips.gates",
    "duplicates": "talking.clips.duplicates",
    "poses": "talking.poses",
    "sound": "talking.sound.embeddings",
    "annotate": "talking.dataset.annotate",
    "splits": "talking.dataset.splits",
    "card": "talking.dataset.card",
    "report": "talking.dataset.report",
    "preview": "talking.dataset.preview",
    "gallery": "talking.gallery.page",
    "export": "talking.dataset.protect",
    "export_mit": "talking.dataset.export_mit",
    "export_voices": "talking.dataset.export_voices",
    "export_webdataset": "talking.dataset.export_webdataset",
    "export_huggingface": "talking.dataset.export_huggingface",
    "covog": "covog.config:WorkflowSettings",
}
FILM = "talking.film"
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}

_TOP = {
    "videos": {"type": "string", "default": "config/videos.tsv", "description": "the sample sheet; relative to the working directory, else to where the command is typed, else to the project"},
    "review": {"type": "string", "default": "", "description": "the review file, saved from the gallery or by `import_label_studio`; found as the sample sheet is; empty: there is none"},
    "removals": {"type": "string", "default": "removals.tsv", "description": "the file of what was removed on request, written by `talking remove`; the default in the working directory, which may be absent; another is found as the sample sheet is; empty: nothing was removed"},
    "strict": {"type": "boolean", "default": False, "description": "end a run with a video that cannot be read as failed, after all other videos are done"},
    "delete_intermediates": {"type": "boolean", "default": False, "description": "delete a video's download, media, faces, landmarks and stored looks of the pose model (poses/{video}.looks) once everything that reads them is made; little more than its kept clips is left. A changed gate then converts the source again, any other change reruns the models"},
    "gpu": {"type": "integer", "minimum": 0, "default": 0, "description": "GPUs that a job requests if its model can use one; the embedded models use none"},
    "container": {"type": "string", "default": "docker-daemon://talking:0.1.0", "description": "image of jobs under `--sdm apptainer`: a `.sif` file or an address"},
}  # fmt: skip


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of the config with every key, type, default and description."""
    film = settings_schema(settings_of(FILM))
    sections = {name: settings_schema(settings_of(module)) for name, module in SECTIONS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            **_TOP,
            "films": {
                "type": "object",
                "description": "synthetic videos, by name; a row of the sample sheet with the path film:NAME uses one",
                "default": {},
                "additionalProperties": {**film, "default": {}},
            },
            **{name: {**of, "default": {}} for name, of in sections.items()},
        },
        "additionalProperties": False,
    }


def settings_schema(settings: type) -> dict[str, Any]:
    """Return the JSON schema of one settings dataclass."""
    properties = {}
    for field in dataclasses.fields(settings):
        made = field.default is dataclasses.MISSING
        entry = {**_type(field.type), "default": field.default_factory() if made else field.default}
        entry |= {k: v for k, v in field.metadata.items() if k in ("minimum", "maximum")}
        one = entry.get("items", entry)
        if "choices" in field.metadata:
            one["enum"] = list(field.metadata["choices"])
        if "pattern" in field.metadata:
            one["pattern"] = field.metadata["pattern"]
        properties[field.name] = {**entry, "description": field.metadata["help"]}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def manual(text: str, schema: dict[str, Any]) -> str:
    """Return the manual with the parts between its `<!-- keys -->` and `<!-- tables -->` marks rewritten."""
    for mark, body in {"keys": _keys(schema), "tables": _tables()}.items():
        pattern = re.compile(f"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        text = pattern.sub(lambda m, body=body: f"{m[1]}{body}{m[2]}", text)
    return text


def _keys(schema: dict[str, Any]) -> str:
    top = {k: v for k, v in schema["properties"].items() if v["type"] != "object"}
    film = schema["properties"]["films"]["additionalProperties"]
    parts = ["### The whole run\n\n" + _key_table(top)]
    for name in SECTIONS:
        parts.append(f"### `{name}`\n\n" + _key_table(schema["properties"][name]["properties"]))
    parts.append("### `films.NAME`\n\n" + _key_table(film["properties"]))
    return "\n".join(parts)


def _key_table(properties: dict[str, Any]) -> str:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, of in properties.items():
        choices = f" (one of {', '.join(f'`{c}`' for c in of['enum'])})" if "enum" in of else ""
        rows.append(f"| `{key}` | `{json.dumps(of['default'])}` | {of['description']}{choices} |")
    return "\n".join(rows) + "\n"


def _tables() -> str:
    parts = []
    for name, columns in schemas.SCHEMAS.items():
        rows = [f"### `{name}`", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        rows += [f"| `{c.name}` | {c.type} | {c.unit} | {c.meaning} |" for c in columns]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def settings_of(where: str) -> type:
    """Return the settings dataclass at "module" (its `Settings`) or "module:Class"."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name or "Settings")


def _type(of: Any) -> dict[str, Any]:
    if get_origin(of) is list:
        return {"type": "array", "items": {"type": _JSON_TYPES[get_args(of)[0]]}}
    if get_origin(of) is dict:
        return {"type": "object"}
    if type(None) in get_args(of):
        return {"type": [_JSON_TYPES[a] for a in get_args(of) if a is not type(None)] + ["null"]}
    return {"type": _JSON_TYPES[of]}
