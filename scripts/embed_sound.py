"""Embed the sound of the candidate clips of a video, one row a frame."""

from pathlib import Path

from talking import arrays, cli, sound, tables


def main() -> None:
    """Read the arguments, embed clip by clip, write the arrays."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="table of results/candidates/")
    parser.add_argument("--embedded", type=Path, required=True, help="npz file to write")
    cli.add_settings(parser, sound.Settings)
    arguments = parser.parse_args()
    candidates = tables.read("candidates", arguments.candidates)
    rows = sound.embed(arguments.sound, candidates, cli.settings_from(arguments, sound.Settings))
    arrays.write(arguments.embedded, rows)


if __name__ == "__main__":
    cli.run(main)
