"""Find the faces in every frame of a video."""

from pathlib import Path

from talking.core import cli, tables
from talking.faces import detect


def main() -> None:
    """Read the arguments, find the faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--faces", type=Path, required=True, help="table to write")
    cli.add_settings(parser, detect.Settings)
    arguments = parser.parse_args()
    starts = tables.read("shots", arguments.shots)["start_frame"]
    found = detect.detect(arguments.media, cli.settings_from(arguments, detect.Settings), starts)
    tables.write("faces", found, arguments.faces)


if __name__ == "__main__":
    cli.run(main)
