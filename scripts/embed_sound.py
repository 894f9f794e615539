"""Embed the sound of the candidate clips of a video, one row a frame."""

from pathlib import Path

from talking.core import cli, tables
from talking.core.errors import InputError
from talking.sound import embeddings


def main() -> None:
    """Read the arguments, embed clip by clip, write the files."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--candidates", type=Path, required=True, help="table of results/candidates/")
    parser.add_argument("--speaking", type=Path, nargs="?", help="table of results/speaking/; only for --sound-mode per_person")  # fmt: skip
    parser.add_argument("--embedded", type=Path, required=True, help="folder to write, with a file for each clip")
    parser.add_argument(
        "--dataset", type=Path, help="folder of the clips' folders: features that one has are not computed again"
    )
    cli.add_settings(parser, embeddings.Settings)
    arguments = parser.parse_args()
    candidates = tables.read("candidates", arguments.candidates)
    settings = cli.settings_from(arguments, embeddings.Settings)
    if settings.sound_mode == "per_person" and arguments.speaking is None:
        raise InputError("--sound-mode per_person needs --speaking, the table of who speaks.")
    if settings.overlap != "none" and settings.sound_mode != "per_person":
        raise InputError(f"--overlap {settings.overlap} needs --sound-mode per_person.")
    speaking = tables.read("speaking", arguments.speaking) if arguments.speaking else None
    embeddings.write(arguments.embedded, arguments.sound, candidates, settings, speaking, arguments.dataset)


if __name__ == "__main__":
    cli.run(main)
