"""Find which face tracks of a video are one person, which are a living face, and who takes part."""

from pathlib import Path

from talking import people
from talking.core import cli, tables
from talking.core.arrays import opened
from talking.video import media


def main() -> None:
    """Read the arguments and the tables, find the persons, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--media", type=Path, required=True, help="video of results/media/")
    parser.add_argument("--shots", type=Path, required=True, help="table of results/shots/")
    parser.add_argument("--tracks", type=Path, required=True, help="table of results/tracks/")
    parser.add_argument("--landmarks", type=Path, required=True, help="arrays of results/landmarks/")
    parser.add_argument("--embeddings", type=Path, required=True, help="arrays of results/embeddings/")
    parser.add_argument("--asd", type=Path, required=True, help="table of results/asd/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--people", type=Path, required=True, help="table to write")
    parser.add_argument("--detector", required=True, help="the config's faces: model")
    cli.add_settings(parser, people.Settings)
    args = parser.parse_args()
    read = {name: tables.read(name, getattr(args, name)) for name in ("shots", "tracks", "asd", "voice")}
    with opened(args.landmarks) as marks, opened(args.embeddings) as embeddings:
        found = people.find(
            marks={name: marks[name] for name in people.MARKS},
            embeddings=dict(embeddings),
            size=media.size_and_length(args.media)[:2],
            detector=args.detector,
            settings=cli.settings_from(args, people.Settings),
            **read,
        )
    tables.write("persons", found, args.people)


if __name__ == "__main__":
    cli.run(main)
