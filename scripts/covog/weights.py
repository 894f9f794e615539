"""Published weights: a list with their checksums, and how to get one file of it."""

import os
import shutil
from pathlib import Path
from typing import Any

from talking.core import checksums
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.video import fetch

# Hubs require this token for gated files; it is read from the environment and written nowhere.
TOKEN = "HF_TOKEN"


def list_file() -> Path:
    """Return the YAML file that lists the published weights."""
    return Path(__file__).with_name("weights.yaml")


def obtain(name: str, entry: dict[str, Any], out: Path, folder: Path | None = None, pause_s: float = 2.0) -> str:
    """Write the weights `name` to `out` and return where they came from.

    `entry` is what the list says of them: url, revision (filled into the url), sha256 and bytes (None if not known),
    licence, gated.
    A file of that name in `folder` is taken before anything is downloaded. An unfinished download stays beside `out` as
    .NAME.*.part and is continued next time. Where the list knows no sha256, that of the first file is noted beside `out`
    as NAME.sha256 and later ones are held to it. Raises InputError that says what to do if the file cannot be had or is not
    the one that the list describes.
    """
    url = entry["url"].format(revision=entry["revision"])
    out.parent.mkdir(parents=True, exist_ok=True)
    noted = out.with_name(f"{out.name}.sha256")
    held_to = str(list_file())
    if not entry["sha256"] and noted.exists():
        entry, held_to = entry | {"sha256": noted.read_text().strip()}, f"{noted}, noted at the first download"
    if folder is not None and (folder / name).is_file():
        found = _check(folder / name, entry, f"{folder / name} is not the file of {held_to}; delete it or correct that")
        with atomic_write(out) as aside:
            shutil.copyfile(folder / name, aside)
        return f"taken from {folder}{_note(noted, found, entry)}"
    check_gate(name, entry, folder)
    where = _place(name, folder)
    part = fetch.part_of(out.with_name(f".{out.name}"), url)
    headers = {"Authorization": f"Bearer {os.environ[TOKEN]}"} if entry["gated"] else {}
    failure, _ = fetch.download(url, part, pause_s, headers)
    if failure:
        raise InputError(
            f"{url} could not be downloaded ({failure}): check the network and run again, it continues where it "
            f"broke off; or put the file in {where}."
        )
    try:
        found = _check(part, entry, f"{url} is not the file of {held_to}, which must be corrected")
    except InputError:
        fetch.forget(part)
        raise
    part.replace(out)
    fetch.forget(part)
    return f"downloaded, licence {entry['licence']}{_note(noted, found, entry)}"


def check_gate(name: str, entry: dict[str, Any], folder: Path | None = None) -> None:
    """Raise InputError that names the page to visit if a gated file is neither in `folder` nor can be downloaded with a token."""
    if not entry["gated"] or os.environ.get(TOKEN) or (folder is not None and (folder / name).is_file()):
        return
    page = entry["url"].partition("/resolve/")[0]
    raise InputError(
        f"{name} is available to those who accept its licence ({entry['licence']}): visit {page}, accept it, set {TOKEN} to "
        f"your token and run again; or put the file in {_place(name, folder)}."
    )


def _place(name: str, folder: Path | None) -> str:
    return f"{folder / name}" if folder else f"a folder, as {name}, and name the folder in covog.weights_dir"


def _note(noted: Path, found: str, entry: dict[str, Any]) -> str:
    """Note the checksum of a file whose checksum is not in the list; return what to report."""
    if entry["sha256"]:
        return ""
    with atomic_write(noted) as aside:
        aside.write_text(f"{found}\n")
    return f"; there is no checksum to check it with, its SHA-256 {found} is noted in {noted}"


def _check(file: Path, entry: dict[str, Any], otherwise: str) -> str:
    """Return the file's SHA-256; raises InputError that begins with `otherwise` if it is not the entry's file."""
    if entry["bytes"] is not None and file.stat().st_size != entry["bytes"]:
        raise InputError(f"{otherwise}: it has {file.stat().st_size} bytes, not {entry['bytes']}.")
    found = checksums.sha256(file)
    if entry["sha256"] and found != entry["sha256"]:
        raise InputError(f"{otherwise}: its SHA-256 is {found}.")
    return found
