"""Collecting: the tables, splits and data card of the whole data set, streamed over the videos' tables.

Memory holds some numbers a clip, never the tables themselves, and the clips' folders are not opened.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from talking.clips import qualities
from talking.core import schemas, tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import card, changes, croissant, splits, store, talk
from talking.removal.apply import gone_clips, removed_spans
from talking.removal.removals import Removals
from talking.review import apply
from talking.review.decisions import Decision, checksum, of_videos
from talking.runs.made import forget

_FROM_ANNOTATIONS = ["clip", "num_frames", "width", "height", "bytes", "sha256"]
_FROM_CLIPS = [n for n in schemas.schema("dataset").names if n in schemas.schema("clips").names]
# What ingest has done to a video, by its probe.
_DONE = ["deinterlaced", "tone_mapped", "sound_track", "sound_mix"]
_IN_RECORDS = ["clip", "video", "persons", "num_people", "num_frames", "hard_because"]
_CLIP_FOLDER = re.compile(r"\.?[A-Za-z0-9].*_\d{6,}to\d{6,}(\.new|\.old)?")


@dataclass
class Results:
    """What is collected: the folder of the results, folders of tables and probes by video, and the identities and duplicates of all."""

    root: Path  # folder of the tables of all stages
    clips: Path
    annotations: Path
    media: Path
    identities: Path
    duplicates: Path
    left_out: dict[str, str] = field(default_factory=dict)  # videos on which a stage has failed, and why


class Identities:
    """The person of each track: persons are numbers, `names` their names; an unidentified track is a separate person."""

    def __init__(self, path: Path) -> None:
        """Read the table `identities`."""
        table = tables.read_columns("identities", path).combine_chunks()
        video, person = (table[c].combine_chunks().dictionary_encode() for c in ("video", "person"))
        self.names: list[str] = person.dictionary.to_pylist()
        code, track = video.indices.to_numpy(), table["track"].to_numpy()
        order = np.lexsort((track, code))
        bounds = np.searchsorted(code[order], np.arange(len(video.dictionary) + 1))
        self._rows = {v: slice(*bounds[i : i + 2]) for i, v in enumerate(video.dictionary.to_pylist())}
        self._track, self._person = track[order], person.indices.to_numpy()[order]
        self._others: dict[tuple[str, int], int] = {}
        self._num_known = len(self.names)

    def persons(self, video: str, tracks: np.ndarray) -> np.ndarray:
        """Return the numbers (n,) of the persons of tracks (n,) of a video."""
        rows = self._rows.get(video, slice(0, 0))
        known, person = self._track[rows], self._person[rows]
        at = np.minimum(np.searchsorted(known, tracks), max(known.size - 1, 0))
        found = known[at] == tracks if known.size else np.zeros(tracks.size, dtype=bool)
        out = np.empty(tracks.size, dtype=np.int64)
        out[found] = person[at[found]]
        out[~found] = [self._other(video, int(track)) for track in tracks[~found]]
        return out

    def names_of(self, video: str, tracks: np.ndarray) -> list[str]:
        """Return the names of the persons of tracks (n,) of a video."""
        return [self.names[person] for person in self.persons(video, tracks)]

    def are_known(self, persons: np.ndarray) -> np.ndarray:
        """Return which persons (n,), given as numbers, were compared with everybody else (n,) bool."""
        return persons < self._num_known

    def _other(self, video: str, track: int) -> int:
        if (video, track) not in self._others:
            self._others[video, track] = len(self.names)
            self.names.append(f"{video}-track{track}")
        return self._others[video, track]


def collect(
    sheet: pd.DataFrame,
    results: Results,
    dataset: Path,
    videos_table: Path,
    settings: card.Settings | None = None,
    split_settings: splits.Settings | None = None,
    decisions: Sequence[Decision] = (),
    turn_settings: qualities.Settings | None = None,
    removed: Removals | None = None,
    same_person: float = 0.0,
) -> None:
    """Write the tables, splits and card of the data set below `dataset`, and `videos_table`; remove folders of other clips.

    `sheet` has a row a video; `decisions` of reviewers, which the tables follow already, are counted in the card;
    `turn_settings` say what a turn is and what answers it. What was `removed` is in no table over whole videos either; `same_person` says
    who is a removed person, as for clips. Raises InputError if the sample sheet sets an impossible split, or tables do not fit together.
    """
    settings, split_settings = settings or card.Settings(), split_settings or splits.Settings()
    turn_settings, removed = turn_settings or qualities.Settings(), removed or Removals()
    spans_of = removed_spans(removed, results.root, same_person)
    identities = Identities(results.identities)
    again = tables.read("duplicates", results.duplicates)
    originals = dict(zip(again["clip"], again["duplicate_of"], strict=True))
    cast, num_clips = _cast(sheet, results, identities)
    memory, wanted = splits.read_memory(Path(split_settings.memory)), sheet["split"].tolist()
    assignment = splits.assign(cast, wanted, memory, split_settings)
    totals = {name: np.zeros(len(identities.names)) for name in ("num_clips", "seconds_on_screen", "seconds_speaking")}
    names: set[str] = set()
    decided = of_videos(decisions)
    figures = []
    strangers = 0
    with ExitStack() as stack:
        append, *append_talk = (
            stack.enter_context(tables.writer(table, dataset / f"{name}.parquet"))
            for name, table in {"clips": "dataset", "turns": "turns", "listening": "listening"}.items()
        )
        lists = {s: stack.enter_context(_json_list(dataset / "splits" / f"{s}.json")) for s in store.SPLITS}
        for row, side in tqdm(
            zip(sheet.to_dict("records"), assignment.side, strict=True), total=len(sheet), desc="clips"
        ):
            own = decided.get(row["video"], ())
            clips, persons, known = _clips_of(row, side, results, identities, originals, own, split_settings)
            strangers += int((~known).sum()) if side == splits.TRAIN else 0
            _check_names(clips["clip"].to_pylist(), names, row["video"])
            append(clips)
            if len(clips):
                names_of = partial(identities.names_of, row["video"])
                found = talk.make(results.root, row["video"], clips, names_of, turn_settings)
                gone = spans_of(row["video"])
                for extend, of_table in zip(append_talk, found, strict=True):
                    extend(talk.without(of_table, gone))
            listed = clips.select(_IN_RECORDS)
            for split in store.SPLITS:
                lists[split](listed.filter(pc.equal(clips["split"], split)))
            _add(totals, clips, persons)
            figures.append(clips.select(card.COLUMNS))
    _write_people(totals, cast, assignment, dataset / "people.parquet")
    inputs = _inputs(sheet, results, cast.seconds, num_clips)
    version = changes.update(
        dataset,
        videos_table.with_name("remembered.parquet"),
        results.clips,
        changes.readable(inputs),
        not results.left_out,
        gone_clips(removed, results.clips),
    )
    measured = pa.concat_tables(figures).to_pandas()
    tables.write("videos", inputs, videos_table)
    with atomic_write(dataset / "README.md") as aside:
        people = tables.read("people", dataset / "people.parquet")
        of_talk = [
            tables.read_columns(name, dataset / f"{name}.parquet", columns).to_pandas()
            for name, columns in card.TALK_COLUMNS.items()
        ]
        told = card.text(
            measured,
            inputs,
            people,
            *of_talk,
            assignment.groups,
            strangers,
            decisions,
            removed.counts(),
            version,
            settings,
            split_settings,
        )
        aside.write_text(told, encoding="utf-8")
    croissant.write(dataset, inputs, len(measured), settings.contact, version)
    _forget_others(results.annotations, dataset, set(sheet["video"]))
    _remove_others(dataset, names)
    _remove_previews(videos_table.with_name("preview"), set(sheet["video"]))
    splits.write_memory(Path(split_settings.memory), splits.remembered(memory, cast, wanted, assignment))


def _cast(sheet: pd.DataFrame, results: Results, identities: Identities) -> tuple[splits.Cast, np.ndarray]:
    """Return who is seen in kept clips of which video, and each video's number of clips (videos,)."""
    people, seconds, clips = [], [], []
    for video in tqdm(sheet["video"], desc="people"):
        kept = _kept(results, video, ["tracks", "duration_s"])
        people.append(np.unique(identities.persons(video, pc.list_flatten(kept["tracks"]).to_numpy())))
        seconds.append(pc.sum(kept["duration_s"]).as_py() or 0.0)
        clips.append(len(kept))
    cast = splits.Cast(
        video=np.repeat(np.arange(len(people)), [len(p) for p in people]),
        person=np.concatenate([*people, np.zeros(0, dtype=int)]),
        videos=sheet["video"].tolist(),
        persons=list(identities.names),
        sources=sheet["source"].tolist(),
        seconds=np.array(seconds),
    )
    return cast, np.array(clips)


