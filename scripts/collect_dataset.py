"""Collect the tables, splits and data card of the whole data set, and what became of every input."""

from pathlib import Path

from talking.clips import qualities
from talking.core import cli
from talking.dataset import card, collect, splits
from talking.removal import removals
from talking.review import decisions
from talking.runs import giving_up
from talking.runs.sheet import read_sheet


def main() -> None:
    """Read the arguments, collect."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet")
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        help="folder of the results, with the tables of all stages and the failures of this run",
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of tables, one a video")
    parser.add_argument("--annotations", type=Path, required=True, help="folder of tables, one a video")
    parser.add_argument("--media", type=Path, required=True, help="folder of probes, one a video")
    parser.add_argument("--identities", type=Path, required=True, help="table of who is who")
    parser.add_argument("--duplicates", type=Path, required=True, help="table of duplicate clips")
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--videos", type=Path, required=True, help="table of the videos to write")
    decisions.add_argument(parser)
    removals.add_argument(parser)
    parser.add_argument("--same-person", type=float, default=0.0, help="as identities.same_person of the config")
    cli.add_settings(parser, card.Settings)
    cli.add_settings(parser, splits.Settings)
    cli.add_settings(parser, qualities.Settings)
    arguments = parser.parse_args()
    sheet = read_sheet(arguments.sheet)
    results = collect.Results(
        arguments.results,
        arguments.clips,
        arguments.annotations,
        arguments.media,
        arguments.identities,
        arguments.duplicates,
        giving_up.left_out(arguments.results, set(sheet["video"]), "dataset"),
    )
    collect.collect(
        sheet,
        results,
        arguments.dataset,
        arguments.videos,
        cli.settings_from(arguments, card.Settings),
        cli.settings_from(arguments, splits.Settings),
        decisions.read(arguments.review),
        cli.settings_from(arguments, qualities.Settings),
        removals.read(arguments.removals),
        arguments.same_person,
    )


if __name__ == "__main__":
    cli.run(main)
