"""Estimate the 133 keypoints of every person in the candidate clips of a video."""

from pathlib import Path

from talking import poses
from talking.core import arrays, cli, tables
from talking.core.arrays import opened


def main() -> None:
    """Read the arguments and tables, estimate the poses, write them clip by clip."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="candidate clips of results/candidates/")
    parser.add_argument("--tracks", type=Path, required=True, help="face tracks of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="face points of results/landmarks/")
    parser.add_argument("--poses", type=Path, required=True, help="npz file to write")
    parser.add_argument("--threads", type=int, default=1, help="threads to use")
    cli.add_settings(parser, poses.Settings)
    arguments = parser.parse_args()
    with opened(arguments.landmarks) as landmarks:
        named = poses.estimate(
            arguments.media,
            tables.read("candidates", arguments.candidates),
            tables.read("tracks", arguments.tracks),
            {name: landmarks[name] for name in ("track", "points", "score")},
            cli.settings_from(arguments, poses.Settings),
            arguments.threads,
        )
        arrays.write(arguments.poses, named)


if __name__ == "__main__":
    cli.run(main)
