"""Say how far a run is: every video's state, and what each stage has done and has left."""

from pathlib import Path

from talking import cli, costs, sheet, status


def main() -> None:
    """Read the sheet and the results, print two tables."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--sheet", type=Path, required=True, help="sheet of videos")
    parser.add_argument("--state", nargs="*", help="only videos of these states: done unusable failed begun left")
    default = Path(__file__).resolve().parents[1] / "resources/jobs.tsv"
    parser.add_argument("--jobs", type=Path, default=default, help="table of what jobs take, for the work that is left")
    arguments = parser.parse_args()
    found = status.videos(arguments.results.resolve(), sheet.read_sheet(arguments.sheet)["video"])
    print(status.by_video(v for v in found if not arguments.state or v.state in arguments.state), end="\n\n")
    print(status.by_stage(found, costs.read_needs(arguments.jobs)))


if __name__ == "__main__":
    cli.run(main)
