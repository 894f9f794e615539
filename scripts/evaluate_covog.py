"""Generate clips that training has not seen and write the table of metrics, with the paper's row."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and evaluate."""
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of covog/config.py's settings")
    parser.add_argument("--dataset", type=Path, required=True, help="results/dataset")
    parser.add_argument(
        "--model", action="append", required=True, help="NAME=WEIGHTS, or NAME=random, once for each model"
    )
    parser.add_argument(
        "--videos", type=Path, required=True, help="folder for the generated videos, with one folder a model"
    )
    parser.add_argument("--metrics", type=Path, required=True, help="table to write")
    parser.add_argument("--weights-dir", type=Path, help="folder of downloaded weights of evaluation networks (I3D)")
    arguments = parser.parse_args()

    from covog import command_line

    command_line.evaluate(arguments)


if __name__ == "__main__":
    cli.run(main)
