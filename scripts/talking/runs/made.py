"""Checksums of outputs: one file for each job with the SHA-256 of its outputs, written when it has ended.

The job of results/logs/faces/v.log has results/checksums/faces/v.sha256, in the format of sha256sum, with paths below results/:
`cd results && sha256sum --check checksums/*/*.sha256`.
"""

import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from talking.core import checksums
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

FOLDER = "checksums"


def place_of(log: Path) -> tuple[Path, str]:
    """Return the folder of the results and a job's place in it, for example faces/v, by its log; raises InputError if it has none."""
    folder = next((parent for parent in log.parents if parent.name == "logs"), None)
    if folder is None:
        raise InputError(f"{log} lies in no folder logs of results; give the log of a job of the workflow.")
    return folder.parent, str(log.relative_to(folder).with_suffix(""))


def file_of(results: Path, place: str) -> Path:
    """Return the file of a job's checksums."""
    return results / FOLDER / f"{place}.sha256"


def record(log: Path, outputs: Iterable[Path]) -> None:
    """Write the checksums of a job's outputs; of folders those of all files in them that are not hidden.

    Raises InputError if an output is missing.
    """
    results, place = place_of(log)
    lines = []
    for output in outputs:
        if not output.exists():
            raise InputError(f"{output} is missing, though its job has ended without an error.")
        for file in _files(output):
            lines.append(f"{checksums.sha256(file)}  {os.path.relpath(file, results)}\n")
    with atomic_write(file_of(results, place)) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def renew(results: Path, place: str, changed: Container[str]) -> None:
    """Write a job's checksums again after its files `changed`, paths below the results, were edited on purpose; files that are gone are left out."""
    if not file_of(results, place).exists():
        return
    lines = [
        f"{checksums.sha256(results / name) if name in changed else checksum}  {name}\n"
        for name, checksum in read(results, place).items()
        if (results / name).exists()
    ]
    with atomic_write(file_of(results, place)) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def forget(results: Path, place: str) -> None:
    """Remove a job's checksums, if it has any."""
    file_of(results, place).unlink(missing_ok=True)


def places(results: Path) -> list[str]:
    """Return the places of all jobs that have checksums."""
    folder = results / FOLDER
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("[!.]*.sha256"))


def read(results: Path, place: str) -> dict[str, str]:
    """Return a job's files and their checksums, by paths below the results; raises InputError if they cannot be read."""
    file = file_of(results, place)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}).") from error
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 and len(pair[0]) == 64 for pair in pairs):
        raise InputError(f"{file} is no list of checksums.")
    return {name: checksum for checksum, name in pairs}


def _files(output: Path) -> Iterator[Path]:
    if not output.is_dir():
        yield output
        return
    for folder, folders, names in os.walk(output):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
