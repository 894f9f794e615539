"""Print a Markdown table of gate values: right clips against other clips, of videos whose right clips are known."""

from pathlib import Path

from talking.clips import gate_values
from talking.core import cli


def main() -> None:
    """Read the arguments, the truth and the clips, print the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="folders `results` of runs")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="JSON files of right clips")
    arguments = parser.parse_args()
    truth = {video: of for path in arguments.truth for video, of in gate_values.right_clips(path).items()}
    print(gate_values.table(gate_values.measured(arguments.results, truth)))


if __name__ == "__main__":
    cli.run(main)
