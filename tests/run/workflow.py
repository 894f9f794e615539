"""Helpers that run the workflow as its users do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import preloaded
from conftest import REPO
from media_tools import ffmpeg_exe

# Two clips of two people, and a shot of one person between them.
FILM = "--seed 5 --people 2 --width 640 --height 360 --shots 1,2:7:medium 1:3:close 2,1:6:medium".split()

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
    return preloaded.snakemake(command(folder, *arguments, config=config)[3:], REPO, 2400)


def started(folder: Path, *arguments: str, config: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start Snakemake on the sheet of a folder, as the leader of a process group; what it prints comes by its `stdout`."""
    words = command(folder, *arguments, config=config)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=REPO, start_new_session=True, **pipes)


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


def make_films(folder: Path) -> None:
    """Make a conversation with its truth, its first shot without sound, and a text named .mp4."""
    film = [sys.executable, REPO / "scripts/film_conversation.py", "--out", folder / "talk.mp4", *FILM]
    subprocess.run(film, check=True)
    mute = ["-i", folder / "talk.mp4", "-t", "7", "-an", "-c", "copy", folder / "mute.mp4"]
    subprocess.run([ffmpeg_exe(), "-loglevel", "error", *mute], check=True)
    (folder / "text.mp4").write_text("no video at all\n")


def make_run(folder: Path, films: Path) -> None:
    """Run the workflow on those films and one that does not exist; what it prints is written to `printed.txt` above the folder."""
    hostile = folder.parent / 'it\'s "$(odd)" {name} -ü.mp4'
    shutil.copy(films / "talk.mp4", hostile)
    others = {video: films / f"{video}.mp4" for video in ("mute", "text", "gone")}
    write_sheet(folder, {"talk": str(hostile).replace('"', '""').join('""'), **others})
    # As a user starts it.
    done = subprocess.run(command(folder), cwd=REPO, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder.parent / "printed.txt").write_text(done.stdout + done.stderr)
