"""Find the shots of a video and measure how its camera moves."""

from pathlib import Path

from talking.core import cli, tables
from talking.video import shots


def main() -> None:
    """Read the arguments, find the shots, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--shots", type=Path, required=True, help="table to write")
    cli.add_settings(parser, shots.Settings)
    arguments = parser.parse_args()
    tables.write("shots", shots.detect(arguments.media, cli.settings_from(arguments, shots.Settings)), arguments.shots)


if __name__ == "__main__":
    cli.run(main)
