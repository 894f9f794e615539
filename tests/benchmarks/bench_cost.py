"""Measure what a video costs beside its networks: processor time over one plain decode, bytes kept, decodes, peak memory.

    python tests/benchmarks/bench_cost.py --video FILM.mp4 --work FOLDER
    python tests/benchmarks/bench_cost.py --video SHORT.mp4 --times 10 --work FOLDER
    python tests/benchmarks/bench_cost.py --compare docs/benchmarks.json --work FOLDER

Every command that the workflow would run to collect the video runs, one after the other. With `--times` the video also runs as so many of
it in a row, and peak memory is compared. With `--compare` a synthetic video runs, and a command that takes a quarter more plain decodes than the
file says, also when it is measured again, is an error; `--record` writes the file. docs/benchmarks.md keeps what was found.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "scripts"), str(REPO / "tests")]

from media_tools import ffmpeg_exe  # noqa: E402
from talking.core import tables  # noqa: E402
from talking.faces import detect  # noqa: E402
from talking.video import media  # noqa: E402

VIDEO, SHEET = "v", "videos.tsv"
# Rules that run a network are told from those that do not.
NETWORKS = {
    "detect_faces",
    "track_faces",
    "embed_faces",
    "detect_voice",
    "score_asd",
    "diarize",
    "transcribe",
    "estimate_poses",
    "embed_sound",
    "inspect_clips",
}
# The pictures that the networks look at: frames of `media.frames`, or chosen ones of `media.frames_at`.
FEEDS = ("detect_faces", "track_faces", "estimate_poses", "inspect_clips")


@dataclass
class Cost:
    """What a program took: processor seconds of it and its children, and their greatest resident memory in MB."""

    seconds: float
    megabytes: float


# A new process counts the memory of the one that started it as its own: this starts the program from one that has hardly any.
_METER = """
import os, sys
out_is_err = [(os.POSIX_SPAWN_DUP2, 2, 1)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=out_is_err)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def cost_of(command: list[str], folder: Path | None = None) -> Cost:
    """Run a program in a folder and return its cost; raises CalledProcessError if it fails."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPO / "scripts"),
        "PATH": os.pathsep.join(
            [str(REPO / "scripts/talking/bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "TALKING_SHEET": SHEET,
        # A job that fails is an error here: none has an attempt left to give up after.
        "TALKING_RETRIES": "1",
    }
    meter = [sys.executable, "-S", "-c", _METER, *command]
    run = subprocess.run(meter, stdout=subprocess.PIPE, env=environment, cwd=folder, text=True, check=True)
    code, seconds, kilobytes = run.stdout.split()
    if int(code):
        raise subprocess.CalledProcessError(int(code), command)
    return Cost(float(seconds), float(kilobytes) / 1000)


def plain_decode(video: Path) -> Cost:
    """Return the cost of decoding a video's pictures with the ffmpeg program, and nothing else."""
    return cost_of([ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(video), "-an", "-f", "null", "-"])


def commands(video: Path, folder: Path, target: str = "results/videos.parquet") -> dict[str, str]:
    """Return the shell command of each rule that the workflow would run in a folder to make a target of a video, in order.

    Makes the sheet and the folders that the commands take for granted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SHEET).write_text(f"video\tpath\tsource\tlicence\n{VIDEO}\t{video.resolve()}\tbench\tCC0-1.0\n")
    # One job a rule, however long the video is.
    words = ["--cores", "2", "--directory", str(folder), "--config", f"videos={SHEET}", "parts={minutes: 0}"]
    plan = ["--dry-run", "--forceall", "--printshellcmds", target]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", *words, *plan], cwd=REPO, capture_output=True, text=True, check=True
    )
    found = {}
    for job in re.split(r"^rule ", run.stdout + run.stderr, flags=re.MULTILINE)[1:]:
        for made in re.search(r"^    output: (.*)$", job, re.MULTILINE)[1].split(", "):
            (folder / made).parent.mkdir(parents=True, exist_ok=True)
        (folder / re.search(r"^    log: (.*)$", job, re.MULTILINE)[1]).parent.mkdir(parents=True, exist_ok=True)
        found[job.split(":")[0]] = re.search(r"^Shell command: (.*)$", job, re.MULTILINE)[1]
    return found


def run_rule(command: str, folder: Path) -> Cost:
    """Run a rule's shell command, without a GPU, and return its cost."""
    return cost_of(["bash", "-c", command], folder)


