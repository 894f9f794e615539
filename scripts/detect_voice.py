"""Find the frames of a video in which anybody speaks."""

from pathlib import Path

from talking.core import cli, tables
from talking.sound import voice
from talking.speech import voice_witness


def main() -> None:
    """Read the arguments, find the voice, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--voice", type=Path, required=True, help="table to write")
    cli.add_settings(parser, voice.Settings)
    arguments = parser.parse_args()
    tables.write(
        "voice", voice_witness.detect(arguments.sound, cli.settings_from(arguments, voice.Settings)), arguments.voice
    )


if __name__ == "__main__":
    cli.run(main)
