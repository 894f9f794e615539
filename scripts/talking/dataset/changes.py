"""What changed from one data set to the next: which clips and persons came, went or changed, and why."""

import datetime
import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from talking.core import tables
from talking.core.atomic import atomic_write
from talking.removal.removals import CLIP, REASON

# Of the table `dataset`, what a clip is compared by.
COLUMNS = ["clip", "video", "sha256", "split", "persons", "reviewed", "review"]
ADDED, REMOVED, CHANGED = "added", "removed", "changed"
# A section of CHANGES.md names so many clips of each kind; the table names all.
_NAMED = 50
# A clip that CHANGES.md names, with what changed in it.
_CLIP = re.compile(rf"`(?P<clip>{CLIP.pattern})`(?: \([^()]*→[^()]*\))?")
_HEAD = "# Changes of the data set\n\n"


@dataclass(frozen=True)
class Version:
    """Which data set this is: 1 for the first, one more after each change, and the checksum of its content."""

    number: int
    content: str


def read(dataset: Path) -> pa.Table:
    """Return what clips are compared by, of a folder of a data set; raises InputError if it has no table of clips."""
    return tables.read_columns("dataset", dataset / "clips.parquet", COLUMNS)


def videos_of(dataset: Path) -> set[str]:
    """Return the videos that a data set was made of, those without clips too if the table `videos` of its results is there."""
    table = dataset.parent / "videos.parquet"
    if not table.exists():
        return set(read(dataset)["video"].unique().to_pylist())
    return readable(tables.read("videos", table))


def readable(videos: pd.DataFrame) -> set[str]:
    """Return the videos of the table `videos` that could be read."""
    return set(videos.loc[videos["status"] != "failed", "video"])


def content_of(clips: pa.Table) -> str:
    """Return the checksum of a data set: of the files, splits and persons of its clips, in any order."""
    return hashlib.sha256("\n".join(sorted(_contents(clips).to_pylist())).encode()).hexdigest()


def compare(
    before: pa.Table, after: pa.Table, videos_before: Collection[str], why_gone: Callable[[str, str], str]
) -> pd.DataFrame:
    """Return the table `changes` between two data sets as `read` gives them.

    `videos_before` are all videos of the older one; `why_gone` says, by video and clip, why the newer one lacks a clip.
    What was removed on request is not named.
    """
    # Most clips are in both, the same: looking each up would take minutes of a million.
    contents = [_contents(table) for table in (before, after)]
    old, new = (
        table.filter(pc.invert(pc.is_in(own, others))).to_pandas().set_index("clip")
        for table, own, others in zip((before, after), contents, reversed(contents), strict=True)
    )
    rows = []
    for clip in sorted({*old.index, *new.index}):
        a, b = (table.loc[clip] if clip in table.index else None for table in (old, new))
        if b is None:
            why = why_gone(a["video"], clip)
            named = ("", "") if why == REASON else (clip, a["video"])
            rows.append((*named, REMOVED, why, a["split"], ""))
        elif a is None:
            why = "new video" if b["video"] not in videos_before else _by_review(b["reviewed"]) or "gate or model"
            rows.append((clip, b["video"], ADDED, why, "", b["split"]))
        else:
            rows += [(clip, b["video"], CHANGED, *change) for change in _differences(a, b)]
    return tables.of_rows("changes", rows)


def why_gone(clips: Path, is_gone: Callable[[str], bool] = lambda clip: False) -> Callable[[str, str], str]:
    """Return a function for `compare` that looks a clip up in the tables of results/clips; `is_gone` is of `removal.apply.gone_clips`."""

    @cache
    def of(video: str) -> pd.DataFrame | None:
        path = clips / f"{video}.parquet"
        if not path.exists():
            return None
        return tables.read_columns("clips", path, ["clip", "rejected_by", "kept"]).to_pandas().set_index("clip")

    def why(video: str, clip: str) -> str:
        if is_gone(clip):
            return REASON
        found = of(video)
        if found is None:
            return "the video is not in the sample sheet"
        if clip not in found.index:
            return "cut otherwise"
        return f"rejected by {found.at[clip, 'rejected_by']}" if not found.at[clip, "kept"] else "a stage failed"

    return why


