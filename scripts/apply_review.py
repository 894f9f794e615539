"""Apply the decisions of reviewers to a table that a stage has just made; without decisions of its video it stays as it is."""

from pathlib import Path

from talking.core import cli

_TABLES = ("speaking", "words", "clips", "identities")


def main() -> None:
    """Read the arguments and the review, correct the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--review", required=True, help="review file; empty: nobody has reviewed anything")
    parser.add_argument("--video", help="id of the video, of a table of one video")
    parser.add_argument("--to", choices=_TABLES, required=True, help="what the table is")
    parser.add_argument(
        "--table", type=Path, required=True, help="the table, where it lies in the folder of the results"
    )
    arguments = parser.parse_args()
    if not arguments.review:
        return
    from talking.review import decisions

    found = decisions.of_videos(decisions.read(arguments.review))
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
    from talking.review.decisions import NAMED, Decision

    results = path.parent
    of_persons = [d for own in found.values() for d in own if d.field in NAMED]
    videos = {d.video for d in of_persons if (results / f"tracks/{d.video}.parquet").exists()}
    faces = {video: apply.read_faces(results, video) for video in videos}
    in_order = sorted(of_persons, key=Decision.moment)
    tables.write("identities", apply.identities(tables.read("identities", path), in_order, faces), path)


if __name__ == "__main__":
    cli.run(main)
