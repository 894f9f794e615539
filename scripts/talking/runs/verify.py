"""Whether the files of the store are what their jobs have made, and the removal of those that are not, with what was made of them."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from talking.core import checksums
from talking.core.errors import InputError
from talking.runs import giving_up, made
from talking.runs.stages import KNOWN, READS, STAGES, files_of, folder_of, job_of, made_of

# Clocks of machines that share a disk differ by less.
_SLACK_S = 1.0
# Comes again by itself when a job needs it, with the same content; what was made of it was made of the whole file.
_REMOVED_ALONE = ("weights", "films", "downloads", "covog/latents")


@dataclass(frozen=True)
class Fault:
    """A file that is not as its job has left it: its path below the results, the job's place and what is wrong."""

    file: str
    place: str
    what: str


def check(
    results: Path, threads: int = 1, progress: Callable[[Iterable, int], Iterable] = lambda found, _: found
) -> list[Fault]:
    """Return the faults of all files that have checksums: other bytes, unreadable, or gone from a folder that a job has filled.

    A file that is gone otherwise is no fault: Snakemake knows it, and rebuilds it when a job needs it. `progress` passes on
    what is found of each file, of so many files.
    """
    faults, wanted = [], []
    for place in made.places(results):
        try:
            wanted += [(file, place, checksum) for file, checksum in made.read(results, place).items()]
        except InputError as error:
            faults.append(Fault(str(made.file_of(Path(), place)), place, f"cannot be read: {error}"))
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda one: _fault(results, *one), wanted)
        faults += [fault for fault in progress(found, len(wanted)) if fault]
    return faults


def given_up(results: Path) -> list[Fault]:
    """Return the outputs without content of jobs that were given up: no damage, as Snakemake knows that it is to run them again.

    In a folder that was copied without Snakemake's records it does not.
    """
    found = giving_up.all_of(results)
    return [
        Fault(file, place, f"was given up: {failure.reason}")
        for place, failure in found.items()
        for file in failure.outputs
    ]


def of_the_future(results: Path, now: float | None = None) -> list[str]:
    """Return the files below the results whose times lie ahead: Snakemake fails a job whose output is older than its input."""
    latest = (time.time() if now is None else now) + _SLACK_S
    return sorted(file for file, modified in _times(results) if modified > latest)


def bring_to_the_present(results: Path, files: Iterable[str]) -> None:
    """Give files one present time; raises InputError if one belongs to somebody else."""
    now = time.time()
    for file in files:
        try:
            os.utime(results / file, (now, now))
        except PermissionError as error:
            raise InputError(f"{results / file} belongs to another user; have its owner touch it.") from error


def removal(results: Path, places: Iterable[str]) -> list[str]:
    """Return the places of the jobs whose files are removed with those of damaged ones, the last of the workflow first.

    A trained model is not removed as the data set that it was trained on is made again, but as its own files are.
    """
    damaged, known, order = set(places), made.places(results), list(READS)
    found = damaged | {place for place in known for of in damaged if _is_made_of(place, of)}
    return sorted(found, key=lambda place: (-order.index(job_of(place)[0]), place))


def remove(results: Path, place: str, damaged: Iterable[str]) -> int:
    """Remove what a job has made, last its checksums, and return how many files those were; `damaged` are its damaged files."""
    name, about = job_of(place)
    if name in _REMOVED_ALONE:
        files, folders = set(damaged), set()
        if name in KNOWN:
            files.add(KNOWN[name])
    else:
        files = {*damaged, *_outputs(name, about), *_listed(results, place)}
        folders = {folder for file in files if (folder := folder_of(name, file))}
    removed = [file for file in files if (results / file).exists()]
    # Snakemake takes a folder that is there for an output that is there.
    for path in (results / file for file in (*removed, *folders)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    made.forget(results, place)
    return len(removed)


def _is_made_of(place: str, of: str) -> bool:
    """Return True if the files of a job go with those of another."""
    (name, about), (read, about_read) = job_of(place), job_of(of)
    is_of_training = name.startswith("covog/") and not read.startswith("covog/")
    if is_of_training or read in _REMOVED_ALONE or read not in made_of(name):
        return False
    return about == about_read or not about or not about_read


def _fault(results: Path, file: str, place: str, checksum: str) -> Fault | None:
    name, about = job_of(place)
    try:
        is_same = checksums.sha256(results / file) == checksum
    except (FileNotFoundError, NotADirectoryError):
        is_missed = folder_of(name, file) and (results / KNOWN[name].format(about=about)).exists()
        return Fault(file, place, "is gone") if is_missed else None
    except OSError as error:
        return Fault(file, place, f"cannot be read ({error.strerror or error})")
    if is_same:
        return None
    if name == "downloads" and (results / f"media/{about}.json").exists():
        return Fault(
            file, place, f"is not the file any more of which media/{about}.mp4 was made: put that back or delete it"
        )
    return Fault(file, place, "is not what its job has made")


def _outputs(name: str, about: str) -> list[str]:
    return files_of(name, about) if name in STAGES else []


def _listed(results: Path, place: str) -> Iterable[str]:
    try:
        return made.read(results, place)
    except InputError:
        return ()


def _times(results: Path) -> Iterator[tuple[str, float]]:
    for folder, _, names in os.walk(results):
        for name in names:
            file = os.path.join(folder, name)
            yield os.path.relpath(file, results), os.lstat(file).st_mtime
