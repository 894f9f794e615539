"""Measure what a video costs beside its networks: processor time over one plain decode, bytes kept, decodes, peak memory.

    python tests/benchmarks/bench_cost.py --video FILM.mp4 --work FOLDER
    python tests/benchmarks/bench_cost.py --video SHORT.mp4 --times 10 --work FOLDER

Every command line of the workflow runs on the video, one after the other. With `--times` the video also runs as so many of
it in a row, and peak memory is compared. docs/benchmarks.md keeps what was found.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path[:0] = [str(SCRIPTS), str(Path(__file__).resolve().parents[1])]

from media_tools import ffmpeg_exe  # noqa: E402
from talking import media, tables  # noqa: E402

VIDEO = "v"
# {r} is the folder of results. Stages that run a network are told from those that do not.
NETWORKS = {
    "detect_faces",
    "track_faces",
    "mark_landmarks",
    "embed_faces",
    "detect_voice",
    "score_speaking",
    "diarize",
    "transcribe",
    "estimate_poses",
    "embed_sound",
}
STEPS = {
    "ingest_video": "--sheet {r}/sheet.tsv --video v --media {r}/media/v.mp4 --wav {r}/media/v.wav --probe {r}/media/v.json",
    "detect_shots": "--media {r}/media/v.mp4 --shots {r}/shots/v.parquet",
    "detect_faces": "--media {r}/media/v.mp4 --faces {r}/faces/v.parquet",
    "track_faces": "--media {r}/media/v.mp4 --faces {r}/faces/v.parquet --shots {r}/shots/v.parquet"
    " --tracks {r}/tracks/v.parquet",
    "mark_landmarks": "--media {r}/media/v.mp4 --tracks {r}/tracks/v.parquet --landmarks {r}/landmarks/v.npz",
    "embed_faces": "--media {r}/media/v.mp4 --tracks {r}/tracks/v.parquet --landmarks {r}/landmarks/v.npz"
    " --embeddings {r}/embeddings/v.npz",
    "detect_voice": "--sound {r}/media/v.wav --voice {r}/voice/v.parquet",
    "score_speaking": "--media {r}/media/v.mp4 --sound {r}/media/v.wav --tracks {r}/tracks/v.parquet"
    " --landmarks {r}/landmarks/v.npz --voice {r}/voice/v.parquet --asd {r}/asd/v.parquet",
    "diarize": "--sound {r}/media/v.wav --asd {r}/asd/v.parquet --tracks {r}/tracks/v.parquet"
    " --embeddings {r}/embeddings/v.npz --same-person 0.07 --turns {r}/speech/v.rttm",
    "fuse_speaking": "--asd {r}/asd/v.parquet --voice {r}/voice/v.parquet --turns {r}/speech/v.rttm"
    " --embeddings {r}/embeddings/v.npz --model lip_sync --same-person 0.07 --speaking {r}/speaking/v.parquet",
    "transcribe": "--sound {r}/media/v.wav --voice {r}/voice/v.parquet --transcript {r}/speech/v.transcript.parquet",
    "attribute_words": "--transcript {r}/speech/v.transcript.parquet --turns {r}/speech/v.rttm"
    " --speaking {r}/speaking/v.parquet --words {r}/speech/v.words.parquet",
    "find_clips": "--video=v --source=bench --shots {r}/shots/v.parquet --tracks {r}/tracks/v.parquet"
    " --landmarks {r}/landmarks/v.npz --speaking {r}/speaking/v.parquet --voice {r}/voice/v.parquet"
    " --rttm {r}/speech/v.rttm --candidates {r}/candidates/v.parquet",
    "select_clips": "--candidates {r}/candidates/v.parquet --clips {r}/clips/v.parquet",
    "estimate_poses": "--media {r}/media/v.mp4 --candidates {r}/candidates/v.parquet --tracks {r}/tracks/v.parquet"
    " --landmarks {r}/landmarks/v.npz --poses {r}/poses/v.npz --threads 1",
    "embed_sound": "--sound {r}/media/v.wav --candidates {r}/candidates/v.parquet --embedded {r}/sound/v.npz",
    "annotate_clips": "--video=v --source=bench --licence=CC0-1.0 --url= --clips {r}/clips/v.parquet"
    " --media {r}/media/v.mp4 --wav {r}/media/v.wav --tracks {r}/tracks/v.parquet --speaking {r}/speaking/v.parquet"
    " --words {r}/speech/v.words.parquet --poses {r}/poses/v.npz --sound {r}/sound/v.npz --dataset {r}/dataset"
    " --annotations {r}/annotations/v.parquet",
    "cluster_identities": "--sheet {r}/sheet.tsv --embeddings {r}/embeddings --tracks {r}/tracks"
    " --identities {r}/identities.parquet",
    "collect_dataset": "--sheet {r}/sheet.tsv --clips {r}/clips --annotations {r}/annotations --media {r}/media"
    " --identities {r}/identities.parquet --dataset {r}/dataset --videos {r}/videos.parquet",
}
# The pictures that the networks look at: frames of `media.frames`, or chosen ones of `media.frames_at`.
FEEDS = ("detect_faces", "mark_landmarks", "embed_faces", "estimate_poses")


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


def cost_of(command: list[str], log: Path | None = None) -> Cost:
    """Run a program and return its cost; raises CalledProcessError if it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPTS)}
    meter = [sys.executable, "-S", "-c", _METER, *command]
    with open(log or os.devnull, "w") as err:
        run = subprocess.run(meter, stdout=subprocess.PIPE, stderr=err, env=environment, text=True, check=True)
    code, seconds, kilobytes = run.stdout.split()
    if int(code):
        raise subprocess.CalledProcessError(int(code), command)
    return Cost(float(seconds), float(kilobytes) / 1000)


