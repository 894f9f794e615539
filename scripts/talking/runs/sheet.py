"""The sample sheet (`config/videos.tsv`): reading it, checking every row, and finding the file that a row names."""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from talking.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ["video", "path", "source", "licence"]
OPTIONAL = ["sha256", "url", "split", "duration_s"]
SPLITS = ("", "train", "test")

# A colon alone is no scheme: "Interview: Anna.mp4" is a file's name.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)|(file|ftp|data|pipe|concat|https?):", re.IGNORECASE)
_FILM = "film:"


def read_sheet(path: str | Path) -> "pd.DataFrame":
    """Return the rows of a sample sheet as text, one column each of `REQUIRED` and `OPTIONAL` ("" where absent), in its order.

    Lines that are blank or begin with `#` are skipped. Raises InputError that names the sample sheet, the line and what to
    change.
    """
    import pandas as pd

    return pd.DataFrame(_checked_rows(Path(path)), columns=REQUIRED + OPTIONAL, dtype="str")


def row_of(sheet: str | Path, video: str) -> dict[str, str]:
    """Return one video's row of a sample sheet; raises InputError if it has none."""
    for row in _checked_rows(Path(sheet)):
        if row["video"] == video:
            return row
    raise InputError(f"{sheet} has no video {video}; add a row for it or choose another.")


def is_url(path: str) -> bool:
    """Return True if a row's `path` is to be downloaded."""
    return path.lower().startswith(("http://", "https://"))


def film_of(path: str) -> str | None:
    """Return NAME of a `film:NAME` path, a synthetic video of the config, else None."""
    return path[len(_FILM) :] if path.startswith(_FILM) else None


def file_of(sheet: str | Path, video: str, path: str, results: Path = Path("results")) -> Path:
    """Return where the file of a row lies: beside the sample sheet, or below a folder of results if it is synthetic or downloaded."""
    if is_url(path):
        return results / "downloads" / f"{video}.bin"
    if film := film_of(path):
        return results / "films" / f"{film}.mp4"
    return Path(sheet).parent / path


def _checked_rows(path: Path) -> list[dict[str, str]]:
    numbered = [(n, row) for n, row in _rows(path) if any(row) and not row[0].startswith("#")]
    if not numbered:
        raise InputError(f"{path} is empty; its first line must be {' '.join(REQUIRED)}, separated by tabs.")
    (_, header), *rows = numbered
    while header and not header[-1]:
        header.pop()
    _check_header(path, header)
    if not rows:
        raise InputError(f"{path} names no video; add a row for each.")
    numbers = [number for number, _ in rows]
    fields = [_fields(path, number, header, row) for number, row in rows]
    for number, row in zip(numbers, fields, strict=True):
        _check_row(path, number, row)
    _check_ids(path, numbers, [row["video"] for row in fields])
    return fields


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; make it, with a row for each video, or name another sample sheet."
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name the sample sheet inside it.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: is not UTF-8 text; save the sample sheet as UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{path} is not a text file; save the sample sheet as tab-separated UTF-8 text.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    rows, start = [], 1
    try:
        for row in reader:
            rows.append((start, [field.strip() for field in row]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {start}: has a stray quote ({error}); double it or remove it.") from None
    return rows


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1 and re.search("[,;]", header[0]):
        raise InputError(f"{path} is separated by commas or semicolons; save it with tabs between the columns.")
    if len(header) == 1 and " " in header[0]:
        raise InputError(f"{path} is separated by spaces; put one tab between the columns.")
    for column in header:
        if column not in REQUIRED + OPTIONAL:
            raise InputError(
                f"{path} has an unknown column {column!r}; the columns are {', '.join(REQUIRED + OPTIONAL)}."
            )
        if header.count(column) > 1:
            raise InputError(f"{path} has the column {column} twice; remove one.")
    for column in REQUIRED:
        if column not in header:
            raise InputError(f"{path} lacks the column {column}; add it.")


def _fields(path: Path, number: int, header: list[str], row: list[str]) -> dict[str, str]:
    if len(row) > len(header) and any(row[len(header) :]):
        raise InputError(f"{path}, line {number}: has {len(row)} fields for {len(header)} columns; remove a tab.")
    return dict.fromkeys(REQUIRED + OPTIONAL, "") | dict(zip(header, row, strict=False))


def _check_row(path: Path, number: int, row: dict[str, str]) -> None:
    where = f"{path}, line {number}"
    for column in REQUIRED:
        if not row[column]:
            raise InputError(f"{where}: the {column} is empty; fill it in.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", row["video"]):
        raise InputError(
            f"{where}: the video id {row['video']!r} may only have letters, digits, - and _ and begin with a letter or digit."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", row["source"]):
        raise InputError(
            f"{where}: the source {row['source']!r} may only have letters, digits and - and begin with a letter or digit."
        )
    if row["split"] not in SPLITS:
        raise InputError(f"{where}: the split {row['split']!r} must be train, test or empty.")
    if row["sha256"] and not re.fullmatch(r"[0-9a-fA-F]{64}", row["sha256"]):
        raise InputError(f"{where}: the sha256 {row['sha256']!r} must be 64 hexadecimal digits, or empty.")
    if row["duration_s"] and not re.fullmatch(r"\d+(\.\d+)?", row["duration_s"]):
        raise InputError(f"{where}: the duration_s {row['duration_s']!r} must be a number of seconds, or empty.")
    _check_path(where, row["path"])


def _check_path(where: str, path: str) -> None:
    if "\0" in path:
        raise InputError(f"{where}: the path {path!r} has a zero byte; remove it.")
    if path.startswith(_FILM):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", path[len(_FILM) :]):
            raise InputError(
                f"{where}: the path {path!r} must name a synthetic video of the config (films), such as film:demo."
            )
    elif is_url(path):
        try:
            host = urlsplit(path).hostname
        except ValueError:
            host = None
        if not host or re.search(r"\s", path):
            raise InputError(f"{where}: {path!r} is not a whole URL; write it as https://host/file.")
    elif match := _SCHEME.match(path):
        raise InputError(
            f"{where}: the path {path!r} begins with {match[0]}, which cannot be read; "
            "give a file's path, an http(s) URL or film:NAME."
        )


def _check_ids(path: Path, numbers: list[int], ids: list[str]) -> None:
    first: dict[str, int] = {}
    for number, video in zip(numbers, ids, strict=True):
        if video.lower() in first:
            raise InputError(
                f"{path}, line {number}: the video id {video} is already on line {first[video.lower()]} "
                "(upper and lower case count as the same); rename one."
            )
        first[video.lower()] = number
