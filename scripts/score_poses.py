"""Score a pose model on pictures annotated like COCO-WholeBody and print the figures as JSON."""

import json
from pathlib import Path

from talking import poses
from talking.core import cli
from talking.scoring import poses as scoring


def main() -> None:
    """Read the arguments, the pictures and their annotations, print the figures."""
    parser = cli.parser(__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--annotations", type=Path, required=True, help="JSON file of COCO-WholeBody annotations")
    parser.add_argument("--threads", type=int, default=1, help="threads to use")
    cli.add_settings(parser, poses.Settings)
    arguments = parser.parse_args()
    settings = cli.settings_from(arguments, poses.Settings)
    figures = scoring.score(scoring.read(arguments.pictures, arguments.annotations), settings, arguments.threads)
    print(json.dumps({"model": settings.model, **figures}, indent=1))


if __name__ == "__main__":
    cli.run(main)
