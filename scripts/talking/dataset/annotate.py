"""Annotation: every kept clip of a video becomes a folder with its pictures, sound, labels, poses and sound features.

Only here, frame numbers of the video become frame numbers of the clip. A folder is made under a temporary name and renamed when whole.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from talking.core import arrays, atomic, cli, intervals, schemas, tables
from talking.core.arrays import opened
from talking.core.checksums import sha256
from talking.core.errors import InputError
from talking.faces.tracked import Faces
from talking.review import apply
from talking.review.decisions import Decision
from talking.runs.stages import CLIP_FILES
from talking.sound import embeddings
from talking.video import cutting, media

POSE_ARRAYS = ("keypoints", "scores", "boxes", "valid")
# To be raised when clips are cut in another way.
_CUT = 2
# Columns that are the same for every kept clip are left out of meta.json.
_NOT_IN_META = ("candidate", "dissolve", "rejected_by", "kept")


@dataclass
class Settings:
    """Settings of annotating clips."""

    min_period_frames: int = cli.setting(
        25, "shorter periods of speaking and listening are merged into a neighbour", minimum=1
    )
    crf: int = cli.setting(
        20, "quality of the clips' pictures: x264's constant rate factor, lower is better", minimum=0, maximum=51
    )


@dataclass
class Sources:
    """The files of one video that its clips are made of, its row of the sample sheet (source, licence, url), and what reviewers decided."""

    media: Path
    wav: Path
    tracks: Path
    speaking: Path
    words: Path
    poses: Path
    sound: Path
    sheet: dict[str, str]
    decisions: Sequence[Decision] = ()


def annotate(
    clips: pd.DataFrame, video: str, sources: Sources, dataset: Path, settings: Settings | None = None
) -> pd.DataFrame:
    """Make the folder of every kept clip of `video` below `dataset`, remove those no longer kept, return `annotations`.

    Pictures and sound are cut in one decode of the video, and not again where a folder already has them. Raises
    InputError if the arrays of a clip are missing or of another length.
    """
    settings = settings or Settings()
    kept = clips[clips["kept"]]
    dataset.mkdir(parents=True, exist_ok=True)
    prefix = f"{sources.sheet['source']}_{video}"
    for folder in _folders(dataset, prefix):
        if folder.name.startswith(".") or folder.name not in set(kept["clip"]):
            shutil.rmtree(folder)
    if kept.empty:
        return tables.empty("annotations")
    cuts = _cut(kept, sources, dataset, settings)
    width, height, _ = media.size_and_length(sources.media)
    faces = Faces(tables.read("tracks", sources.tracks), tables.read("speaking", sources.speaking))
    words = tables.read("words", sources.words)
    rows = []
    with opened(sources.poses) as poses:
        for clip in kept.to_dict("records"):
            aside = _aside(dataset, clip["clip"])
            _write_json(aside / "speakers.json", label(clip, faces, words, settings.min_period_frames))
            arrays.write(aside / "poses.npz", _slices(clip, poses, POSE_ARRAYS, sources.poses))
            _link_sound(clip, sources.sound, aside / "sound.npz")
            meta = _meta(clip, sources.sheet) | {"width": width, "height": height, "cut": cuts[clip["clip"]]}
            meta |= apply.meta(sources.decisions, clip["start_frame"], clip["end_frame"])
            meta["files"] = {name: _file_facts(aside / name) for name in CLIP_FILES if name != "meta.json"}
            _write_json(aside / "meta.json", meta)
            rows.append({"video": video, "clip": clip["clip"]} | _index_row(aside, clip, width, height))
            _put_in_place(aside, dataset / clip["clip"])
    return pd.DataFrame(rows)


def label(clip: dict, faces: Faces, words: pd.DataFrame, min_period_frames: int) -> dict:
    """Return the content of speakers.json: boxes, scores and periods of each person in frames of the clip, and the words.

    In frames in which a person is away (`absent`) there is no box (four nulls) and nobody is seen to speak. A score that is
    missing or NaN is that of the nearest known frame (the earlier of two; 0 if there is none); whether somebody speaks is the
    speaking stage's decision and does not change by it.
    """
    start, end = clip["start_frame"], clip["end_frame"]
    people = [[int(track) for track in tracks] for tracks in clip["person_tracks"]]
    rows = faces.rows(people, start, end)
    labelled = []
    for i, track in enumerate(clip["tracks"]):
        at = rows[:, i]
        labelled.append(
            {
                "person": i,
                "track": int(track),
                **periods(faces.of(faces.speaking, at, False), min_period_frames),
                "speaking_score": np.round(_filled(faces.of(faces.score, at, np.nan)), 4).tolist(),
                "face_track": [_box(box) for box in faces.boxes(at)],
                "detected": [list(span) for span in intervals.from_mask(faces.of(faces.detected, at, False))],
                "absent": [list(span) for span in intervals.from_mask(at < 0)],
            }
        )
    return {
        "clip": clip["clip"],
        "fps": media.FPS,
        "num_frames": end - start,
        "people": labelled,
        "bystanders": [_bystander(tracks, faces, start, end) for tracks in clip["bystander_tracks"]],
        "words": _words(words, people, start / media.FPS, end / media.FPS),
    }


def _bystander(tracks: Sequence[int], faces: Faces, start: int, end: int) -> dict:
    """Return where a bystander is seen: the boxes from frame `start` of the clip on, and no labels."""
    box = faces.boxes(faces.rows([tracks], start, end))[:, 0]
    at = np.flatnonzero(~np.isnan(box[:, 0]))
    first, last = int(at[0]), int(at[-1])
    return {
        "tracks": [int(track) for track in tracks],
        "start": first,
        "face_track": [_box(b) for b in box[first : last + 1]],
    }


def _box(box: np.ndarray) -> list[float | None]:
    return [None if np.isnan(c) else round(float(c), 2) for c in box]


def periods(speaking: np.ndarray, min_length: int) -> dict[str, list[list[int]]]:
    """Return a mask's speaking and listening periods [start, end), raw and with those shorter than `min_length` merged.

    Of both pairs, every frame lies in exactly one period.
    """
    speaking = np.asarray(speaking, dtype=bool)
    merged = intervals.merge_short(speaking, min_length)
    masks = {"speak": speaking, "listen": ~speaking, "speak_merged": merged, "listen_merged": ~merged}
    return {name: [list(span) for span in intervals.from_mask(mask)] for name, mask in masks.items()}


def _filled(score: np.ndarray) -> np.ndarray:
    known = np.isfinite(score)
    if not known.any():
        return np.zeros(len(score))
    at = np.flatnonzero(known)
    nearest = np.ceil(np.interp(np.arange(len(score)), at, np.arange(at.size)) - 0.5).astype(int)
    return score[at[nearest]]


def _words(words: pd.DataFrame, people: list[list[int]], start_s: float, end_s: float) -> list[dict]:
    """Return the words whose middle lies in the clip, their times clip-relative and within it."""
    middle = (words["start_s"] + words["end_s"]) / 2
    person_of = {track: person for person, tracks in enumerate(people) for track in tracks}
    found = []
    for word in words[(middle >= start_s) & (middle < end_s)].to_dict("records"):
        track = None if pd.isna(word["track"]) else int(word["track"])
        found.append(
            {
                "word": word["word"],
                "start_s": round(max(word["start_s"], start_s) - start_s, 3),
                "end_s": round(min(word["end_s"], end_s) - start_s, 3),
                "confidence": round(float(word["confidence"]), 3),
                "person": person_of.get(track),
                "track": track,
                "speaker": word["speaker"],
                "said_by": word["said_by"],
            }
        )
    return found


def _cut(kept: pd.DataFrame, sources: Sources, dataset: Path, settings: Settings) -> dict[str, str]:
    """Fill each clip's temporary folder with pictures and sound, linked where they are unchanged; return the cuts' checksums."""
    content = [sha256(sources.media), sha256(sources.wav)]
    cuts, fingerprints = [], {}
    for clip, start, end in kept[["clip", "start_frame", "end_frame"]].itertuples(index=False):
        fingerprint = hashlib.sha256(json.dumps([_CUT, *content, start, end, settings.crf]).encode()).hexdigest()
        fingerprints[clip] = fingerprint
        aside = _aside(dataset, clip)
        aside.mkdir()
        made = [dataset / clip / name for name in ("video.mp4", "audio.wav")]
        if _has_cut(dataset / clip, fingerprint):
            for file in made:
                os.link(file, aside / file.name)
        else:
            cuts.append((start, end, aside / "video.mp4", aside / "audio.wav"))
    cutting.cut_all(sources.media, sources.wav, cuts, crf=settings.crf)
    return fingerprints


def _has_cut(folder: Path, fingerprint: str) -> bool:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        files = {folder / name: meta["files"][name] for name in ("video.mp4", "audio.wav")}
        return meta["cut"] == fingerprint and all(f.exists() and _file_facts(f) == facts for f, facts in files.items())
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        # Missing or damaged: it is cut again.
        return False


def _link_sound(clip: dict, folder: Path, to: Path) -> None:
    """Give a clip's folder the clip's file of sound features: one file on the disk, or a copy where it cannot be."""
    file = embeddings.file_of(folder, clip["clip"])
    frames = clip["end_frame"] - clip["start_frame"]
    if not file.exists():
        raise InputError(f"{folder} has no file of {clip['clip']}; delete it and run again.")
    with opened(file) as of_clip:
        length = len(of_clip["sound"])
    if length != frames:
        raise InputError(f"{file} has {length} frames, not {frames}; delete {folder} and run again.")
    atomic.link(file, to)


def _slices(
    clip: dict, of_video: np.lib.npyio.NpzFile, names: Iterable[str], path: Path
) -> Iterator[tuple[str, np.ndarray]]:
    frames = clip["end_frame"] - clip["start_frame"]
    for name in names:
        key = f"{clip['clip']}/{name}"
        if key not in of_video:
            raise InputError(f"{path} has no arrays of {clip['clip']}; delete it and run again.")
        values = of_video[key]
        if len(values) != frames:
            raise InputError(
                f"{path} has {len(values)} frames of {clip['clip']}, not {frames}; delete it and run again."
            )
        yield name, values


def _meta(clip: dict, sheet: dict[str, str]) -> dict:
    """Return the content of meta.json, unmeasured qualities as null."""
    # pandas turns a column of whole numbers with gaps into one of floats.
    whole = {field.name for field in schemas.schema("clips") if pa.types.is_integer(field.type)}
    clip = {name: int(value) if name in whole else value for name, value in clip.items() if name not in _NOT_IN_META}
    known = {name: _plain(value) for name, value in clip.items()}
    start, end = clip["start_frame"], clip["end_frame"]
    return known | {
        "licence": sheet["licence"],
        "url": sheet["url"],
        "fps": media.FPS,
        "num_frames": end - start,
        "period_s": [start / media.FPS, end / media.FPS],
    }


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), 6)
    return value.item() if isinstance(value, np.generic) else value


def _index_row(folder: Path, clip: dict, width: int, height: int) -> dict:
    *_, frames = media.size_and_length(folder / "video.mp4")
    if frames != clip["end_frame"] - clip["start_frame"]:
        raise RuntimeError(
            f"{folder / 'video.mp4'} has {frames} frames, not {clip['end_frame'] - clip['start_frame']}."
        )
    facts = [_file_facts(folder / name) for name in CLIP_FILES]
    digests = [f["sha256"] for f in facts]
    return {
        "num_frames": frames,
        "width": width,
        "height": height,
        "files": list(CLIP_FILES),
        "file_bytes": [f["bytes"] for f in facts],
        "file_sha256": digests,
        "bytes": sum(f["bytes"] for f in facts),
        "sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }


def _folders(dataset: Path, prefix: str) -> list[Path]:
    """Return the folders of clips below `dataset` whose names begin so, finished or temporary."""
    pattern = re.compile(rf"\.?{re.escape(prefix)}_\d+to\d+(\.new|\.old)?")
    with os.scandir(dataset) as entries:
        return sorted(Path(entry.path) for entry in entries if pattern.fullmatch(entry.name))


def _aside(dataset: Path, clip: str) -> Path:
    return dataset / f".{clip}.new"


def _put_in_place(aside: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def _file_facts(path: Path) -> dict:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
