"""Print the state of a run: of every video, and for each stage what is done, what is left, and when it will end at the throughput of the last hour."""

import time
from pathlib import Path

from talking.core import cli
from talking.runs import costs, sheet, status, throughput


def main() -> None:
    """Read the sample sheet and the results, print two tables."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet")
    parser.add_argument("--state", nargs="*", help="only videos of these states: done unusable failed begun left")
    parser.add_argument(
        "--jobs",
        type=Path,
        default=costs.table(),
        help="table of requested resources, for stages of which no job has ended",
    )
    arguments = parser.parse_args()
    found = status.videos(arguments.results.absolute(), sheet.read_sheet(arguments.sheet)["video"])
    print(status.by_video(v for v in found if not arguments.state or v.state in arguments.state), end="\n\n")
    seconds = {video.video: video.seconds for video in found}
    going = throughput.of_run(arguments.results, seconds, costs.read_needs(arguments.jobs), time.time())
    print(status.by_stage(found, going))


if __name__ == "__main__":
    cli.run(main)
