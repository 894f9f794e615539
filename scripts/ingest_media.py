"""Convert a video of the sample sheet to 25 fps mp4, 16 kHz wav and a probe; an unreadable one gives empty files and a reason."""

import sys
from pathlib import Path

from talking.core import cli
from talking.runs import sheet
from talking.video import fetch, ingest


def main() -> None:
    """Read the arguments, find the video's file, convert it."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet with the video's file")
    parser.add_argument("--video", required=True, help="id of the video in the sample sheet")
    parser.add_argument(
        "--results", type=Path, required=True, help="folder of results, with downloads and synthetic videos"
    )
    parser.add_argument("--media", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--wav", type=Path, required=True, help="16 kHz mono wav to write")
    parser.add_argument("--probe", type=Path, required=True, help="json to write: status, reason, size, length, ...")
    parser.add_argument("--threads", type=int, default=2, help="threads of the encoder")
    cli.add_settings(parser, ingest.Settings)
    arguments = parser.parse_args()
    row = sheet.row_of(arguments.sheet, arguments.video)
    source = sheet.file_of(arguments.sheet, arguments.video, row["path"], arguments.results)
    result = ingest.ingest(
        source,
        arguments.media,
        arguments.wav,
        arguments.probe,
        cli.settings_from(arguments, ingest.Settings),
        sha256=row["sha256"],
        reason=fetch.reason_of(source) if sheet.is_url(row["path"]) else "",
        threads=arguments.threads,
    )
    print(f"{arguments.video}: {result.status} {result.reason}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
