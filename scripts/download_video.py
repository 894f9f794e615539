"""Download a video of the sample sheet; a failed download gives an empty file and a reason."""

import sys
from pathlib import Path

from talking.core import cli
from talking.runs import sheet
from talking.video import fetch


def main() -> None:
    """Read the arguments, download the file, write the reason of a failure."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet with the URL")
    parser.add_argument("--video", required=True, help="id of the video in the sample sheet")
    parser.add_argument(
        "--file", type=Path, required=True, help="file to write; FILE.*.part keeps an unfinished download"
    )
    parser.add_argument("--state", type=Path, required=True, help="json to write: the reason of a failure, or empty")
    parser.add_argument("--tries", type=int, default=0, help="failed attempts before this one")
    arguments = parser.parse_args()
    row = sheet.row_of(arguments.sheet, arguments.video)
    reason = fetch.fetch(row["path"], arguments.file, arguments.state, row["sha256"], arguments.tries)
    print(f"{arguments.video}: {reason or 'downloaded'}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
