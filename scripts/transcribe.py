"""Transcribe a video: words with their times."""

from pathlib import Path

from talking.core import cli, tables
from talking.speech import words


def main() -> None:
    """Read the arguments, transcribe the sound, write the tables."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--transcript", type=Path, required=True, help="table of words to write")
    parser.add_argument(
        "--pieces", type=Path, required=True, help="table of pieces of speech to write, with what was not understood"
    )
    cli.add_settings(parser, words.Settings)
    arguments = parser.parse_args()
    settings = cli.settings_from(arguments, words.Settings)
    transcript, pieces = words.transcribe(arguments.sound, tables.read("voice", arguments.voice), settings)
    tables.write("transcript", transcript, arguments.transcript)
    tables.write("pieces", pieces, arguments.pieces)


if __name__ == "__main__":
    cli.run(main)
