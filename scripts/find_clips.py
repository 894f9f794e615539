"""Find the stretches in which the people on screen do not change, and measure those that can be clips."""

from pathlib import Path

from talking import cli, clips, tables


def main() -> None:
    """Read the arguments and the tables, find the stretches, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--video", required=True, help="id of the video")
    parser.add_argument("--source", required=True, help="source of the video")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays of results/landmarks/")
    parser.add_argument("--speaking", type=Path, required=True, help="table of results/speaking/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--rttm", type=Path, required=True, help="speaker turns of results/speech/")
    parser.add_argument("--candidates", type=Path, required=True, help="table to write")
    cli.add_settings(parser, clips.Settings)
    arguments = parser.parse_args()
    read = {name: tables.read(name, getattr(arguments, name)) for name in ("shots", "tracks", "speaking", "voice")}
    found = clips.find(
        arguments.video,
        arguments.source,
        landmarks=arguments.landmarks,
        rttm=arguments.rttm,
        settings=cli.settings_from(arguments, clips.Settings),
        **read,
    )
    tables.write("candidates", found, arguments.candidates)


if __name__ == "__main__":
    cli.run(main)