def _kept(results: Results, video: str, columns: list[str]) -> pa.Table:
    clips = tables.read_columns("clips", results.clips / f"{video}.parquet", [*columns, "kept"])
    if video in results.left_out:
        clips = clips.slice(0, 0)
    return clips.filter(clips["kept"]).drop_columns("kept")


def _clips_of(
    row: dict[str, str],
    side: str,
    results: Results,
    identities: Identities,
    originals: dict[str, str],
    decisions: Sequence[Decision],
    settings: splits.Settings,
) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Return the rows of the table `dataset` of one video, the numbers of their people, clip after clip, and which clips show known people only.

    `originals` maps a duplicate to the earlier clip; a duplicate is in no split. `decisions` are those of reviewers about the video. A clip with somebody whose face could not be
    compared is used for training only, as training may have seen that person.
    """
    path = results.annotations / f"{row['video']}.parquet"
    clips = _kept(results, row["video"], _FROM_CLIPS)
    made = tables.read_columns("annotations", path, _FROM_ANNOTATIONS)
    if row["video"] in results.left_out:
        made = made.slice(0, 0)
    if not made["clip"].equals(clips["clip"]):
        raise InputError(f"{path} has other clips than are kept; delete it and run again.")
    for column in _FROM_ANNOTATIONS[1:]:
        clips = clips.append_column(column, made[column])
    tracks = clips["tracks"].combine_chunks()
    numbers = identities.persons(row["video"], tracks.flatten().to_numpy())
    people = pa.array([identities.names[n] for n in numbers], type=pa.string())
    lengths = pc.list_value_length(tracks).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    hard = splits.hard_reasons(clips, settings)
    known = np.ones(len(clips), dtype=bool)
    np.logical_and.at(known, np.repeat(np.arange(len(clips)), lengths), identities.are_known(numbers))
    split = (
        pc.if_else(pc.equal(hard, ""), "test_easy", "test_hard")
        if side == splits.TEST
        else pa.array([side] * len(clips), type=pa.string())
    )
    if side != splits.TRAIN:
        split = pc.if_else(pa.array(known), split, splits.WITHHELD)
    shown_before = pa.array([originals.get(clip, "") for clip in clips["clip"].to_pylist()], type=pa.string())
    split = pc.if_else(pc.equal(shown_before, ""), split, splits.DUPLICATE)
    spans = zip(clips["start_frame"].to_pylist(), clips["end_frame"].to_pylist(), strict=True)
    review = [checksum(apply.about(decisions, span)) for span in spans] if decisions else [""] * len(clips)
    columns = {
        "persons": pa.ListArray.from_arrays(offsets, people),
        "licence": pa.array([row["licence"]] * len(clips), type=pa.string()),
        "url": pa.array([row["url"]] * len(clips), type=pa.string()),
        "duplicate_of": shown_before,
        "split": split.cast(pa.string()),
        "hard_because": hard,
        "review": pa.array(review, type=pa.string()),
    }
    for name, values in columns.items():
        clips = clips.append_column(name, values)
    return clips, numbers, known


def _check_names(clips: list[str], names: set[str], video: str) -> None:
    new = set(clips)
    if len(new) < len(clips) or not names.isdisjoint(new):
        clip = next(clip for clip in clips if clip in names or clips.count(clip) > 1)
        raise InputError(
            f"two clips are named {clip}, one of video {video}; rename a video or a source in the sample sheet."
        )
    names |= new


def _add(totals: dict[str, np.ndarray], clips: pa.Table, persons: np.ndarray) -> None:
    seconds = np.repeat(clips["duration_s"].to_numpy(), clips["num_people"].to_numpy())
    np.add.at(totals["num_clips"], persons, 1)
    np.add.at(totals["seconds_on_screen"], persons, seconds)
    np.add.at(totals["seconds_speaking"], persons, pc.list_flatten(clips["speaking_s"]).to_numpy())


def _write_people(totals: dict[str, np.ndarray], cast: splits.Cast, assignment: splits.Assignment, path: Path) -> None:
    count = len(cast.persons)
    people = pd.DataFrame({"person": cast.persons, **totals, "num_videos": np.bincount(cast.person, minlength=count)})
    seen = pd.DataFrame({"person": cast.person, "side": assignment.side[cast.video].astype(str)}).drop_duplicates()
    in_splits = seen[seen["side"] != splits.WITHHELD].groupby("person")["side"].agg(["first", "size"])
    split = np.full(count, splits.WITHHELD, dtype=object)
    split[in_splits.index] = np.where(in_splits["size"] > 1, splits.SEVERAL, in_splits["first"])
    people["split"] = split
    people["num_clips"] = people["num_clips"].astype(int)
    tables.write("people", people[people["num_clips"] > 0].sort_values("person"), path)


def _inputs(sheet: pd.DataFrame, results: Results, seconds: np.ndarray, num_clips: np.ndarray) -> pd.DataFrame:
    """Return the table `videos`."""
    probes = [json.loads((results.media / f"{video}.json").read_text(encoding="utf-8")) for video in sheet["video"]]
    for video, probe in zip(sheet["video"], probes, strict=True):
        if video in results.left_out:
            probe.update(status="failed", reason=results.left_out[video])
    return sheet[["video", "source", "licence", "url"]].assign(
        status=[probe["status"] for probe in probes],
        reason=[probe["reason"] for probe in probes],
        **{name: [probe.get(name, "") for probe in probes] for name in _DONE},
        seconds_in=[float(probe["duration_s"]) for probe in probes],
        seconds_kept=seconds,
        num_clips=num_clips,
    )


@contextmanager
def _json_list(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends clips' records to a JSON list, written atomically, one record a line."""
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8") as file:
        before = "[\n"

        def extend(records: pa.Table) -> None:
            nonlocal before
            if len(records):
                file.write(before + ",\n".join(_as_json(records).to_pylist()))
                before = ",\n"

        yield extend
        file.write("\n]\n" if before == ",\n" else "[]\n")


