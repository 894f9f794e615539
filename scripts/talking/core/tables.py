"""The only functions that read and write tables; each checks that a table is as `schemas` declares it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.core.schemas import SCHEMAS, schema


def read(name: str, path: str | Path) -> pd.DataFrame:
    """Read a table and check that it has exactly the columns that `SCHEMAS[name]` declares.

    Raises InputError that names the file if it is not a whole Parquet file or its columns differ.
    """
    try:
        table = _read_file(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "table", error) from error
    return _checked(name, table, path).to_pandas()


def read_columns(name: str, path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read some columns of a table (all if not given) as Arrow, for tables that are too many or too large for `read`.

    Raises InputError that names the file if it is not a whole Parquet file or lacks a column.
    """
    wanted = schema(name)
    if columns is not None:
        wanted = pa.schema([wanted.field(column) for column in columns])
    try:
        return _fitted(_read_file(path, wanted.names), wanted)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, f"{name} table", error) from error


@contextmanager
def writer(name: str, path: str | Path, rows_at_once: int = 50_000) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends Arrow tables with the columns of `SCHEMAS[name]` to a table written atomically.

    Rows are held until `rows_at_once` are together, so that many small tables do not become many small row groups.
    """
    wanted, held, rows = schema(name), [], 0

    def flush(file: pq.ParquetWriter) -> None:
        nonlocal rows
        if held:
            file.write_table(pa.concat_tables(held))
            held.clear()
            rows = 0

    with atomic_write(path) as aside, pq.ParquetWriter(aside, wanted, compression="zstd") as file:

        def append(table: pa.Table) -> None:
            nonlocal rows
            held.append(_fitted(table, wanted))
            rows += len(table)
            if rows >= rows_at_once:
                flush(file)

        yield append
        flush(file)


def write(name: str, frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table in its declared column order and types, atomically.

    Raises InputError if a declared column is missing, an undeclared one present or a type does not fit.
    """
    missing = [c.name for c in SCHEMAS[name] if c.name not in frame.columns]
    if missing:
        raise InputError(f"{path}: the {name} table lacks {', '.join(missing)}.")
    frame = frame.reset_index(drop=True)
    extra = [c for c in frame.columns if c not in schema(name).names]
    if extra:
        raise InputError(f"{path}: the {name} table has undeclared columns {', '.join(map(str, extra))}.")
    try:
        table = pa.Table.from_pandas(frame[schema(name).names], schema=schema(name), preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: the {name} table does not fit its schema ({error}).") from error
    with atomic_write(path) as aside:
        # Arrow only: pandas' own metadata would tie the bytes to the writer's version.
        pq.write_table(table.replace_schema_metadata(None), aside, compression="zstd")


def empty(name: str) -> pd.DataFrame:
    """Return the table without rows, as for a video in which nothing was found."""
    return schema(name).empty_table().to_pandas()


def of_rows(name: str, rows: list) -> pd.DataFrame:
    """Return rows, one dict or tuple each, as a table with the columns of `SCHEMAS[name]`."""
    return pd.DataFrame(rows, columns=schema(name).names) if rows else empty(name)


def _read_file(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    # Not pq.read_table: that looks for further files and columns, which costs more than to read a small table.
    with pq.ParquetFile(path, pre_buffer=True) as file:
        return file.read(columns)


def _fitted(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the columns of a schema in its order and types."""
    table = table.select(wanted.names)
    return table if table.schema.equals(wanted, check_metadata=True) else table.cast(wanted)


def _unreadable(path: str | Path, what: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path} does not exist; name another folder, or run the workflow first.")
    return InputError(f"{path} cannot be read as a {what} ({error}); delete it and run again.")


def _checked(name: str, table: pa.Table, path: str | Path) -> pa.Table:
    wanted = schema(name)
    if table.schema.names != wanted.names:
        raise InputError(
            f"{path} is not a {name} table: its columns are {', '.join(table.schema.names)}; delete it and run again."
        )
    return table.cast(wanted)
