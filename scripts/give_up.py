"""Give up a video's job that has failed at its last attempt: write why, and its outputs without content, so that other videos go on."""

import os
import sys
from pathlib import Path

from talking.core import cli
from talking.runs import giving_up


def main() -> None:
    """Read the arguments, write the record and the outputs; end as the job did if it is tried again or its failure says nothing of the video."""
    parser = cli.parser(__doc__)
    parser.add_argument("status", type=int, help="what the job ended with")
    parser.add_argument("rule", help="rule of the job")
    parser.add_argument("video", help="id of the video")
    parser.add_argument(
        "attempt", type=int, help="which attempt this was; TALKING_RETRIES says how many more the job has"
    )
    parser.add_argument("log", type=Path, help="log of the job, below logs/ of the folder of results")
    parser.add_argument("outputs", type=Path, nargs="+", help="outputs of the job")
    of = parser.parse_args()
    results = next(folder.parent for folder in of.log.parents if folder.name == "logs")
    is_last = of.attempt > int(os.environ.get("TALKING_RETRIES", "0"))
    if not is_last or not giving_up.give_up(results, of.video, of.rule, of.status, of.log, of.outputs):
        sys.exit(of.status)
    with of.log.open("a") as log:
        print(f"{of.video}: given up in this run; the next one tries {of.rule} again", file=log)


if __name__ == "__main__":
    cli.run(main)
