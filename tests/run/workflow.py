"""Helpers that run the workflow as its users do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import REPO

COSTLY = {
    "ingest_media",
    "detect_shots",
    "detect_faces",
    "track_faces",
    "embed_faces",
    "detect_voice",
    "score_asd",
    "find_people",
    "inspect_clips",
    "diarize",
    "fuse_speaking",
    "transcribe",
    "find_candidates",
    "estimate_poses",
    "embed_sound",
}


def command(folder: Path, *arguments: str, config: tuple[str, ...] = ()) -> list[str]:
    """Return the words that run Snakemake on the sheet of a folder, without CovOG unless the config asks."""
    if not any(word.startswith("covog=") for word in config):
        config = (*config, "covog={train: never}")
    words = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--directory", str(folder)]
    return [*words, "--config", f"videos={folder / 'videos.tsv'}", *config]


def snakemake(folder: Path, *arguments: str, config: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run Snakemake on the sheet of a folder; return what it printed and how it ended."""
    words = command(folder, *arguments, config=config)
    return subprocess.run(words, cwd=REPO, capture_output=True, text=True, timeout=2400)


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start Snakemake on the sheet of a folder; what it prints comes by its `stdout`."""
    return subprocess.Popen(
        command(folder, *arguments), cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def planned(folder: Path, *arguments: str, config: tuple[str, ...] = ()) -> dict[str, int]:
    """Return how many jobs of each rule a dry run plans."""
    done = snakemake(folder, *arguments, "--dry-run", "--quiet", "host", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)}


def write_sheet(folder: Path, rows: dict[str, str]) -> None:
    """Write a sheet of video ids and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["video\tpath\tsource\tlicence"] + [f"{video}\t{path}\ttest\tCC0" for video, path in rows.items()]
    (folder / "videos.tsv").write_text("\n".join(lines) + "\n")


def copy_run(folder: Path, to: Path) -> Path:
    """Copy a finished run so that a test may change it."""
    shutil.copytree(folder, to, symlinks=True)
    return to
