"""Measure the candidate clips of a video: faces, who talks, how people exchange turns, whether mouths fit the sound."""

from pathlib import Path

from talking.clips import qualities
from talking.core import cli, tables


def main() -> None:
    """Read the arguments and what the stages wrote, measure the candidates, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="table of results/candidates/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays of results/landmarks/")
    parser.add_argument("--speaking", type=Path, required=True, help="table of results/speaking/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--rttm", type=Path, required=True, help="speaker turns of results/speech/")
    parser.add_argument("--qualities", type=Path, required=True, help="table to write")
    cli.add_settings(parser, qualities.Settings)
    arguments = parser.parse_args()
    measured = qualities.of_video(
        arguments.media,
        tables.read("candidates", arguments.candidates),
        tables.read("tracks", arguments.tracks),
        arguments.landmarks,
        tables.read("speaking", arguments.speaking),
        tables.read("voice", arguments.voice),
        arguments.rttm,
        cli.settings_from(arguments, qualities.Settings),
    )
    tables.write("qualities", measured, arguments.qualities)


if __name__ == "__main__":
    cli.run(main)
