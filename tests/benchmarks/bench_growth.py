"""Measure how processor time and memory of each rule grow with the length of a video, and draw both.

    python tests/benchmarks/bench_growth.py --video FILM.mp4 --seconds 10 60 600 --work FOLDER [--without RULE ...] [--picture FILE.svg]

The video is repeated to each length without encoding it. Figures are kept in FOLDER/growth.json, so that lengths and rules can be
measured one after another; the picture shows all of them, with one plain decode of the video beside.
"""

import argparse
import json
from pathlib import Path

import bench_cost
import matplotlib
import pandas as pd
from matplotlib import ticker

from talking.video import media

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Rules whose lines get a colour and a name; all others are one line together.
NAMED = 8


def measure(video: Path, seconds: int, work: Path, without: list[str]) -> list[dict]:
    """Return a row for each rule that a video of so many seconds runs: rule, seconds, processor seconds and MB; rules left out are not run."""
    folder = work / f"{seconds}s"
    folder.mkdir(parents=True, exist_ok=True)
    length_s = media.size_and_length(video)[2] / media.FPS
    # One more than needed, cut to the length.
    long = folder / "long.mp4"
    if not long.exists():
        bench_cost.looped(video, int(seconds / length_s) + 1, long, seconds)
    rows = [{"rule": "plain decode", **vars(bench_cost.plain_decode(long))}]
    for rule, command in bench_cost.commands(long, folder).items():
        if rule not in without:
            rows.append({"rule": rule, **vars(bench_cost.run_rule(command, folder))})
            print(seconds, rows[-1], flush=True)
    return [{"video_s": seconds, **row} for row in rows]


def draw(rows: list[dict], picture: Path) -> None:
    """Draw processor seconds for each second of video, and peak memory, over the length of the video."""
    table = pd.DataFrame(rows)
    table["a second"] = table["seconds"] / table["video_s"]
    costly = table[table["rule"] != "plain decode"].groupby("rule")["seconds"].max().nlargest(NAMED).index
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharex=True, layout="constrained")
    for axis, column in zip(axes, ("a second", "megabytes"), strict=True):
        for rule in costly:
            one = table[table["rule"] == rule].sort_values("video_s")
            axis.plot(one["video_s"], one[column], marker="o", label=rule)
        decode = table[table["rule"] == "plain decode"].sort_values("video_s")
        if column == "a second":
            axis.plot(decode["video_s"], decode[column], "k--", label="one plain decode")
        axis.set(xscale="log", yscale="log", xlabel="length of the video, s")
        axis.set_xticks(sorted(table["video_s"].unique()))
        axis.minorticks_off()
        # From a round figure to a round figure, in steps of two and five.
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        for of in (axis.xaxis, axis.yaxis):
            of.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.grid(alpha=0.3)
    axes[0].set_title("processor seconds for each second of video")
    axes[1].set_title("peak memory, MB")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.savefig(picture)


def main() -> None:
    """Read the arguments, measure each length, keep the figures and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True, help="video to repeat")
    parser.add_argument("--seconds", type=int, nargs="*", default=[], help="lengths to measure")
    parser.add_argument(
        "--without", nargs="*", default=[], help="rules to leave out; what needs them must be left out too"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--picture", type=Path, help="picture to draw")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "growth.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for seconds in arguments.seconds:
        new = measure(arguments.video, seconds, arguments.work, arguments.without)
        measured = {(row["video_s"], row["rule"]) for row in new}
        rows = [row for row in rows if (row["video_s"], row["rule"]) not in measured] + new
        file.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
