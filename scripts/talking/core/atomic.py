"""Atomic writes: a file or folder is written under a temporary name and renamed when whole, so that no half-written one is ever read."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talking.core.errors import InputError

# What tempfile makes of the prefixes and suffixes below.
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
            if _LEFT.fullmatch(file.name):
                shutil.rmtree(file) if file.is_dir() else file.unlink()


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
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, pattern: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path` for files of a `pattern`; it takes its place if the block succeeds, else is removed.

    So a folder is there with all its files or not at all, whenever its job is killed. Raises InputError if the folder that is there
    has other files: they are somebody's own.
    """
    path = Path(path)
    others = [file.name for file in path.glob("[!.]*") if not file.match(pattern)]
    if others:
        raise InputError(f"{path} has files that are not of its kind, as {others[0]}; name a new folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        aside.chmod(0o777 & ~_umask())
        yield aside
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def link(file: Path, to: Path) -> None:
    """Give a file that is never changed in place a second name, so that it is on the disk once; a copy where that cannot be."""
    try:
        os.link(file, to)
    except OSError:
        # Another file system, or one without hard links.
        with atomic_write(to) as aside:
            shutil.copyfile(file, aside)
