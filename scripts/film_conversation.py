"""Film a conversation of 1-4 people whose truth is known, and write its truth beside it."""

from pathlib import Path

from talking import film
from talking.core import cli


def main() -> None:
    """Read the arguments, film the conversation."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="video to write (.mp4); the truth gets the same name")
    cli.add_settings(parser, film.Settings)
    arguments = parser.parse_args()
    film.film(cli.settings_from(arguments, film.Settings), arguments.out)


if __name__ == "__main__":
    cli.run(main)
