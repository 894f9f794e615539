"""Write the whole config of a CovOG run: a preset with the changes of the workflow's config."""

from pathlib import Path

from covog.config import PRESETS
from talking.core import cli


def main() -> None:
    """Read the arguments and write the config."""
    parser = cli.parser(__doc__)
    parser.add_argument("--preset", required=True, choices=PRESETS, help="settings to begin with")
    parser.add_argument("--settings", default="{}", help="JSON of the keys that differ from the preset")
    parser.add_argument("--baseline", action="store_true", help="without audio driver and person masks")
    parser.add_argument("--out", type=Path, required=True, help="YAML file to write")
    arguments = parser.parse_args()

    from covog import presets

    presets.configure(arguments)


if __name__ == "__main__":
    cli.run(main)
