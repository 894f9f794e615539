"""Measure how many hours of video each stage with a network takes in an hour of one GPU, with random weights of the published widths.

    python tests/benchmarks/bench_data_gpu.py --work FOLDER [--seconds 60] [--only "poses/sapiens2 (1B)"]

What the networks need (faces, tracks, landmarks, candidates) is made first, of a synthetic video, by the embedded models on the CPU. Each model
is a program of its own with a time limit, so that one that fails or hangs costs no other, and runs twice: the second time counts, as
loading and compiling are done once for a video. Prints one JSON line for each, and the sum; whole it takes less than ten minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_cost
from bench_models import Bench

from talking.core import processors
from talking.video import media

LIMIT_S = 75
# The stages with networks that a GPU runs: without poses an hour of video takes the sum of these.
WITHOUT_POSES = (
    "faces/centerface",
    "speaking/light_asd",
    "diarization/embedded",
    "words/whisper_base",
    "sound/wav2vec2",
)
CASES = (*WITHOUT_POSES, "poses/sapiens2 (0.4B)", "poses/sapiens2 (1B)")


def prepare(folder: Path, seconds: int) -> None:
    """Make the results of a synthetic video of two people, as far as the networks need them."""
    film = folder / "film.mp4"
    if not film.exists():
        script = bench_cost.REPO / "scripts/film_conversation.py"
        words = f"--seed 3 --width 1920 --height 1080 --people 2 --shots 1,2:{seconds}:medium".split()
        subprocess.run([sys.executable, str(script), "--out", str(film), *words], check=True, capture_output=True)
    needed = f"results/candidates/{bench_cost.VIDEO}.parquet"
    if not (folder / needed).exists():
        for command in bench_cost.commands(film, folder, needed).values():
            bench_cost.run_rule(command, folder)


def measure(case: str, results: Path) -> None:
    """Run one model twice and print the second time as a line of JSON."""
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(results, bench_cost.VIDEO, results / "weights", Path(scratch), 4)
        works = {f"{stage}/{model}": work for stage, model, work in bench.models()}
        if case not in works:
            print(json.dumps({"case": case, "left_out": "its weights are not there"}))
            return
        works[case]()
        is_cuda = torch.cuda.is_available()
        began = time.perf_counter()
        frames = works[case]()
        seconds = time.perf_counter() - began
        rate = frames / media.FPS / seconds
        print(json.dumps({
            "case": case,
            "frames": frames,
            "seconds": round(seconds, 3),
            "hours_per_hour": round(rate, 2),
            "peak_gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if is_cuda else None,
            "device": torch.cuda.get_device_name() if is_cuda else "cpu",
        }))  # fmt: skip


def main() -> None:
    """Read the arguments, make the inputs, measure each model in a program of its own, print the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--seconds", type=int, default=60, help="length of the synthetic video")
    parser.add_argument("--only", nargs="*", help="models to measure, as STAGE/MODEL")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.case:
        measure(arguments.case, arguments.work / "results")
        return
    prepare(arguments.work, arguments.seconds)
    # As `talking --gpus 1` would have it, for ONNX Runtime and the decoder.
    environment = {"CUDA_VISIBLE_DEVICES": "0"} | os.environ | {processors.GPUS: "1"}
    found = {}
    for case in arguments.only or CASES:
        command = [sys.executable, __file__, "--work", str(arguments.work), "--case", case]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment)
            line = next((text for text in run.stdout.splitlines() if text.startswith("{")), "")
            answer = json.loads(line) if line else {"case": case, "failed": run.stderr.strip().splitlines()[-1:]}
        except subprocess.TimeoutExpired:
            answer = {"case": case, "failed": f"took longer than {LIMIT_S} s"}
        found[case] = answer.get("hours_per_hour")
        print(json.dumps(answer), flush=True)
    if all(found.get(case) for case in WITHOUT_POSES):
        hours = sum(1 / found[case] for case in WITHOUT_POSES)
        print(json.dumps({"case": "all without poses", "hours_per_hour": round(1 / hours, 2)}))


if __name__ == "__main__":
    main()
