"""Export the data set as WebDataset tar shards."""

from pathlib import Path

from talking.core import cli
from talking.dataset import export


def main() -> None:
    """Read the arguments, export."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    cli.add_settings(parser, export.ShardSettings)
    arguments = parser.parse_args()
    export.export_shards(arguments.dataset, arguments.out, cli.settings_from(arguments, export.ShardSettings))


if __name__ == "__main__":
    cli.run(main)
