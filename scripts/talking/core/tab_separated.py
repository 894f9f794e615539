"""Tables that people edit as text: one row a line, tabs between the columns, lines that begin with # are skipped."""

import csv
import io
from pathlib import Path

from talking.core.errors import InputError

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")


def text(path: Path, what: str, if_missing: str) -> str:
    """Return a file's text; raises InputError that names the file, with the advice `if_missing` if there is none."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {if_missing}.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name the {what} inside it.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as tab-separated UTF-8 text.") from None


def rows(content: str, path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a file's content, each the number of its line and its cells by column; none of a file without a header.

    Raises InputError that names the file `path` and the line if it cannot be read, the header lacks one of `columns` or a row is
    too short.
    """
    numbered = _numbered(content, path)
    if not numbered:
        return []
    number, header = numbered[0]
    if missing := [c for c in columns if c not in header]:
        raise InputError(
            f"{path}, line {number}: has no column {', '.join(missing)}; the first line must be {' '.join(columns)}, separated by tabs."
        )
    found = [(n, dict(zip(header, cells, strict=False))) for n, cells in numbered[1:]]
    for number, row in found:
        if absent := [c for c in columns if c not in row]:
            raise InputError(
                f"{path}, line {number}: has no {absent[0]}; each row has {len(columns)} columns, separated by tabs."
            )
    return found


def _numbered(content: str, path: Path) -> list[tuple[int, list[str]]]:
    if "\0" in content:
        raise InputError(f"{path} is not a text file; save it as tab-separated UTF-8 text.")
    for number, line in enumerate(content.splitlines(), start=1):
        if line.startswith(_CONFLICT):
            raise InputError(
                f"{path}, line {number}: is a mark of a merge conflict; keep both sides' rows and delete the marks."
            )
    reader = csv.reader(io.StringIO(content, newline=""), delimiter="\t", strict=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: cannot be read ({error}); correct its quotes.") from None
    return [(number, row) for number, row in found if any(row) and not row[0].startswith("#")]


def number(written: str) -> float | None:
    """Return a cell's finite number, None if it is none."""
    try:
        value = float(written)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
