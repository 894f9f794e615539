"""Give up a video's job that has failed at its last attempt: write why, and its outputs without content, so that other videos go on."""

import sys
from pathlib import Path

from talking.core import cli
from talking.runs import giving_up


def main() -> None:
    """Read the arguments, write the record and the outputs; end as the job did if its failure says nothing of the video."""
    parser = cli.parser(__doc__)
    parser.add_argument("--rule", required=True, help="rule of the job")
    parser.add_argument("--video", required=True, help="id of the video")
    parser.add_argument("--status", type=int, required=True, help="what the job ended with")
    parser.add_argument("--log", type=Path, required=True, help="log of the job")
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("outputs", type=Path, nargs="+", help="outputs of the job")
    arguments = parser.parse_args()
    job = (arguments.results, arguments.video, arguments.rule, arguments.status, arguments.log, arguments.outputs)
    if not giving_up.give_up(*job):
        sys.exit(arguments.status)
    print(f"{arguments.video}: given up in this run; the next one tries {arguments.rule} again", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
