"""Join the faces of a video into tracks."""

from pathlib import Path

from talking import cli, tables, tracks


def main() -> None:
    """Read the arguments, join the faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="table of results/faces/")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--tracks", type=Path, required=True, help="table to write")
    cli.add_settings(parser, tracks.Settings)
    arguments = parser.parse_args()
    faces, shots = tables.read("faces", arguments.faces), tables.read("shots", arguments.shots)
    tables.write("tracks", tracks.track(faces, shots, cli.settings_from(arguments, tracks.Settings)), arguments.tracks)


if __name__ == "__main__":
    cli.run(main)
