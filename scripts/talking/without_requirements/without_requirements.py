"""A build backend that gives pip a published wheel without its requirements, checked by the hashes of wheels.lock."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_LOCK = Path(__file__).with_name("wheels.lock")


def build_wheel(wheel_directory: str, config_settings: dict[str, str], metadata_directory: str | None = None) -> str:
    """Write the wheel that the setting `wheel` names as NAME==VERSION, without its requirements; return its file name.

    The setting `leave` names a folder of the wheel that is left out.

    Raises ValueError if wheels.lock does not have it, CalledProcessError if it cannot be downloaded or is another file.
    """
    name = config_settings["wheel"]
    with tempfile.TemporaryDirectory() as folder:
        [wheel] = _download(name, Path(folder)).glob("*.whl")
        _copy(wheel, Path(wheel_directory, wheel.name), config_settings.get("leave"))
    return wheel.name


def _download(name: str, folder: Path) -> Path:
    [locked] = [part for part in re.split(r"^(?=\w)", _LOCK.read_text(), flags=re.MULTILINE) if part.split()[0] == name]
    (folder / "wheel.lock").write_text(locked)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    # pip builds with a PYTHONPATH on which it is not to be found itself.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    only_this = ["--no-deps", "--require-hashes", "-r", folder / "wheel.lock", "--dest", folder]
    subprocess.run([*pip, *only_this], env=environment, check=True)
    return folder


def _copy(wheel: Path, out: Path, leave: str | None) -> None:
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        record = next(entry for entry in old.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", entry))
        metadata = record.replace("RECORD", "METADATA")
        left = (metadata, f"{leave}/") if leave else (metadata,)
        for entry in old.infolist():
            if entry.filename != record and not entry.filename.startswith(left):
                new.writestr(entry, old.read(entry), zipfile.ZIP_DEFLATED)
        kept = re.sub(rb"^Requires-Dist:.*\n", b"", old.read(metadata), flags=re.MULTILINE)
        new.writestr(metadata, kept)
        digest = base64.urlsafe_b64encode(hashlib.sha256(kept).digest()).rstrip(b"=").decode()
        lines = [line for line in old.read(record).decode().splitlines() if not line.startswith(left)]
        new.writestr(record, "\n".join([*lines, f"{metadata},sha256={digest},{len(kept)}", ""]))
