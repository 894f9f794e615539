"""Write the page on how true the labels are from figures that score_labels printed."""

import os
from pathlib import Path

from talking.core import cli
from talking.core.atomic import atomic_write
from talking.scoring import accuracy


def main() -> None:
    """Read the arguments and the figures, write the page."""
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="folder with MODEL/VIDEO.json, as score_labels --model MODEL prints them")  # fmt: skip
    parser.add_argument("--real", type=Path, help="folder with MODEL/VIDEO.json, as score_labels --seen prints them")
    parser.add_argument("--turns", type=Path, nargs="*", default=[], help="files that score_turns printed")
    parser.add_argument("--poses", type=Path, nargs="*", default=[], help="files that score_poses printed")
    parser.add_argument("--picture", type=Path, help="calibration curve to draw (.svg) and show in the page")
    parser.add_argument("--page", type=Path, required=True, help="page to write (.md)")
    arguments = parser.parse_args()
    picture = ""
    if arguments.picture:
        accuracy.draw_calibration(arguments.scores, arguments.picture)
        picture = os.path.relpath(arguments.picture, arguments.page.parent)
    text = accuracy.page(arguments.scores, arguments.turns, arguments.poses, picture, arguments.real)
    with atomic_write(arguments.page) as aside:
        aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
