"""Look at the candidate clips of a video again: hands and writing over faces, people without a face, and fingerprints."""

from pathlib import Path

from talking.clips import inspection
from talking.core import cli, tables
from talking.video import parts


def main() -> None:
    """Read the arguments and tables, look at the clips, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="table of results/candidates/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--poses", type=Path, required=True, help="arrays of results/poses/")
    parser.add_argument("--inspections", type=Path, required=True, help="table to write")
    parts.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.video_parts:
        tables.write("inspections", parts.joined_table("inspections", arguments.video_parts), arguments.inspections)
        return
    candidates = parts.candidates_of(arguments.video_part, tables.read("candidates", arguments.candidates))
    tracks = tables.read("tracks", arguments.tracks)
    found = inspection.inspect(arguments.media, arguments.sound, candidates, tracks, arguments.poses)
    tables.write("inspections", found, arguments.inspections)


if __name__ == "__main__":
    cli.run(main)