def feed(name: str, results: Path) -> None:
    """Read the pictures that a stage gives to its network, as it reads them."""
    mp4 = results / "media" / "v.mp4"
    if name == "detect_faces":
        _, height, length = media.size_and_length(mp4)
        looked_at = range(0, length, detect.Settings().look_every)
        pictures = media.frames_at(mp4, looked_at, height=min(720, height), pixel_format="bgr24", fast=True)
    elif name == "track_faces":
        pictures = media.parts_at(mp4, tables.read("tracks", results / "tracks" / "v.parquet")["frame"])
    else:
        from talking.clips import inspection
        from talking.core import intervals

        clips = tables.read("candidates", results / "candidates" / "v.parquet")
        clips = clips[clips["candidate"]]
        if name == "inspect_clips":
            numbers = (n for clip in clips.itertuples() for n in inspection.looked_at(clip))
            pictures = media.frames_at(mp4, numbers, fast=True)
        else:
            spans = intervals.union(zip(clips["start_frame"], clips["end_frame"], strict=True))
            pictures = (picture for span in spans for picture in media.frames(mp4, *span))
    for _ in pictures:
        pass


def looped(video: Path, times: int, out: Path, seconds: float | None = None) -> Path:
    """Write a video so many times in a row without encoding it, or only so many seconds of that."""
    command = [ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1), "-i", str(video)]
    cut = [] if seconds is None else ["-t", str(seconds)]
    subprocess.run([*command, *cut, "-c", "copy", str(out)], check=True)
    return out


# Two people who talk, for `--compare`: long enough for the starts of the programs to be a small part.
FILM = "--seed 41 --width 1920 --height 1080 --people 2 --shots 1,2:14:medium 1,2:6:wide".split()
MOST_WORSE = 1.25


def filmed(folder: Path) -> Path:
    """Return a synthetic video of 20 seconds in a folder, of a camera's bit rate; made if it is not there."""
    film, camera = folder / "film.mp4", folder / "camera.mp4"
    if not camera.exists():
        script = REPO / "scripts/film_conversation.py"
        subprocess.run([sys.executable, str(script), "--out", str(film), *FILM], check=True, capture_output=True)
        encoding = "-c:v libx264 -preset fast -b:v 6M -maxrate 9M -bufsize 12M -g 50 -pix_fmt yuv420p -c:a copy".split()
        subprocess.run([ffmpeg_exe(), "-v", "error", "-y", "-i", str(film), *encoding, str(camera)], check=True)
    return camera


