"""Named arrays in one npz file, written as they come, so that memory does not grow with a video's length."""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from talking.core.atomic import atomic_write
from talking.core.errors import InputError

_BYTES_AT_ONCE = 1 << 20
# What zipfile, zlib and numpy raise for damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    MemoryError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


class opened(Mapping):
    """The arrays of an npz file by name, each read on access; a context manager that closes the file.

    Raises InputError that names the file if it, or an array in it, is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file."""
        self._path = path
        with self._named():
            self._file = np.load(path, allow_pickle=False)
            if not isinstance(self._file, np.lib.npyio.NpzFile):
                raise ValueError("no npz file")

    def __enter__(self) -> "opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._file.files:
            raise KeyError(name)
        with self._named():
            return self._file[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.files)

    def __len__(self) -> int:
        return len(self._file.files)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise InputError(f"{self._path} cannot be read as arrays ({error}); delete it and run again.") from error


def write(path: str | Path, named: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write named arrays as one npz, atomically; the same arrays give the same bytes."""
    with atomic_write(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for name, array in named:
            # ZipInfo's own date is 1980: the time of writing stays out of the bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open(entry, "w", force_zip64=True) as to:
                _write_array(to, np.ascontiguousarray(array))


def _write_array(to: IO[bytes], array: np.ndarray) -> None:
    """Write an array as npy in small pieces: numpy's own function holds 16 MB of it twice, and zipfile what becomes of them."""
    if array.dtype.hasobject:
        raise ValueError("an array of Python objects cannot be written")
    np.lib.format.write_array_header_1_0(to, np.lib.format.header_data_from_array_1_0(array))
    data = array.reshape(-1).view(np.uint8)
    for start in range(0, data.size, _BYTES_AT_ONCE):
        to.write(data[start : start + _BYTES_AT_ONCE].data)
