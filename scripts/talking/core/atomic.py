"""Atomic writes: a file is written under a temporary name and renamed when whole, so that no half-written file is ever read."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What mkstemp makes of `atomic_write`'s prefix and suffix.
_LEFT = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")


def clear(results: Path) -> None:
    """Remove what killed processes have left in the folders of `results`; no process may be writing there."""
    for pattern in (
        "*",
        "*/*",
        "checksums/**/*",
        "failures/*/*",
        "poses/*/*",
        "covog/*/*",
        "covog/*/*/*",
        "dataset/splits/*",
        "export/*/*",
        "gallery/data/*",
        "weights/**/*",
    ):
        for file in results.glob(pattern):
            if _LEFT.fullmatch(file.name) and file.is_file():
                file.unlink()


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path` (made if needed), renamed to it if the block succeeds, else removed.

    The temporary name keeps the suffix, as encoders choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        umask = os.umask(0)
        os.umask(umask)
        aside.chmod(0o666 & ~umask)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def link(file: Path, to: Path) -> None:
    """Give a file that is never changed in place a second name, so that it is on the disk once; a copy where that cannot be."""
    try:
        os.link(file, to)
    except OSError:
        # Another file system, or one without hard links.
        with atomic_write(to) as aside:
            shutil.copyfile(file, aside)
