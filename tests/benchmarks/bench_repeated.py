"""Measure the rules that read no pictures, or only those of clips, on a long video: a finished run's tables, sound and pictures, repeated.

    python tests/benchmarks/bench_repeated.py --results RESULTS --times 30 --work FOLDER [--rules RULE ...]

RESULTS, with faces and landmarks, are those of a run of one video called v, of `bench_cost.py` for example. Repetition k has frames, times, shots, tracks, people and clips of its
own, and fingerprints of its own, else all its clips were duplicates. Networks that look at pictures need not run again; of rules that work on
parts, it is the joining that is measured.
"""

import argparse
import json
import re
from pathlib import Path

import bench_cost
import numpy as np
import pandas as pd
import soundfile

from talking.core import arrays, tables
from talking.video import media

# Rules that work on parts of a long video: their jobs of the whole video join what the parts have made.
JOINED = {
    "detect_faces": ["faces/v.parquet"],
    "track_faces": ["tracks/v.parquet", "landmarks/v.npz"],
    "embed_faces": ["embeddings/v.npz"],
    "estimate_poses": ["poses/v.npz"],
    "inspect_clips": ["inspections/v.parquet"],
}
RULES = (
    "score_asd",
    "embed_sound",
    "select_clips",
    "find_duplicates",
    "annotate_clips",
    "cluster_identities",
    "collect_dataset",
    *JOINED,
)
TABLES = {
    "faces": "faces/v.parquet",
    "shots": "shots/v.parquet",
    "tracks": "tracks/v.parquet",
    "voice": "voice/v.parquet",
    "asd": "asd/v.parquet",
    "persons": "people/v.parquet",
    "speaking": "speaking/v.parquet",
    "candidates": "candidates/v.parquet",
    "qualities": "qualities/v.parquet",
    "inspections": "inspections/v.parquet",
    "transcript": "speech/v.transcript.parquet",
    "pieces": "speech/v.pieces.parquet",
}
# Of each column, what a repetition adds to its numbers: once for each repetition before it.
FRAMES = ("frame", "start_frame", "end_frame", "clear_start_frame", "clear_end_frame")
SECONDS = ("start_s", "end_s")
TRACKS = ("track", "tracks", "person_tracks", "bystander_tracks")
PEOPLE = ("person", "people", "repeated_of")
# Arrays of landmarks and embeddings that number tracks and frames, or rows and bytes of others.
COUNTING = {"track": "track", "frame": "frame", "thumbnail_row": "row", "face_row": "row", "face_end": "byte"}


def added(value: object, amount: int) -> object:
    """Return a number, or numbers within lists, with an amount added; null stays null."""
    if isinstance(value, list | tuple | np.ndarray):
        return [added(one, amount) for one in value]
    return value + amount


def repeated_table(name: str, table: pd.DataFrame, times: int, steps: dict[str, int | float]) -> pd.DataFrame:
    """Return a table so many times in a row, each time moved on by the steps of its columns."""
    random = np.random.default_rng(0)
    found = []
    for k in range(times):
        one = table.copy()
        for column in steps.keys() & set(one.columns):
            one[column] = [added(value, k * steps[column]) for value in one[column]]
        if "clip" in one:
            one["clip"] = [renamed(clip, k * steps["frame"]) for clip in one["clip"]]
        if name == "inspections":
            for column in ("sound_hashes", "picture_hashes"):
                one[column] = [hashes ^ random.integers(1 << 30, dtype=hashes.dtype) for hashes in one[column]]
        found.append(one)
    return pd.concat(found, ignore_index=True)


def renamed(clip: str, frames: int) -> str:
    """Return the name of a clip that begins so many frames later."""
    start, end = map(int, re.search(r"_(\d+)to(\d+)$", clip).groups())
    return re.sub(r"_\d+to\d+$", f"_{start + frames:06d}to{end + frames:06d}", clip)


def repeat(results: Path, times: int, out: Path) -> None:
    """Write the results of a video so many times in a row into a folder `out`."""
    probe = json.loads((results / "media/v.json").read_text())
    sound, rate = soundfile.read(results / "media/v.wav", dtype="int16")
    length = media.size_and_length(results / "media/v.mp4")[2]
    read = {name: tables.read(name, results / file) for name, file in TABLES.items()}
    steps = dict.fromkeys(FRAMES, length) | dict.fromkeys(SECONDS, length / media.FPS)
    steps |= {"shot": int(read["shots"]["shot"].max()) + 1}
    steps |= dict.fromkeys(TRACKS, int(read["tracks"]["track"].max()) + 1)
    steps |= dict.fromkeys(PEOPLE, int(read["persons"]["person"].max()) + 1)
    for folder in ("media", "landmarks", "embeddings", "poses", *(Path(file).parent for file in TABLES.values())):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name, table in read.items():
        tables.write(name, repeated_table(name, table, times, steps), out / TABLES[name])
    bench_cost.looped(results / "media/v.mp4", times, out / "media/v.mp4")
    # As long as the pictures: what is missing at the end is silent.
    whole = np.zeros(length * rate // media.FPS, np.int16)
    whole[: len(sound)] = sound[: len(whole)]
    soundfile.write(out / "media/v.wav", np.tile(whole, times), rate, subtype="PCM_16")
    longer = {"frames": length * times, "duration_s": length * times / media.FPS}
    (out / "media/v.json").write_text(json.dumps(probe | longer))
    turns = [line.split() for line in (results / "speech/v.rttm").read_text().splitlines()]
    moved = [[*w[:3], f"{float(w[3]) + k * length / media.FPS:.3f}", *w[4:]] for k in range(times) for w in turns]
    (out / "speech/v.rttm").write_text("".join(" ".join(words) + "\n" for words in moved))
    for file in ("landmarks/v.npz", "embeddings/v.npz"):
        with arrays.opened(results / file) as named:
            found = dict(named)
        amounts = steps | {"row": len(found["track"]), "byte": len(found.get("face", ""))}
        steps_of = {name: amounts.get(COUNTING.get(name), 0) for name in found}
        arrays.write(
            out / file,
            (
                # One number for all tracks: the distance of embeddings of one person.
                (
                    name,
                    one if name == "same_person" else np.concatenate([one + k * steps_of[name] for k in range(times)]),
                )
                for name, one in found.items()
            ),
        )
    with arrays.opened(results / "poses/v.npz") as poses:
        arrays.write(
            out / "poses/v.npz",
            (
                ("/".join([renamed(clip, k * length), of]), poses[f"{clip}/{of}"])
                for k in range(times)
                for clip, of in (name.split("/") for name in poses)
            ),
        )


def main() -> None:
    """Read the arguments, repeat the results, run each rule and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results of a video v")
    parser.add_argument("--times", type=int, required=True, help="repetitions")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--rules", nargs="*", default=RULES, help="rules to run, in the order of the workflow")
    arguments = parser.parse_args()
    repeat(arguments.results, arguments.times, arguments.work / "results")
    commands = bench_cost.commands(arguments.work / "results/media/v.mp4", arguments.work)
    for rule in arguments.rules:
        command = commands[rule]
        for file in JOINED.get(rule, ()):
            part = arguments.work / "parts" / file
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes((arguments.work / "results" / file).read_bytes())
            command = command.replace("--video-parts  ", f"--video-parts parts/{file} ", 1)
        print(rule, bench_cost.run_rule(command, arguments.work), flush=True)


if __name__ == "__main__":
    main()
