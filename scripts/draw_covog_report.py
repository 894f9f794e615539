"""Draw CovOG's training curves and write its metrics as a table to read."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and write both files."""
    parser = cli.parser(__doc__)
    parser.add_argument("--losses", type=Path, nargs="+", required=True, help="losses.parquet of each training")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.parquet of the evaluation")
    parser.add_argument("--curves", type=Path, required=True, help="svg to write")
    parser.add_argument("--table", type=Path, required=True, help="html to write")
    arguments = parser.parse_args()

    from covog import report
    from talking.core import tables

    report.draw_curves(arguments.losses, arguments.curves)
    report.write_metrics(tables.read("covog_metrics", arguments.metrics), arguments.losses, arguments.table)


if __name__ == "__main__":
    cli.run(main)