def plain_decode(video: Path) -> Cost:
    """Return the cost of decoding a video's pictures with the ffmpeg program, and nothing else."""
    return cost_of([ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(video), "-an", "-f", "null", "-"])


def step(name: str, results: Path) -> Cost:
    """Run one command line of the workflow in a folder of results and return its cost."""
    words = [word.format(r=results) for word in STEPS[name].split(" ")]
    (results / "logs").mkdir(exist_ok=True)
    return cost_of([sys.executable, str(SCRIPTS / f"{name}.py"), *words], results / "logs" / f"{name}.log")


def prepare(video: Path, results: Path) -> None:
    """Make the folders of a run and its sheet of one video."""
    for name in ("media", "shots", "faces", "tracks", "landmarks", "embeddings", "voice", "asd", "speech", "speaking",
                 "candidates", "clips", "poses", "sound", "annotations", "dataset"):  # fmt: skip
        (results / name).mkdir(parents=True, exist_ok=True)
    (results / "sheet.tsv").write_text(f"video\tpath\tsource\tlicence\n{VIDEO}\t{video.resolve()}\tbench\tCC0-1.0\n")


def feed(name: str, results: Path) -> None:
    """Read the pictures that a stage gives to its network, as it reads them."""
    mp4 = results / "media" / "v.mp4"
    if name == "detect_faces":
        height = min(720, media.size_and_length(mp4)[1])
        pictures = media.frames(mp4, height=height, pixel_format="bgr24")
    elif name == "mark_landmarks":
        pictures = media.frames_at(mp4, tables.read("tracks", results / "tracks" / "v.parquet")["frame"])
    elif name == "embed_faces":
        import numpy as np

        from talking import identities

        tracks = tables.read("tracks", results / "tracks" / "v.parquet")
        with np.load(results / "landmarks" / "v.npz", allow_pickle=False) as landmarks:
            rows = identities.choose(tracks, landmarks, identities.EmbedSettings())
        pictures = media.frames_at(mp4, tracks["frame"].iloc[rows])
    else:
        from talking import intervals

        clips = tables.read("candidates", results / "candidates" / "v.parquet")
        clips = clips[clips["candidate"]]
        spans = intervals.union(zip(clips["start_frame"], clips["end_frame"], strict=True))
        pictures = (picture for span in spans for picture in media.frames(mp4, *span))
    print(sum(1 for _ in pictures), "pictures")


def looped(video: Path, times: int, out: Path) -> Path:
    """Write a video so many times in a row without encoding it."""
    command = [ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1), "-i", str(video)]
    subprocess.run([*command, "-c", "copy", str(out)], check=True)
    return out


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def report_costs(video: Path, results: Path, costs: dict[str, Cost]) -> None:
    """Print processor time over a plain decode, and bytes over the source's."""
    decode = plain_decode(video).seconds
    print(f"\nplain decode of {video.name} by ffmpeg: {decode:.2f} s of processor time\n")
    print(f"{'command line':20s} {'s':>7s} {'decodes':>8s} {'peak MB':>8s}")
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
    """Read the arguments, run every command line, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="video to run on")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--times", type=int, default=1, help="compare memory with a video of so many in a row")
    parser.add_argument("--without", nargs="*", default=[], help="command lines to leave out where results exist")
    parser.add_argument("--feed", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        if arguments.feed in FEEDS:
            feed(arguments.feed, arguments.work)
        return
    runs = {"one": arguments.video}
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.times > 1:
        runs["many"] = looped(arguments.video, arguments.times, arguments.work / f"times_{arguments.times}.mp4")
    costs: dict[str, dict[str, Cost]] = {}
    for run, video in runs.items():
        results = arguments.work / run
        prepare(video, results)
        costs[run] = {}
        for name in STEPS:
            if name not in arguments.without:
                costs[run][name] = step(name, results)
                print(f"{run} {name}: {costs[run][name]}", flush=True)
    report_costs(arguments.video, arguments.work / "one", costs["one"])
    if "many" in costs:
        print(f"\npeak memory of {arguments.times} in a row over that of one")
        for name, cost in costs["one"].items():
            print(f"{name:20s} {costs['many'][name].megabytes / cost.megabytes:6.2f}")


if __name__ == "__main__":
    main()
