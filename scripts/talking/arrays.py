"""Named arrays in one npz file, written as they come, so that memory does not grow with a video's length."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from talking.aside import written_aside


def write(path: str | Path, named: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write named arrays as one npz, aside and renamed when whole; the same arrays give the same bytes."""
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for name, array in named:
            # ZipInfo's own date is 1980: the time of writing stays out of the bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open(entry, "w", force_zip64=True) as to:
                np.lib.format.write_array(to, np.ascontiguousarray(array), allow_pickle=False)
