"""Join the faces of a video into tracks."""

from pathlib import Path

from talking.core import cli, tables
from talking.faces import embedding, tracks
from talking.video import parts


def main() -> None:
    """Read the arguments, join the faces, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="table of results/faces/")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument(
        "--media", type=Path, required=True, help="video of results/media/, looked at where faces touch"
    )
    parser.add_argument("--tracks", type=Path, required=True, help="table to write")
    parser.add_argument(
        "--looks-model",
        choices=list(embedding.MODELS),
        default="dlib",
        help="embedding model that compares faces that touched",
    )
    parser.add_argument("--looks-weights", default="", help="its weights; not for dlib")
    parts.add_arguments(parser)
    cli.add_settings(parser, tracks.Settings)
    arguments = parser.parse_args()
    if arguments.video_parts:
        tables.write("tracks", parts.joined_table("tracks", arguments.video_parts), arguments.tracks)
        return
    faces, shots = tables.read("faces", arguments.faces), tables.read("shots", arguments.shots)
    shots = shots.iloc[parts.share(arguments.video_part, shots["end_frame"] - shots["start_frame"])]
    chosen = embedding.Settings(model=arguments.looks_model, weights=arguments.looks_weights)
    looks, settings = tracks.looks_in(arguments.media, chosen), cli.settings_from(arguments, tracks.Settings)
    tables.write("tracks", tracks.track(faces, shots, looks, settings), arguments.tracks)


if __name__ == "__main__":
    cli.run(main)