def ratios(video: Path, folder: Path) -> dict[str, float]:
    """Return how many plain decodes of a video each rule's command takes, and `all` together.

    The decode is measured before and after, as the machine's speed changes. What an earlier run has left in the folder is removed: poses
    and sound features are looked up there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    decode = plain_decode(video).seconds
    found = {}
    for name, command in commands(video, folder).items():
        found[name] = run_rule(command, folder).seconds
        print(f"{name}: {found[name]:.2f} s", flush=True)
    decode = min(decode, plain_decode(video).seconds)
    found["all"] = sum(found.values())
    return {name: round(seconds / decode, 2) for name, seconds in found.items()}


def compare(folder: Path, file: Path) -> int:
    """Print the ratios of a synthetic video beside those of a file; return 1 if one is worse, also when all are measured again."""
    video, known = filmed(folder), json.loads(file.read_text())["plain_decodes"]

    def worse(found: dict[str, float]) -> set[str]:
        return {name for name in found if found[name] > MOST_WORSE * known.get(name, 0)}

    now = ratios(video, folder / "run")
    if worse(now):
        again = ratios(video, folder / "run")
        now = {name: min(now[name], again[name]) for name in now}
    print(f"\n{'rule':20s} {'before':>8s} {'now':>8s}  plain decodes")
    for name, ratio in now.items():
        print(f"{name:20s} {known.get(name, 0):8.2f} {ratio:8.2f}{'  WORSE' if name in worse(now) else ''}")
    return int(bool(worse(now)))


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def report_costs(video: Path, results: Path, costs: dict[str, Cost]) -> None:
    """Print processor time over a plain decode, and bytes over the source's."""
    decode = plain_decode(video).seconds
    print(f"\nplain decode of {video.name} by ffmpeg: {decode:.2f} s of processor time\n")
    print(f"{'rule':20s} {'s':>7s} {'decodes':>8s} {'peak MB':>8s}")
    for name, cost in costs.items():
        network = "  (network)" if name in NETWORKS else ""
        print(f"{name:20s} {cost.seconds:7.2f} {cost.seconds / decode:8.2f} {cost.megabytes:8.0f}{network}")
    plain = sum(cost.seconds for name, cost in costs.items() if name not in NETWORKS)
    print(f"\neverything that runs no network: {plain:.2f} s = {plain / decode:.2f} plain decodes")
    fed = 0.0
    nothing = cost_of([sys.executable, __file__, "--feed", "nothing", "--work", str(results)]).seconds
    for name in FEEDS:
        seconds = cost_of([sys.executable, __file__, "--feed", name, "--work", str(results)]).seconds - nothing
        print(f"pictures for {name}: {seconds:.2f} s = {seconds / decode:.2f} plain decodes")
        fed += seconds
    print(f"with the pictures for the networks: {(plain + fed) / decode:.2f} plain decodes")

    clips = tables.read("clips", results / "clips" / "v.parquet")
    length = media.size_and_length(results / "media" / "v.mp4")[2]
    copied = bytes_of(results / "media")
    for clip in clips[clips["kept"]].itertuples():
        share = (clip.end_frame - clip.start_frame) / length
        kept, source = bytes_of(results / "dataset" / clip.clip), video.stat().st_size * share
        print(f"{clip.clip}: {kept / 1e6:.2f} MB, {kept / source:.2f} × its bytes in the source, "
              f"{(kept + copied * share) / source:.2f} × with media/")  # fmt: skip


def main() -> None:
    """Read the arguments, run every rule's command, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="video to run on")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--times", type=int, default=1, help="compare memory with a video of so many in a row")
    parser.add_argument("--without", nargs="*", default=[], help="rules to leave out where results exist")
    parser.add_argument(
        "--compare", type=Path, metavar="JSON", help="fail if a rule takes a quarter more than this file says"
    )
    parser.add_argument("--record", type=Path, metavar="JSON", help="write that file")
    parser.add_argument("--feed", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        if arguments.feed in FEEDS:
            feed(arguments.feed, arguments.work)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.compare:
        sys.exit(compare(arguments.work, arguments.compare))
    if arguments.record:
        found = ratios(filmed(arguments.work), arguments.work / "run")
        words = {"video": f"film_conversation {' '.join(FILM)}", "plain_decodes": found}
        arguments.record.write_text(json.dumps(words, indent=1) + "\n")
        return
    runs = {"one": arguments.video}
    if arguments.times > 1:
        runs["many"] = looped(arguments.video, arguments.times, arguments.work / f"times_{arguments.times}.mp4")
    costs: dict[str, dict[str, Cost]] = {}
    for run, video in runs.items():
        costs[run] = {}
        for name, command in commands(video, arguments.work / run).items():
            if name not in arguments.without:
                costs[run][name] = run_rule(command, arguments.work / run)
                print(f"{run} {name}: {costs[run][name]}", flush=True)
    report_costs(arguments.video, arguments.work / "one/results", costs["one"])
    if "many" in costs:
        print(f"\npeak memory of {arguments.times} in a row over that of one")
        for name, cost in costs["one"].items():
            print(f"{name:20s} {costs['many'][name].megabytes / cost.megabytes:6.2f}")


if __name__ == "__main__":
    main()
