"""Mark 68 points on every tracked face of a video."""

from pathlib import Path

from talking.core import arrays, cli, tables
from talking.faces import landmarks
from talking.video import parts


def main() -> None:
    """Read the arguments, mark the faces, write the arrays."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays to write")
    parser.add_argument(
        "--video-parts", type=Path, nargs="*", default=[], help="arrays of all parts in order, to be joined"
    )
    cli.add_settings(parser, landmarks.Settings)
    arguments = parser.parse_args()
    if arguments.video_parts:
        arrays.write(arguments.landmarks, parts.joined_landmarks(arguments.video_parts).items())
        return
    tracks = tables.read("tracks", arguments.tracks)
    marked = landmarks.mark(arguments.media, tracks, cli.settings_from(arguments, landmarks.Settings))
    arrays.write(arguments.landmarks, marked.items())


if __name__ == "__main__":
    cli.run(main)
