"""Make the gallery: a page that plays every clip and every rejected segment with its labels."""

from pathlib import Path

from talking.clips import gates
from talking.core import cli
from talking.gallery import page
from talking.removal import removals
from talking.review import decisions


def main() -> None:
    """Read the arguments, make the page."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--gallery", type=Path, required=True, help="folder to write the page to, beside the data set")
    parser.add_argument("--threads", type=int, default=1, help="processes that share the work")
    decisions.add_argument(parser)
    removals.add_argument(parser)
    cli.add_settings(parser, page.Settings)
    cli.add_settings(parser, gates.Settings)
    arguments = parser.parse_args()
    limits = cli.settings_from(arguments, gates.Settings)
    settings = cli.settings_from(arguments, page.Settings)
    decided = decisions.read(arguments.review)
    page.draw(
        arguments.results,
        arguments.gallery,
        limits,
        settings,
        arguments.threads,
        decided,
        removals.read(arguments.removals),
    )


if __name__ == "__main__":
    cli.run(main)
