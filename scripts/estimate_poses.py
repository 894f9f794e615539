"""Estimate the 133 keypoints of every person in the candidate clips of a video."""

import argparse
from pathlib import Path

from talking import poses
from talking.core import arrays, cli, tables
from talking.core.arrays import opened
from talking.poses.looks import Store
from talking.video import parts


def main() -> None:
    """Read the arguments and tables, estimate the poses, write them clip by clip."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="candidate clips of results/candidates/")
    parser.add_argument("--tracks", type=Path, required=True, help="face tracks of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="face points of results/landmarks/")
    parser.add_argument("--poses", type=Path, required=True, help="npz file to write")
    parser.add_argument("--threads", type=int, default=1, help="threads to use")
    parser.add_argument(
        "--keep-looks",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep what the model has found beside the poses (POSES without suffix + .looks), for runs with other clips",
    )
    parts.add_arguments(parser)
    cli.add_settings(parser, poses.Settings)
    arguments = parser.parse_args()
    if arguments.video_parts:
        arrays.write(arguments.poses, parts.joined_names(arguments.video_parts))
        return
    settings = cli.settings_from(arguments, poses.Settings)
    candidates = tables.read("candidates", arguments.candidates)
    store = None
    if len(parts.candidates_of(arguments.video_part, candidates)):
        store = Store(arguments.poses.with_suffix(".looks"), poses.dependencies(arguments.media, settings))
    with opened(arguments.landmarks) as landmarks:
        of_landmarks = {name: landmarks[name] for name in ("track", "points", "score")}
    tracks = tables.read("tracks", arguments.tracks)
    named = poses.estimate(
        arguments.media, candidates, tracks, of_landmarks, settings, arguments.threads, store, arguments.video_part
    )
    arrays.write(arguments.poses, named)
    if store is not None:
        store.close(keep=arguments.keep_looks)


if __name__ == "__main__":
    cli.run(main)
