"""Compute the outputs of the frozen encoders for every frame of the data set, once."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and fill the cache."""
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of covog/config.py's settings")
    parser.add_argument("--dataset", type=Path, required=True, help="results/dataset")
    parser.add_argument("--latents", type=Path, required=True, help="folder to fill, one file a clip")
    arguments = parser.parse_args()

    from covog import command_line, config, latents
    from talking.dataset import store

    clips = [clip for part in store.SPLITS for clip in store.split(arguments.dataset, part)]
    latents.cache_all(clips, arguments.latents, config.load(arguments.config), command_line.device())


if __name__ == "__main__":
    cli.run(main)
