"""Add the annotations of Label Studio to a review file."""

from pathlib import Path

from talking.core import cli
from talking.review import decisions, label_studio


def main() -> None:
    """Read the arguments, the annotations and the review file, if there is one, and write both into that."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--annotations", type=Path, required=True, help="annotated tasks, exported by Label Studio as JSON"
    )
    parser.add_argument("--review", type=Path, required=True, help="review file to make or to add to")
    arguments = parser.parse_args()
    known = decisions.read(arguments.review) if arguments.review.exists() else []
    new = [decision for decision in label_studio.read(arguments.annotations) if decision not in known]
    # Checked before anything is written.
    decisions.parse(decisions.text(new), arguments.annotations)
    decisions.write([*known, *new], arguments.review)
    print(f"{len(new)} decisions added to {arguments.review}")


if __name__ == "__main__":
    cli.run(main)
