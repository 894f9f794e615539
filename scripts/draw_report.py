"""Draw the report's pictures and pages from the finished tables."""

from pathlib import Path

import pandas as pd

from talking.core import cli, tables
from talking.dataset import report


def main() -> None:
    """Read the tables, draw the funnel, statistics and run times, write the pages of clips and inputs."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--report", type=Path, required=True, help="folder to write the pictures and pages to")
    cli.add_settings(parser, report.Settings)
    arguments = parser.parse_args()
    videos = tables.read("videos", arguments.results / "videos.parquet")
    kept = tables.read("dataset", arguments.results / "dataset/clips.parquet")
    segments = [arguments.results / "clips" / f"{video}.parquet" for video in videos["video"]]
    columns = ["duration_s", "num_people", "candidate", "kept", "rejected_by"]
    out = arguments.report
    report.draw_funnel(report.read_columns(segments, columns), videos["seconds_in"].sum(), out / "funnel.svg")
    report.draw_statistics(kept, out / "statistics.svg")
    report.draw_run_times(arguments.results / "benchmarks", out / "run_times.svg")
    report.write_inputs(pd.DataFrame(videos), out / "inputs.html")
    settings = cli.settings_from(arguments, report.Settings)
    report.write_cards(arguments.results / "dataset", kept, out / "clips.html", settings)


if __name__ == "__main__":
    cli.run(main)
