"""Find the segments in which the same people take part; those that can be clips are candidates."""

from pathlib import Path

from talking.clips import find
from talking.core import cli, tables
from talking.video import media


def main() -> None:
    """Read the arguments and the tables, find the segments, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--video", required=True, help="id of the video")
    parser.add_argument("--source", required=True, help="source of the video")
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/, whose size counts")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--people", type=Path, required=True, help="table of results/people/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--candidates", type=Path, required=True, help="table to write")
    cli.add_settings(parser, find.Settings)
    arguments = parser.parse_args()
    found = find.find(
        arguments.video,
        arguments.source,
        shots=tables.read("shots", arguments.shots),
        tracks=tables.read("tracks", arguments.tracks),
        people=tables.read("persons", arguments.people),
        voice=tables.read("voice", arguments.voice),
        size=media.size_and_length(arguments.media)[:2],
        settings=cli.settings_from(arguments, find.Settings),
    )
    tables.write("candidates", found, arguments.candidates)


if __name__ == "__main__":
    cli.run(main)
