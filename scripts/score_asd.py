"""Score how much each visible face looks and sounds like the one who speaks, frame by frame."""

from pathlib import Path

from talking import speaking
from talking.core import cli, tables
from talking.video import parts


def main() -> None:
    """Read the arguments, score the tracks, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--sound", type=Path, required=True, help="sound of results/media/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays of results/landmarks/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--asd", type=Path, required=True, help="table to write")
    parts.add_arguments(parser)
    cli.add_settings(parser, speaking.Settings)
    args = parser.parse_args()
    if args.video_parts:
        tables.write("asd", parts.joined_table("asd", args.video_parts), args.asd)
        return
    inputs = speaking.read_inputs(args.media, args.sound, args.tracks, args.landmarks, args.voice, args.video_part)
    tables.write("asd", speaking.score(inputs, cli.settings_from(args, speaking.Settings)), args.asd)


if __name__ == "__main__":
    cli.run(main)
