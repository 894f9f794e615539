"""Print what changed from one data set to another, in Markdown: clips and persons that came, went or changed, and why."""

from pathlib import Path

from talking.core import cli, tables
from talking.dataset import changes


def main() -> None:
    """Read the arguments and both data sets, print the changes."""
    parser = cli.parser(__doc__)
    parser.add_argument("old", type=Path, help="folder of the older data set, such as old/results/dataset")
    parser.add_argument("new", type=Path, help="folder of the newer one; the results beside it say why clips changed")
    parser.add_argument("--table", type=Path, help="table of the changes to write")
    arguments = parser.parse_args()
    before, after = changes.read(arguments.old), changes.read(arguments.new)
    videos_before, why_gone = changes.videos_of(arguments.old), changes.why_gone(arguments.new.parent / "clips")
    found = changes.compare(before, after, videos_before, why_gone)
    if arguments.table:
        tables.write("changes", found, arguments.table)
    print(changes.text(found, before, after))


if __name__ == "__main__":
    cli.run(main)
