"""Fit an active-speaker model's score and its fusion to labelled videos, and write both into the calibration file."""

import json
from pathlib import Path

from talking import speaking
from talking.core import cli
from talking.core.atomic import atomic_write
from talking.speaking import calibration, fitting


def main() -> None:
    """Read the arguments, fit, write the calibration with the other models kept."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder results/ of a run over the labelled videos")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="{video}.frames.csv beside each video")
    parser.add_argument(
        "--model", choices=list(speaking.MODELS), default="lip_sync", help="active-speaker model to fit"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the roughening")
    parser.add_argument("--calibration", type=Path, default=calibration.PACKAGED, help="file to write")
    args = parser.parse_args()
    videos = [fitting.read(args.results, truth, args.model) for truth in args.truth]
    fitted = {args.model: fitting.fit(videos, args.model, args.seed)}
    with atomic_write(args.calibration) as aside:
        aside.write_text(json.dumps(calibration.load() | fitted, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
