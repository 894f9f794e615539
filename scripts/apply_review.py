"""Apply the decisions of reviewers to a table that a stage has just made; without decisions of its video it stays as it is."""

from pathlib import Path

from talking.core import cli
from talking.review import decisions

_TABLES = ("speaking", "words", "clips", "identities")


def main() -> None:
    """Read the arguments and the review, correct the table."""
    parser = cli.parser(__doc__)
    decisions.add_argument(parser)
    parser.add_argument("--video", help="id of the video, of a table of one video")
    parser.add_argument("--to", choices=_TABLES, required=True, help="what the table is")
    parser.add_argument(
        "--table", type=Path, required=True, help="the table, where it lies in the folder of the results"
    )
    arguments = parser.parse_args()
    found = decisions.of_videos(decisions.read(arguments.review))
    if not found:
        return
    if arguments.to == "identities":
        _correct_identities(arguments.table, found)
    elif own := found.get(arguments.video):
        _correct(arguments.table, arguments.video, arguments.to, own)


def _correct(path: Path, video: str, to: str, own: list) -> None:
    from talking.core import tables
    from talking.review import apply

    table = tables.read(to, path)
    match to:
        case "speaking":
            table = apply.speaking(table, own, apply.read_faces(path.parents[1], video))
        case "words":
            table = apply.words(table, own)
        case "clips":
            table = apply.clips(table, own)
    tables.write(to, table, path)


def _correct_identities(path: Path, found: dict) -> None:
    from talking.core import tables
    from talking.review import apply

    results = path.parent
    of_persons = [d for own in found.values() for d in own if d.field in decisions.NAMED]
    videos = {d.video for d in of_persons if (results / f"tracks/{d.video}.parquet").exists()}
    faces = {video: apply.read_faces(results, video) for video in videos}
    in_order = sorted(of_persons, key=decisions.Decision.moment)
    tables.write("identities", apply.identities(tables.read("identities", path), in_order, faces), path)


if __name__ == "__main__":
    cli.run(main)
