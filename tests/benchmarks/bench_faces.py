"""Measure face detectors on videos with true boxes: recall, false faces and processor time, as a Markdown table.

    python tests/benchmarks/bench_faces.py --results RESULTS --truth TRUTH... [--models centerface yunet=FILE]

RESULTS holds media/ and shots/ of the videos; a TRUTH is a JSON file of the form of scripts/score_labels.py's boxes by eye (`video`, `checked_frames`,
`boxes`, `ignore`), or a synthetic video's VIDEO.frames.csv.

Recall is of the true boxes at an IoU of 0.5, after tracking. A false face is a track that at no checked frame lies on a true face (IoU of 0.3)
although it shows in one; time is the processor's, of finding the faces alone.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))

from talking.core import boxes, tables  # noqa: E402
from talking.faces import detect, tracks  # noqa: E402
from talking.video import media  # noqa: E402

_BOX = ["x1", "y1", "x2", "y2"]


@dataclass
class Truth:
    """True boxes of a video's checked frames, and regions in which faces do not count."""

    video: str
    boxes: pd.DataFrame
    frames: list[int]
    ignore: list[dict]


@dataclass
class Sums:
    """What is added up over videos."""

    wanted: int = 0
    found: int = 0
    false_tracks: int = 0
    cpu_s: float = 0.0
    video_s: float = 0.0

    def row(self) -> str:
        """Return the cells of a table: recall, false faces a minute, processor seconds per second."""
        recall = self.found / self.wanted if self.wanted else float("nan")
        return f"{recall:.3f} ({self.found} of {self.wanted}) | {self.false_tracks / self.video_s * 60:.1f} | {self.cpu_s / self.video_s:.2f}"


def read_truth(path: Path) -> Truth:
    """Read a JSON or CSV file of true boxes."""
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        hidden = table[table["visible"] < 0.5].assign(start=lambda t: t["frame"], end=lambda t: t["frame"] + 1)
        frames = list(range(0, int(table["frame"].max()) + 1, 5))
        return Truth(path.name.split(".")[0], table[table["visible"] >= 0.5], frames, hidden.to_dict("records"))
    content = json.loads(path.read_text())
    return Truth(content["video"], pd.DataFrame(content["boxes"]), content["checked_frames"], content.get("ignore", []))


def measured(results: Path, truth: Truth, settings: detect.Settings) -> Sums:
    """Return the figures of one detector on one video."""
    video, shots = results / f"media/{truth.video}.mp4", tables.read("shots", results / f"shots/{truth.video}.parquet")
    length = media.size_and_length(video)[2]
    began = time.process_time()
    found = detect.detect(video, settings, shots["start_frame"])
    sums = Sums(cpu_s=time.process_time() - began, video_s=length / media.FPS)
    looks = tracks.Looks(lambda places: [None] * len(places), 1.0)
    joined = tracks.track(found, shots, looks, tracks.Settings())
    matched, missed = set(), set()
    for frame in truth.frames:
        true = truth.boxes[truth.boxes["frame"] == frame]
        here = joined[joined["frame"] == frame]
        overlap = boxes.iou_matrix(true[_BOX], here[_BOX])
        sums.wanted += len(true)
        for _ in range(min(overlap.shape)):
            i, j = np.unravel_index(overlap.argmax(), overlap.shape)
            sums.found += bool(overlap[i, j] >= 0.5)
            if overlap[i, j] >= 0.3:
                matched.add(here["track"].iloc[j])
            overlap[i], overlap[:, j] = -1, -1
        missed |= {row.track for row in here.itertuples() if not _is_ignored(row, frame, truth.ignore)}
    sums.false_tracks = len(missed - matched)
    return sums


def _is_ignored(row, frame: int, ignore: list[dict]) -> bool:
    x, y = (row.x1 + row.x2) / 2, (row.y1 + row.y2) / 2
    return any(g["start"] <= frame < g["end"] and g["x1"] <= x <= g["x2"] and g["y1"] <= y <= g["y2"] for g in ignore)


def rows(results: Path, truths: list[Truth], models: list[str]) -> Iterator[str]:
    """Yield the lines of the table: each model on each video, and on all."""
    yield "| model | video | recall | false faces a minute | processor s per s |\n|---|---|---|---|---|"
    for model in models:
        name, _, weights = model.partition("=")
        total = Sums()
        for truth in truths:
            sums = measured(results, truth, detect.Settings(model=name, weights=weights))
            yield f"| `{name}` | {truth.video} | {sums.row()} |"
            total = Sums(*(a + b for a, b in zip(vars(total).values(), vars(sums).values(), strict=True)))
        yield f"| `{name}` | **all** | {total.row()} |"


def main() -> None:
    """Read the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--truth", type=Path, nargs="+", required=True)
    parser.add_argument("--models", nargs="+", default=["centerface"], help="NAME, or NAME=FILE with weights")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    truths = [read_truth(path) for path in arguments.truth]
    for row in rows(arguments.results, truths, arguments.models):
        print(row, flush=True)


if __name__ == "__main__":
    main()
