"""Deletion of what stages have made of what was removed, so that no other job runs again: edited files keep their times."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from talking.core import arrays, intervals, tables
from talking.core.arrays import opened
from talking.core.intervals import Interval
from talking.removal import seen
from talking.removal.removals import CLIP, Removal, Removals, add, frames_of, overlaps, read, video_and_span
from talking.runs import made
from talking.runs.stages import STAGES, files_of
from talking.speech import turns

# Folders of results that are of no single video, and those in which each job has a folder of its own.
_OF_ALL = {"dataset", "export", "gallery", "films", "weights", "report", "covog"}
_BY_JOB = {"logs", "benchmarks", "checksums", "failures", "parts"}
# Tables of a video whose rows have a track.
_BY_TRACK = ("tracks", "asd", "speaking")
# Those whose rows are of clips, and those whose rows are of words.
_BY_CLIP, _BY_WORD = ("candidates", "qualities", "inspections", "clips"), ("transcript", "words")


def purge(removals: Removals, results: Path, same_person: float) -> Removals:
    """Delete what is left of removed videos, persons and ranges in the results of single videos; return the removals with the places of persons.

    Those places are added to the file of removals first: once the faces are gone, nothing else says where a person was. Where other
    people are in the same frames, their rows go too. The tables over all videos and what is published follow in the next run.
    """
    removals = note_places(removals, results, same_person)
    for video in sorted(removals.videos):
        _delete(_of_video(results, video))
    for video in seen.videos(results, "tracks"):
        if spans := removals.spans(video):
            _purge_ranges(results, video, spans)
    _purge_generated(results, removals)
    _forget_clips(results, removals)
    return removals


def note_places(removals: Removals, results: Path, same_person: float) -> Removals:
    """Add the ranges in which removed persons are seen or heard to the file of removals, where they are not in it yet."""
    new = []
    for person, face in zip(removals.persons, seen.read_faces(removals).values(), strict=True):
        # Of others, stages have still to say who is in them.
        for video in seen.videos(results, "clips"):
            for span in seen.spans(results, video, [face], same_person):
                if intervals.subtract([span], removals.spans(video)):
                    new.append(Removal(video, span, person.clip, person.person, person.date))
    if new:
        add(removals.file, new)
    return read(removals.file)


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _of_video(results: Path, video: str) -> Iterator[Path]:
    """Yield everything below the results that is of one video: what is named by it, alone or before a dot."""
    for folder in sorted(results.iterdir()):
        if not folder.is_dir() or folder.name in _OF_ALL:
            continue
        inner = (
            [f for f in folder.iterdir() if f.is_dir() and f.name not in _OF_ALL]
            if folder.name in _BY_JOB
            else [folder]
        )
        for one in inner:
            yield from sorted(path for path in one.iterdir() if path.name.removeprefix(".").split(".")[0] == video)


def _purge_ranges(results: Path, video: str, spans: list[Interval]) -> None:
    """Delete what lies in removed ranges of a video: clips that overlap one, tracks and turns wholly within, and words in it."""

    def is_gone(clip: str) -> bool:
        return overlaps(video_and_span(clip)[1], spans)

    changed: set[str] = set()

    def edit(file: str, rewrite: Callable[[Path], bool]) -> None:
        path = results / file
        if path.exists():
            with _keeping_times(path):
                if rewrite(path):
                    changed.add(file)

    # The tracks come last: they say which rows of the others go, should this be killed.
    inside = _tracks_inside(results / f"tracks/{video}.parquet", spans)
    for name in _BY_CLIP:
        edit(
            f"{name}/{video}.parquet", lambda path, name=name: _keep_rows(name, path, lambda t: ~t["clip"].map(is_gone))
        )
    edit(f"poses/{video}.npz", lambda path: _keep_arrays(path, lambda name: not is_gone(name.partition("/")[0])))
    shutil.rmtree(results / f"poses/{video}.looks", ignore_errors=True)
    # Looks of its parts, and what parts of an interrupted run have found.
    _delete(sorted(results.glob(f"parts/*/{video}.*")))
    edit(f"sound/{video}", lambda folder: _remove_clips(folder, is_gone))
    for name in _BY_WORD:
        edit(
            f"speech/{video}.{name}.parquet",
            lambda path, name=name: _keep_rows(name, path, lambda t: ~_are_said(t, spans)),
        )
    edit(f"speech/{video}.rttm", lambda path: _keep_turns(path, video, spans))
    edit(f"faces/{video}.parquet", lambda path: _keep_rows("faces", path, lambda t: ~_are_in(t["frame"], spans)))
    edit(f"landmarks/{video}.npz", lambda path: _keep_landmarks(path, inside))
    edit(f"embeddings/{video}.npz", lambda path: _keep_embeddings(path, inside))
    edit(f"people/{video}.parquet", lambda path: _keep_people(path, inside))
    for name in reversed(_BY_TRACK):
        edit(
            f"{name}/{video}.parquet",
            lambda path, name=name: _keep_rows(name, path, lambda t: ~t["track"].isin(inside)),
        )
    for stage in STAGES:
        if not changed.isdisjoint(files_of(stage, video)):
            made.renew(results, f"{stage}/{video}", changed)


def _purge_generated(results: Path, removals: Removals) -> None:
    """Delete what CovOG has cached and generated of removed clips; it stays as it is where a trained model is kept."""
    for place, folder in (("covog/latents", "latents"), ("covog/evaluate", "videos")):
        for file in sorted((results / "covog" / folder).rglob("*.*")):
            if CLIP.fullmatch(file.stem) and removals.is_gone(*video_and_span(file.stem)):
                file.unlink()
        made.renew(results, place, ())


def _forget_clips(results: Path, removals: Removals) -> None:
    """Forget removed clips of the last version that the data set does not have any more: a data set without clips is no version."""
    memory, clips = results / "remembered.parquet", results / "dataset/clips.parquet"
    if memory.exists() and clips.exists():
        there = set(tables.read_columns("dataset", clips, ["clip"])["clip"].to_pylist())
        # A video without clips has a row without a clip's name.
        _keep_rows(
            "remembered",
            memory,
            lambda t: [not clip or clip in there or not removals.is_gone(*video_and_span(clip)) for clip in t["clip"]],
        )


@contextmanager
def _keeping_times(path: Path) -> Iterator[None]:
    """Give a file or folder the time that it had before: to Snakemake it is as it was."""
    places = [path, *([path / ".snakemake_timestamp"] if path.is_dir() else [])]
    before = {place: place.stat() for place in places if place.exists()}
    yield
    for place, stat in reversed(before.items()):
        os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _tracks_inside(path: Path, spans: list[Interval]) -> set[int]:
    table = tables.read("tracks", path).groupby("track")["frame"].agg(["min", "max"])
    return {int(track) for track, first, last in table.itertuples() if _is_within((first, last + 1), spans)}


def _are_in(frames: pd.Series, spans: list[Interval]) -> np.ndarray:
    mask = intervals.to_mask(spans, int(frames.max()) + 1) if len(frames) else np.zeros(0, dtype=bool)
    return mask[frames.to_numpy()]


def _are_said(words: pd.DataFrame, spans: list[Interval]) -> np.ndarray:
    said = [frames_of(*times) for times in zip(words["start_s"], words["end_s"], strict=True)]
    return np.array([overlaps(span, spans) for span in said], dtype=bool)


def _keep_rows(name: str, path: Path, wanted: Callable[[pd.DataFrame], Iterable[bool]]) -> bool:
    """Write a table with the wanted rows, if any other is there; return True if so."""
    table = tables.read(name, path)
    keep = np.asarray(wanted(table), dtype=bool)
    if not keep.all():
        tables.write(name, table[keep], path)
    return not keep.all()


def _keep_people(path: Path, inside: set[int]) -> bool:
    people = tables.read("persons", path)
    left = [[track for track in own if track not in inside] for own in people["tracks"]]
    is_changed = any(len(a) < len(b) for a, b in zip(left, people["tracks"], strict=True))
    if is_changed:
        tables.write("persons", people.assign(tracks=left)[[bool(own) for own in left]], path)
    return is_changed


def _keep_arrays(path: Path, is_wanted: Callable[[str], bool]) -> bool:
    with opened(path) as file:
        wanted = [name for name in file if is_wanted(name)]
        if len(wanted) < len(file):
            arrays.write(path, ((name, file[name]) for name in wanted))
        return len(wanted) < len(file)


def _keep_embeddings(path: Path, inside: set[int]) -> bool:
    with opened(path) as file:
        found = dict(file)
    keep = ~np.isin(found.get("track", []), list(inside))
    if keep.all():
        return False
    arrays.write(path, [(name, found[name] if name == "same_person" else found[name][keep]) for name in found])
    return True


def _keep_landmarks(path: Path, inside: set[int]) -> bool:
    """Write landmarks without the rows of some tracks, and without the pictures that belong to them."""
    with opened(path) as file:
        found = dict(file)
    keep = ~np.isin(found.get("track", []), list(inside))
    if keep.all():
        return False
    place = np.cumsum(keep) - 1
    out = {name: of for name, of in found.items() if not name.startswith(("face", "thumbnail"))}
    out = {name: of[keep] for name, of in out.items()}
    small, faces = (keep[found[name]] for name in ("thumbnail_row", "face_row"))
    out["thumbnail"], out["thumbnail_row"] = found["thumbnail"][small], place[found["thumbnail_row"][small]]
    ends = found["face_end"]
    pictures = [found["face"][a:b] for a, b, is_kept in zip([0, *ends[:-1]], ends, faces, strict=True) if is_kept]
    out["face"] = np.concatenate([np.zeros(0, np.uint8), *pictures])
    out["face_end"] = np.cumsum([len(picture) for picture in pictures])
    out["face_row"] = place[found["face_row"][faces]]
    out |= {name: found[name][faces] for name in ("face_corner", "face_scale")}
    arrays.write(path, [(name, out[name].astype(found[name].dtype)) for name in found])
    return True


def _keep_turns(path: Path, video: str, spans: list[Interval]) -> bool:
    before = turns.read(path, video)
    left = [t for t in before if not _is_within(frames_of(t.start_s, t.end_s), spans)]
    if len(left) < len(before):
        turns.write(path, video, left)
    return len(left) < len(before)


def _is_within(span: Interval, spans: list[Interval]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)


def _remove_clips(folder: Path, is_gone: Callable[[str], bool]) -> bool:
    gone = [file for file in folder.glob("*.npz") if is_gone(file.stem)]
    for file in gone:
        file.unlink()
    return bool(gone)
