"""Get one file of published weights, from a folder or by download, and check it."""

import json
import sys
from pathlib import Path

from covog import weights
from talking.core import cli


def main() -> None:
    """Read the arguments and get the file."""
    parser = cli.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the entry in scripts/covog/weights.yaml")
    parser.add_argument("--entry", type=json.loads, required=True, help="the entry itself, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--weights-dir", type=Path, help="folder that is searched before anything is downloaded")
    arguments = parser.parse_args()
    how = weights.obtain(arguments.name, arguments.entry, arguments.out, arguments.weights_dir)
    print(f"{arguments.name}: {how}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
