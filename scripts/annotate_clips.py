"""Make the folder of every kept clip of a video: pictures, sound, labels, poses and sound features."""

from pathlib import Path

from talking.core import cli, tables
from talking.dataset import annotate
from talking.review import decisions
from talking.runs import giving_up

_FILES = {
    "media": "video of results/media/",
    "wav": "its sound",
    "tracks": "table of results/tracks/",
    "speaking": "table of results/speaking/",
    "words": "table of results/speech/",
    "poses": "arrays of results/poses/",
    "sound": "folder of results/sound/",
}


def main() -> None:
    """Read the arguments, make the folders, write their index."""
    parser = cli.parser(__doc__)
    parser.add_argument("--video", required=True, help="id of the video")
    for column in ("source", "licence", "url"):
        parser.add_argument(f"--{column}", default="", help=f"{column} of the video")
    parser.add_argument("--clips", type=Path, required=True, help="table of results/clips/")
    for name, meaning in _FILES.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=meaning)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the clips' folders")
    parser.add_argument(
        "--results", type=Path, help="folder of the results: nothing is made of a video on which a stage has failed"
    )
    decisions.add_argument(parser)
    parser.add_argument("--annotations", type=Path, required=True, help="table to write")
    cli.add_settings(parser, annotate.Settings)
    arguments = parser.parse_args()
    sheet = {column: getattr(arguments, column) for column in ("source", "licence", "url")}
    decided = decisions.of_videos(decisions.read(arguments.review))
    files = {name: getattr(arguments, name) for name in _FILES}
    sources = annotate.Sources(**files, sheet=sheet, decisions=decided.get(arguments.video, ()))
    settings = cli.settings_from(arguments, annotate.Settings)
    clips = tables.read("clips", arguments.clips)
    if arguments.results is not None and giving_up.left_out(arguments.results, {arguments.video}, "annotations"):
        clips = clips.head(0)
    index = annotate.annotate(clips, arguments.video, sources, arguments.dataset, settings)
    tables.write("annotations", index, arguments.annotations)


if __name__ == "__main__":
    cli.run(main)
