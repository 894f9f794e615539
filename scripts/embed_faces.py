"""Embed the faces of every track of a video, to recognise persons."""

from pathlib import Path

from talking.core import arrays, cli, tables
from talking.core.arrays import opened
from talking.faces import embedding
from talking.video import parts


def main() -> None:
    """Read the arguments, embed the faces, write the arrays."""
    parser = cli.parser(__doc__)
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays of results/landmarks/")
    parser.add_argument("--embeddings", type=Path, required=True, help="arrays to write")
    parts.add_arguments(parser)
    cli.add_settings(parser, embedding.Settings)
    arguments = parser.parse_args()
    if arguments.video_parts:
        arrays.write(arguments.embeddings, parts.joined_embeddings(arguments.video_parts).items())
        return
    settings = cli.settings_from(arguments, embedding.Settings)
    tracks = tables.read("tracks", arguments.tracks)
    with opened(arguments.landmarks) as named:
        landmarks = {name: named[name] for name in embedding.MARKS if name in named}
    arrays.write(arguments.embeddings, embedding.embed(tracks, landmarks, settings, arguments.video_part).items())


if __name__ == "__main__":
    cli.run(main)
