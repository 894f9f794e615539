"""Make a synthetic video of a conversation of 1-4 people, and write its true labels beside it."""

from pathlib import Path

from talking import film
from talking.core import cli


def main() -> None:
    """Read the arguments, make the video."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="video to write (.mp4); the files of true labels get the same name"
    )
    cli.add_settings(parser, film.Settings)
    arguments = parser.parse_args()
    film.film(cli.settings_from(arguments, film.Settings), arguments.out)


if __name__ == "__main__":
    cli.run(main)
