"""Named arrays in one npz file, written as they come, so that memory does not grow with a video's length."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from talking.aside import written_aside

_BYTES_AT_ONCE = 1 << 20


def write(path: str | Path, named: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write named arrays as one npz, aside and renamed when whole; the same arrays give the same bytes."""
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
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
