"""Reject the clips of a table that show or let hear what was removed, or leave removed persons out of the identities."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and the removals, correct the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--removals", required=True, help="file of removals; empty: nothing was removed")
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--video", help="id of the video, for --clips")
    table = parser.add_mutually_exclusive_group(required=True)
    table.add_argument("--clips", type=Path, help="table of results/clips/")
    table.add_argument("--identities", type=Path, help="table identities")
    parser.add_argument("--same-person", type=float, default=0.0, help="as identities.same_person of the config")
    arguments = parser.parse_args()
    if not arguments.removals:
        return
    from talking.core import tables
    from talking.removal import apply, removals

    removed, results = removals.read(arguments.removals), arguments.results
    if arguments.identities:
        known = tables.read("identities", arguments.identities)
        left = apply.identities(known, removed, results, arguments.same_person)
        tables.write("identities", left, arguments.identities)
        return
    spans = apply.removed_spans(removed, results, arguments.same_person)(arguments.video)
    tables.write("clips", apply.clips(tables.read("clips", arguments.clips), spans), arguments.clips)


if __name__ == "__main__":
    cli.run(main)
