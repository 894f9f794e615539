"""An apptainer without containers: what Snakemake runs in one runs here, with the installed commands first, and is noted."""

from pathlib import Path

_APPTAINER = """#!/usr/bin/env bash
here=$(cd "$(dirname "$0")" && pwd)
case "$1" in
  --version) echo apptainer version 1.3.6 ;;
  *)
    while [ "$1" != -c ]; do before=("${before[@]}" "$1"); shift; done
    echo "${before[*]}" >> "$here/jobs"
    PATH=COMMANDS:/usr/bin:/bin exec bash -c "$2" ;;
esac
"""


def make(folder: Path, commands: Path) -> Path:
    """Write it into a folder, for PATH; jobs find `talking` in the folder `commands`. How it is called is noted in `folder`/jobs."""
    folder.mkdir(parents=True)
    apptainer = folder / "apptainer"
    apptainer.write_text(_APPTAINER.replace("COMMANDS", str(commands)))
    apptainer.chmod(0o755)
    return folder
