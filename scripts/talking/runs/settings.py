"""The config: its check against the schema, with one plain sentence for each fault."""

import difflib
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from talking.core.errors import InputError

_TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text", "object": "a group of keys", "array": "a list"}  # fmt: skip

# Gates and what bounds the candidates that are measured.
_MEASURED = {
    "min_num_people": "min_measured_people",
    "max_num_people": "max_measured_people",
    "min_duration_s": "min_measured_s",
    "min_face_height_share": "min_measured_face_height_share",
    "min_area_ratio": "min_measured_area_ratio",
    "max_absent_share": "max_measured_absent_share",
}

# Models that need weights: where they are chosen, the key that names the weights, and the models.
_NEED_WEIGHTS = (
    ("faces", "model", "weights", ("yunet", "scrfd")),
    ("embeddings", "model", "weights", ("arcface",)),
    ("speaking", "model", "weights", ("light_asd", "lr_asd", "talknet")),
    ("diarization", "model", "weights", ("pyannote-community-1", "pyannote-3.1")),
    ("words", "model", "weights", ("whisper",)),
    ("words", "aligner", "aligner_weights", ("wav2vec2",)),
    ("poses", "model", "sapiens_weights", ("sapiens", "sapiens2")),
    ("sound", "model", "weights", ("wav2vec2",)),
    ("sound", "separation", "separation_weights", ("hdemucs",)),
    ("sound", "overlap", "overlap_weights", ("convtasnet",)),
)


def checked_config(config: dict[str, Any], schema_file: Path) -> dict[str, Any]:
    """Return the config with the schema's defaults filled in; text is read as YAML where the schema needs another type.

    (Snakemake passes values in groups of --config, such as gates={min_area_ratio: 0.5}, as text.) Raises InputError that lists every unknown key, wrong type and value out of range, one sentence each.
    """
    schema = yaml.safe_load(schema_file.read_text())
    filled = _filled(config, schema)
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(filled), key=lambda e: list(map(str, e.path)))
    if errors:
        raise InputError(" ".join(_sentence(e) for e in errors))
    _check_order(filled)
    _check_measured(filled)
    _check_weights(filled)
    _check_overlap(filled["sound"])
    return filled


def _filled(value: Any, schema: dict[str, Any]) -> Any:
    """Return `value` with the defaults of the schema's properties set where keys are absent, at every depth."""
    if isinstance(value, str) and "type" in schema and "string" not in schema["type"]:
        return _read(value)
    if isinstance(value, list):
        return [_filled(v, schema.get("items", {})) for v in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    other = schema.get("additionalProperties")
    out = {k: _filled(v, properties.get(k, other if isinstance(other, dict) else {})) for k, v in value.items()}
    for key, of in properties.items():
        if key not in out and "default" in of:
            out[key] = _filled(of["default"], of)
    return out


def _read(text: str) -> Any:
    """Return a text parsed as YAML; the text itself if that is null or fails."""
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if said is None else said


def _check_order(section: dict[str, Any], name: str = "") -> None:
    """Raise InputError if a key min_X of a group lies above its max_X."""
    for key, value in section.items():
        if isinstance(value, dict):
            _check_order(value, f"{name}{key}.")
        most = f"max_{key.removeprefix('min_')}"
        if key.startswith("min_") and most in section and value > section[most]:
            raise InputError(
                f"config: {name}{key} is {value}, above {name}{most}, {section[most]}; change one of them."
            )


def _check_measured(config: dict[str, Any]) -> None:
    """Raise InputError if a gate lets clips pass that are not measured and so can never be kept."""
    for gate, bound in _MEASURED.items():
        passes, measured = config["gates"][gate], config["clips"][bound]
        if passes < measured if gate.startswith("min_") else passes > measured:
            raise InputError(
                f"config: gates.{gate} is {passes}, but clips.{bound}, {measured}, says that such clips are not measured;"
                " change one of them."
            )


def _check_weights(config: dict[str, Any]) -> None:
    """Raise InputError if a model is chosen that needs weights, and none are named."""
    for section, chosen_by, weights, models in _NEED_WEIGHTS:
        if (model := config[section][chosen_by]) in models and not config[section][weights]:
            raise InputError(
                f"config: {section}.{chosen_by} is {model}, but {section}.{weights} is empty; docs/models.md says what to write there."
            )


def _check_overlap(sound: dict[str, Any]) -> None:
    """Raise InputError if voices are to be taken apart that nobody gets."""
    if sound["overlap"] != "none" and sound["sound_mode"] != "per_person":
        raise InputError(
            f"config: sound.overlap is {sound['overlap']}, but sound.sound_mode is {sound['sound_mode']}; set"
            " sound.sound_mode to per_person."
        )


def _sentence(error: jsonschema.ValidationError) -> str:
    key = ".".join(map(str, error.absolute_path)) or "the config"
    match error.validator:
        case "additionalProperties":
            known = list(error.schema["properties"])
            unknown = [k for k in error.instance if k not in known]
            hints = [f"{k!r}{_hint(k, known)}" for k in unknown]
            return f"config: {key} has no key {', '.join(hints)}."
        case "type":
            wanted = error.validator_value
            wanted = wanted if isinstance(wanted, list) else [wanted]
            return f"config: {key} must be {' or '.join(_TYPES.get(w, w) for w in wanted)}, not {error.instance!r}."
        case "enum":
            return f"config: {key} must be one of {', '.join(map(str, error.validator_value))}, not {error.instance!r}."
        case "pattern":
            return f"config: {key} is {error.instance!r}, which is not written as config/README.md says."
        case _:
            return f"config: {key}: {error.message}."


def _hint(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
