"""The sample sheet of one run: where it is, whether its files are there, and the copy of it that the run's jobs read."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.runs import sheet, summary
from talking.video import fetch

if TYPE_CHECKING:
    import pandas as pd


def find(path: str, folders: Iterable[str | Path], what: str = "sample sheet", key: str = "videos") -> Path:
    """Return the absolute path of a sample sheet or another file of the user, looked for in folders in their order.

    Raises InputError, which names what it is and its config key, if it is in none.
    """
    path = os.path.expanduser(path)
    for folder in folders:
        if os.path.exists(Path(folder) / path):
            found = (Path(folder) / path).resolve()
            if is_misread(str(found)):
                raise InputError(f"the {what} {found} has a brace or a line break in its name or folder; rename that.")
            return found
    raise InputError(f"the {what} {path} (config key {key}) does not exist; make it or name another with --config.")


def is_misread(file: str) -> bool:
    """Return True if Snakemake takes an input's name apart: braces are wildcards to it, and a line break ends the name."""
    return any(mark in file for mark in "{}\n\r")


def is_local(path: str) -> bool:
    """Return True if a row's path is a file that somebody has put there."""
    return not sheet.is_url(path) and sheet.film_of(path) is None


class Rows:
    """The rows of a run's sample sheet, with the files that they name; `results` is the folder of the run's outputs."""

    def __init__(self, file: Path, rows: "pd.DataFrame", results: Path) -> None:
        self.file, self.results = file, results
        self.table = rows.set_index("video", drop=False)
        self._rows = {row.video: row for row in rows.itertuples(index=False)}

    def file_of(self, video: str) -> Path:
        """Return where the file of a video lies or will lie."""
        return sheet.file_of(self.file, video, self._rows[video].path, self.results)

    def row_of(self, video: str) -> Any:
        """Return a video's row, its columns as attributes."""
        return self._rows[video]

    def column(self, name: str) -> Callable[[str], str]:
        """Return a function that gives a column of a video's row."""
        return self.table[name].to_dict().__getitem__

    def input_of(self, video: str) -> str | list:
        """Return the local, synthetic or downloaded file of a video as Snakemake's input; nothing if it is missing, which ingest reports.

        What the run itself makes is relative to the folder of `results`.
        """
        path, file = self._rows[video].path, str(self.file_of(video))
        if not is_local(path):
            return str(sheet.file_of(self.file, video, path))
        return file if os.path.isfile(file) and not is_misread(file) else []

    def content_of(self, video: str) -> list:
        """Return what a row says about its file: a change of another row, or of another column, reruns nothing.

        A file whose name Snakemake misreads is no input, so it is followed by its time and size here.
        """
        row, file = self._rows[video], self.file_of(video)
        is_followed_here = is_misread(str(file)) and not sheet.is_url(row.path) and os.path.isfile(file)
        known = [file.stat().st_mtime_ns, file.stat().st_size] if is_followed_here else ""
        return [_named(row.path), row.sha256, known]

    def checksum(self) -> str:
        """Return a checksum of what the tables over all videos take from the sample sheet, in its order: an edit while they were made counts next time."""
        text = self.table[["video", "source", "licence", "url", "split"]].to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def check_films(self, films: Collection[str]) -> None:
        """Raise InputError if a row's film:NAME is not in the config."""
        for name in map(sheet.film_of, self.table["path"]):
            if name is not None and name not in films:
                raise InputError(
                    f"{self.file}: film:{name} is not among the config's films; add it there or correct the name."
                )

    def check_sources(self) -> None:
        """Raise InputError if files are gone that were ingested: what was made of them would be rebuilt, of nothing."""
        gone = list(self._gone())
        if not gone:
            return
        # Files whose names cannot be inputs are followed by params.
        params = "" if any(is_misread(str(self.file_of(video))) for video in gone) else " params"
        others = f", nor those of {len(gone) - 1} more videos" if len(gone) > 1 else ""
        raise InputError(
            f"{self.file_of(gone[0])} of video {gone[0]} is not there any more{others}"
            ": put it back or remove its row. To keep its clips and continue without it:"
            f" --rerun-triggers mtime software-env code{params}"
        )

    def _gone(self) -> Iterator[str]:
        for video, row in self._rows.items():
            if is_local(row.path) and not os.path.isfile(self.file_of(video)):
                probe = self.results / f"media/{video}.json"
                if probe.exists() and summary.is_usable(probe):
                    yield video

    def copy(self, folder: Path) -> Path:
        """Write the sample sheet with absolute paths into a folder of copies and return the copy: the sample sheet may be edited while jobs read it."""
        text = io.StringIO()
        rows = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows.writerow(self.table.columns)
        for row in self._rows.values():
            rows.writerow(row._replace(path=str(self.file_of(row.video))) if is_local(row.path) else row)
        content = text.getvalue().encode()
        copy = (folder / f"{hashlib.sha256(content).hexdigest()[:16]}.tsv").absolute()
        if not copy.exists():
            with atomic_write(copy) as new:
                new.write_bytes(content)
                # An address may hold a token: readable by those who may read the sample sheet.
                mode = os.stat(self.file).st_mode & 0o777
            copy.chmod(mode)
        return copy


class Lengths:
    """Lengths of videos in seconds; before they are known, estimates by the sizes of their files."""

    # Before a file is there, the most that is believed of one, and the least that a second of video takes: one megabit.
    UNKNOWN_S, LONGEST_S, LEAST_BYTES_A_SECOND = 3600, 4 * 3600, 125_000

    def __init__(self, rows: Rows, is_dry_run: bool) -> None:
        self._rows, self._is_dry_run = rows, is_dry_run
        self._known: dict[str, float] = {}

    def __call__(self, video: str) -> float:
        """Return a video's length; an estimate is asked for again, as the video may be ingested meanwhile, but not by a dry run."""
        if video not in self._known:
            try:
                probe = (self._rows.results / f"media/{video}.json").read_text(encoding="utf-8")
                self._known[video] = json.loads(probe)["duration_s"]
            except (OSError, ValueError, KeyError, TypeError):
                seconds = self._by_size(video)
                if self._is_dry_run:
                    self._known[video] = seconds
                return seconds
        return self._known[video]

    def _by_size(self, video: str) -> float:
        try:
            size = os.path.getsize(self._rows.file_of(video))
        except (OSError, ValueError):
            return self.UNKNOWN_S
        return min(size / self.LEAST_BYTES_A_SECOND, self.LONGEST_S)


def _named(path: str) -> str:
    """Return a row's path for what Snakemake keeps and shows of a job: of a URL, which may hold a token, the address and a checksum."""
    if not sheet.is_url(path):
        return path
    return f"{fetch.shown(path)} {hashlib.sha256(path.encode()).hexdigest()[:16]}"
