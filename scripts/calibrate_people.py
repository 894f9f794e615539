"""Fit the weights that decide which faces are living and who takes part to labelled videos, and write them into the calibration file."""

import json
from pathlib import Path

from talking.core import cli
from talking.core.atomic import atomic_write
from talking.people import calibration, fitting


def main() -> None:
    """Read the arguments, fit, print the accuracy on each video of a fit to the others, write the calibration with other detectors kept."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder results/ of a run over the labelled videos")
    parser.add_argument(
        "--truth",
        type=Path,
        nargs="+",
        required=True,
        help="truth written by eye (.json) or of synthetic videos (.boxes.csv)",
    )
    parser.add_argument("--detector", default="centerface", help="the config's faces: model of that run")
    parser.add_argument("--calibration", type=Path, default=calibration.PACKAGED, help="file to write")
    args = parser.parse_args()
    parts = {truth.name: fitting.examples(args.results, truth, args.detector) for truth in args.truth}
    print(fitting.left_out(parts, args.detector).to_string(index=False))
    fitted = fitting.calibrations(list(parts.values()), args.detector)
    kept = calibration.load()
    merged = {kind: kept[kind] | entries for kind, entries in fitted.items()}
    with atomic_write(args.calibration) as aside:
        aside.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