def update(
    dataset: Path,
    memory: Path,
    clips: Path,
    videos: Collection[str],
    is_whole: bool,
    is_gone: Callable[[str], bool] = lambda clip: False,
) -> Version:
    """Return the version of a data set that was just made of `videos`, and note in its folder what changed since the one in `memory`.

    `is_gone` says of a clip's name whether the clip was removed on request: it is named no more.

    `changes.parquet` has the last changes, `CHANGES.md` all; the first version has none, and its table no rows. A data set without
    clips, or one that lacks videos because stages failed, is no version.
    """
    after = read(dataset)
    is_whole = is_whole and len(after) > 0
    content = content_of(after)
    if not memory.exists():
        version = Version(1, content)
        if is_whole:
            persons = pc.count_distinct(pc.list_flatten(after["persons"]))
            told = f"The first version: {len(after)} clips, {persons} persons, {len(after['video'].unique())} videos."
            _note(dataset, version, tables.empty("changes"), told, is_gone)
    else:
        remembered = tables.read_columns("remembered", memory)
        before, number = remembered.filter(pc.not_equal(remembered["clip"], "")), remembered["version"][0].as_py()
        is_same = content_of(before) == content
        version = Version(number + (is_whole and not is_same), content)
        if is_whole and not is_same:
            videos_before = set(remembered["video"].unique().to_pylist())
            found = compare(before, after, videos_before, why_gone(clips, is_gone))
            _note(dataset, version, found, text(found, before, after), is_gone)
    if is_whole:
        nothing = {name: "" for name in COLUMNS} | {"persons": []}
        others = sorted(set(videos) - set(after["video"].unique().to_pylist()))
        rows = pa.Table.from_pylist([nothing | {"video": video} for video in others], schema=after.schema)
        rows = pa.concat_tables([after, rows])
        with tables.writer("remembered", memory) as append:
            append(rows.append_column("version", pa.repeat(pa.scalar(version.number, pa.int32()), len(rows))))
    return version


def text(changes: pd.DataFrame, before: pa.Table, after: pa.Table) -> str:
    """Return the changes between two data sets in Markdown."""
    was, now = (set(pc.list_flatten(table["persons"]).unique().to_pylist()) for table in (before, after))
    lines = [f"{len(before)} clips before, {len(after)} now; persons: {len(now - was)} came, {len(was - now)} went."]
    for kind in (ADDED, REMOVED, CHANGED):
        of_kind = changes[changes["change"] == kind]
        for why, found in of_kind.groupby("why", sort=True):
            if why == REASON:
                lines.append(f"- {len(found)} {kind} ({why})")
                continue
            names = [f"`{row.clip}`{_told(row)}" for row in found.head(_NAMED).itertuples()]
            more = f" and {len(found) - _NAMED} more, in `changes.parquet`" if len(found) > _NAMED else ""
            lines.append(f"- {len(found)} {kind} ({why}): {', '.join(names)}{more}")
    return "\n".join(lines)


def _note(dataset: Path, version: Version, changes: pd.DataFrame, told: str, is_gone: Callable[[str], bool]) -> None:
    tables.write("changes", changes, dataset / "changes.parquet")
    file = dataset / "CHANGES.md"
    earlier = file.read_text(encoding="utf-8").removeprefix(_HEAD) if file.exists() else ""
    title = f"## Version {version.number} ({datetime.date.today().isoformat()}, content {version.content[:12]})"
    if earlier.startswith(f"## Version {version.number} "):
        # Of a job that was killed before it could remember.
        earlier = "## ".join(earlier.split("## ")[2:])
        earlier = earlier and f"## {earlier}"
    earlier = _CLIP.sub(lambda named: "a removed clip" if is_gone(named["clip"]) else named[0], earlier)
    with atomic_write(file) as aside:
        aside.write_text(f"{_HEAD}{title}\n\n{told}\n\n{earlier}", encoding="utf-8")


def _contents(clips: pa.Table) -> pa.ChunkedArray:
    """Return a line a clip: its name, the checksum of its files, its split and its persons."""
    persons = clips["persons"].combine_chunks()
    persons = pa.ListArray.from_arrays(persons.offsets, pc.binary_join_element_wise("\t", persons.values, ""))
    alone = pc.binary_join_element_wise(clips["clip"], clips["sha256"], clips["split"], "\t")
    return pc.binary_join_element_wise(alone, pc.binary_join(persons, ""), "")


def _differences(a: pd.Series, b: pd.Series) -> list[tuple[str, str, str]]:
    """Return why, before and after of each way in which a clip changed."""
    found = []
    if a["split"] != b["split"]:
        found.append(("split", a["split"], b["split"]))
    if list(a["persons"]) != list(b["persons"]):
        found.append(("persons", ", ".join(a["persons"]), ", ".join(b["persons"])))
    if a["sha256"] != b["sha256"]:
        found.append(("review" if a["review"] != b["review"] else "labels or pictures", "", ""))
    return found


def _by_review(reviewed: str) -> str:
    return "review" if "keep" in reviewed.split(",") else ""


def _told(row) -> str:
    return f" ({row.before} → {row.after})" if row.change == CHANGED and row.before else ""
