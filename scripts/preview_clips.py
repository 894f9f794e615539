"""Make a video of each kept clip of a source video with its labels burned in."""

from pathlib import Path

from talking.core import cli, tables
from talking.dataset import preview, protect


def main() -> None:
    """Read the arguments and the data set's clips, make a preview of each of the video's."""
    parser = cli.parser(__doc__)
    parser.add_argument("--video", required=True, help="id of the video")
    parser.add_argument(
        "--clips", type=Path, required=True, help="table of the data set, results/dataset/clips.parquet"
    )
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the clips' folders")
    parser.add_argument("--previews", type=Path, required=True, help="folder to write the videos to")
    cli.add_settings(parser, preview.Settings)
    cli.add_settings(parser, protect.Settings)
    arguments = parser.parse_args()
    protection = cli.settings_from(arguments, protect.Settings)
    clips = tables.read("dataset", arguments.clips)
    own = clips[clips["video"] == arguments.video]
    settings = cli.settings_from(arguments, preview.Settings)
    preview.previews(own, arguments.dataset, arguments.previews, settings, protection)


if __name__ == "__main__":
    cli.run(main)
