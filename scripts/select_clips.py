"""Apply the gates to the candidate clips of a video."""

from pathlib import Path

from talking.clips import gates, understanding
from talking.core import cli, tables


def main() -> None:
    """Read the arguments and the candidates, decide which are kept, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--candidates", type=Path, required=True, help="table of results/candidates/")
    parser.add_argument("--qualities", type=Path, required=True, help="table of results/qualities/")
    parser.add_argument("--inspections", type=Path, required=True, help="table of results/inspections/")
    parser.add_argument("--transcript", type=Path, required=True, help="table transcript of results/speech/")
    parser.add_argument("--pieces", type=Path, required=True, help="table pieces of results/speech/")
    parser.add_argument("--clips", type=Path, required=True, help="table to write")
    cli.add_settings(parser, gates.Settings)
    arguments = parser.parse_args()
    candidates = tables.read("candidates", arguments.candidates)
    qualities = tables.read("qualities", arguments.qualities)
    inspections = tables.read("inspections", arguments.inspections)
    understood = understanding.measure(
        candidates[candidates["candidate"]],
        tables.read("transcript", arguments.transcript),
        tables.read("pieces", arguments.pieces),
    )
    settings = cli.settings_from(arguments, gates.Settings)
    clips = gates.select(candidates, qualities, inspections, understood, settings)
    tables.write("clips", clips, arguments.clips)


if __name__ == "__main__":
    cli.run(main)
