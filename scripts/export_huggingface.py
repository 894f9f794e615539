"""Export the data set as Parquet shards for the library datasets of Hugging Face."""

from pathlib import Path

from talking.core import cli
from talking.dataset import export_huggingface, protect


def main() -> None:
    """Read the arguments, export."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    cli.add_settings(parser, export_huggingface.Settings)
    cli.add_settings(parser, protect.Settings)
    arguments = parser.parse_args()
    protection = cli.settings_from(arguments, protect.Settings)
    settings = cli.settings_from(arguments, export_huggingface.Settings)
    export_huggingface.export(arguments.dataset, arguments.out, settings, protection)


if __name__ == "__main__":
    cli.run(main)
