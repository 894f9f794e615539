"""Find the faces in every frame of a video."""

from pathlib import Path

from talking.core import cli, tables
from talking.faces import detect
from talking.video import parts


def main() -> None:
    """Read the arguments, find the faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--faces", type=Path, required=True, help="table to write")
    parts.add_arguments(parser)
    cli.add_settings(parser, detect.Settings)
    arguments = parser.parse_args()
    if arguments.video_parts:
        found = parts.joined_table("faces", arguments.video_parts)
    else:
        shots = tables.read("shots", arguments.shots)
        within = parts.span_of(arguments.video_part, shots) if arguments.video_part else None
        settings = cli.settings_from(arguments, detect.Settings)
        found = detect.detect(arguments.media, settings, shots["start_frame"], within)
    tables.write("faces", found, arguments.faces)


if __name__ == "__main__":
    cli.run(main)
