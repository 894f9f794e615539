"""Find the faces in every frame of a video."""

from pathlib import Path

from talking import cli, faces, tables


def main() -> None:
    """Read the arguments, find the faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--faces", type=Path, required=True, help="table to write")
    cli.add_settings(parser, faces.Settings)
    arguments = parser.parse_args()
    tables.write("faces", faces.detect(arguments.media, cli.settings_from(arguments, faces.Settings)), arguments.faces)


if __name__ == "__main__":
    cli.run(main)
