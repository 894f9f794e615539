"""Train one stage of CovOG on the data set; a rerun continues from the last checkpoint."""

import os
from pathlib import Path

from talking.core import cli
from talking.runs import made


def main() -> None:
    """Read the arguments and train."""
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of covog/config.py's settings")
    parser.add_argument("--stage", type=int, choices=[1, 2], required=True, help="1: stills, 2: video and sound")
    parser.add_argument("--dataset", type=Path, required=True, help="results/dataset")
    parser.add_argument("--folder", type=Path, required=True, help="folder for weights, losses and checkpoints")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="weights to start from; else random ones")
    parser.add_argument("--latents", type=Path, help="folder that cache_latents.py has filled")
    parser.add_argument(
        "--allow-empty", action="store_true", help="with too few clips, write empty files instead of failing"
    )
    parser.add_argument(
        "--log", type=Path, help="log of the workflow's job, to write the checksums of what it has made"
    )
    arguments = parser.parse_args()

    from covog import config, hearing, train

    settings = config.load(arguments.config)
    train.train(
        settings,
        arguments.stage,
        arguments.dataset,
        arguments.folder,
        start=arguments.start,
        cache=arguments.latents,
        allow_empty=arguments.allow_empty,
    )
    # Of several processes the one that has written the files.
    if arguments.log is not None and os.environ.get("RANK", "0") == "0":
        written = [arguments.folder / name for name in ("weights.safetensors", "losses.parquet", hearing.FILE)]
        made.record(arguments.log, [file for file in written if file.exists()])


if __name__ == "__main__":
    cli.run(main)