def _as_json(records: pa.Table) -> pa.ChunkedArray:
    """Return each row of strings, integers and lists of them as `json.dumps` writes it."""
    parts = []
    for name, column in zip(records.column_names, records.columns, strict=True):
        parts += [", " if parts else "{", f'"{name}": ', _values_as_json(column.combine_chunks())]
    return pc.binary_join_element_wise(*parts, "}", "")


def _values_as_json(values: pa.Array) -> pa.Array:
    if pa.types.is_integer(values.type):
        return values.cast(pa.string())
    if pa.types.is_list(values.type):
        of_all = pa.ListArray.from_arrays(values.offsets, _values_as_json(values.values))
        return pc.binary_join_element_wise("[", pc.binary_join(of_all, ", "), "]", "")
    # Each text once: a person is in many clips.
    distinct = values.dictionary_encode()
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return pa.array(map(encode, distinct.dictionary.to_pylist()), pa.string()).take(distinct.indices)


def _forget_others(annotations: Path, dataset: Path, videos: Collection[str]) -> None:
    """Remove the tables of videos that are none of `videos` with their clips' folders: a row that is put back has both rebuilt."""
    for table in annotations.glob("*.parquet"):
        if table.stem in videos:
            continue
        clips = tables.read_columns("annotations", table, ["clip"])["clip"].to_pylist()
        if any((dataset / clip).is_dir() for clip in clips):
            table.unlink()
            forget(annotations.parent, f"annotations/{table.stem}")


def _remove_others(dataset: Path, names: Iterable[str]) -> None:
    """Remove the folders below `dataset` that look like a clip's but are none of `names`."""
    with os.scandir(dataset) as entries:
        others = [e.path for e in entries if e.is_dir() and _CLIP_FOLDER.fullmatch(e.name) and e.name not in names]
    for folder in others:
        shutil.rmtree(folder)


def _remove_previews(previews: Path, videos: Collection[str]) -> None:
    """Remove the previews of videos that are none of `videos`; those of others are made again when they are requested."""
    for folder in previews.glob("[!.]*"):
        if folder.name not in videos:
            shutil.rmtree(folder)
            forget(previews.parent, f"preview/{folder.name}")
