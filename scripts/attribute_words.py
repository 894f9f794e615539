"""Find who says each word of a video."""

from pathlib import Path

from talking.core import cli, tables
from talking.speech import attribution, turns


def main() -> None:
    """Read the arguments, match words with turns and faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--transcript", type=Path, required=True, help="table transcript of results/speech/")
    parser.add_argument("--turns", type=Path, required=True, help="RTTM file of results/speech/")
    parser.add_argument("--speaking", type=Path, required=True, help="table of results/speaking/")
    parser.add_argument("--words", type=Path, required=True, help="table to write")
    cli.add_settings(parser, attribution.Settings)
    arguments = parser.parse_args()
    table = attribution.attribute(
        tables.read("transcript", arguments.transcript),
        turns.read(arguments.turns),
        tables.read("speaking", arguments.speaking),
        cli.settings_from(arguments, attribution.Settings),
    )
    tables.write("words", table, arguments.words)


if __name__ == "__main__":
    cli.run(main)
