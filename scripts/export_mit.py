"""Export the data set in the folder layout of the published MIT data set."""

from pathlib import Path

from talking.core import cli
from talking.dataset import export_mit, protect


def main() -> None:
    """Read the arguments, export."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--threads", type=int, default=1, help="clips written at a time")
    cli.add_settings(parser, export_mit.Settings)
    cli.add_settings(parser, protect.Settings)
    arguments = parser.parse_args()
    protection = cli.settings_from(arguments, protect.Settings)
    settings = cli.settings_from(arguments, export_mit.Settings)
    export_mit.export(arguments.dataset, arguments.out, settings, arguments.threads, protection)


if __name__ == "__main__":
    cli.run(main)
