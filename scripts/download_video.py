"""Download a video of the sheet; one that cannot be had gives an empty file and a reason."""

import sys
from pathlib import Path

from talking.core import cli
from talking.runs import sheet
from talking.video import fetch


def main() -> None:
    """Read the arguments, download the file, write what became of it."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sheet that names the URL")
    parser.add_argument("--video", required=True, help="id of the video in the sheet")
    parser.add_argument(
        "--file", type=Path, required=True, help="file to write; FILE.*.part keeps an unfinished download"
    )
    parser.add_argument("--state", type=Path, required=True, help="json to write: the reason of a failure, or empty")
    parser.add_argument("--tries", type=int, default=0, help="how often it has been tried in vain before")
    arguments = parser.parse_args()
    row = sheet.row_of(arguments.sheet, arguments.video)
    reason = fetch.fetch(row["path"], arguments.file, arguments.state, row["sha256"], arguments.tries)
    print(f"{arguments.video}: {reason or 'downloaded'}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
