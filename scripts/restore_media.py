"""Restore a video's mp4 and wav, to cut clips from: link them from results/media, or convert the source again."""

import argparse
from pathlib import Path

from talking.core import atomic, cli
from talking.core.errors import InputError
from talking.runs import sheet, summary
from talking.video import fetch, ingest


def main() -> None:
    """Read the arguments, link what is still there, else find or download the source and convert it."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet with the video's file")
    parser.add_argument("--video", required=True, help="id of the video in the sample sheet")
    parser.add_argument("--results", type=Path, required=True, help="folder of results")
    parser.add_argument("--media", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--wav", type=Path, required=True, help="16 kHz mono wav to write")
    parser.add_argument("--threads", type=int, default=2, help="threads of the encoder")
    cli.add_settings(parser, ingest.Settings)
    arguments = parser.parse_args()
    made = arguments.results / "media"
    files = {made / f"{arguments.video}.mp4": arguments.media, made / f"{arguments.video}.wav": arguments.wav}
    if not summary.is_usable(made / f"{arguments.video}.json"):
        for restored in files.values():
            restored.write_bytes(b"")
        return
    if not all(file.exists() for file in files):
        convert(arguments)
        return
    for file, restored in files.items():
        atomic.link(file, restored)


def convert(arguments: argparse.Namespace) -> None:
    """Convert the video's source as `ingest-media` does, downloading it first if need be; raises InputError if it cannot be read any more."""
    row = sheet.row_of(arguments.sheet, arguments.video)
    source = sheet.file_of(arguments.sheet, arguments.video, row["path"], arguments.results)
    downloaded = arguments.media.with_suffix(".bin")
    state, probe = arguments.media.with_suffix(".download.json"), arguments.media.with_suffix(".json")
    try:
        if sheet.is_url(row["path"]) and not source.exists():
            source = downloaded
            if reason := fetch.fetch(row["path"], source, state, row["sha256"]):
                raise InputError(reason)
        settings = cli.settings_from(arguments, ingest.Settings)
        result = ingest.ingest(
            source, arguments.media, arguments.wav, probe, settings, sha256=row["sha256"], threads=arguments.threads
        )
    finally:
        for file in (downloaded, state, probe):
            file.unlink(missing_ok=True)
    if result.status == "failed":
        raise InputError(result.reason)


if __name__ == "__main__":
    cli.run(main)
