"""Write the checksums of the files that a job has made, for verify-store."""

from pathlib import Path

from talking.core import cli
from talking.runs import giving_up, made


def main() -> None:
    """Read the arguments, write the checksums; an earlier failure of the job has passed."""
    parser = cli.parser(__doc__)
    parser.add_argument("log", type=Path, help="log of the job, below results/logs")
    parser.add_argument("outputs", type=Path, nargs="+", help="files and folders that the job has made")
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="TABLE",
        help="table of results/annotations: the folders of its clips are recorded too",
    )
    arguments = parser.parse_args()
    results, place = made.place_of(arguments.log)
    outputs = list(arguments.outputs)
    if arguments.clips is not None:
        from talking.core import tables

        outputs += [results / "dataset" / clip for clip in tables.read("annotations", arguments.clips)["clip"]]
    made.record(arguments.log, outputs)
    giving_up.has_passed(results, place)


if __name__ == "__main__":
    cli.run(main)
