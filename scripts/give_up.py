"""Give up a video's job that has failed at its last attempt: write the reason and empty outputs, so that other videos go on."""

import os
import sys
from pathlib import Path

from talking.core import cli
from talking.runs import giving_up


def main() -> None:
    """Read the arguments, write the record and the outputs; end as the job did if it will be retried or its failure does not concern the video."""
    parser = cli.parser(__doc__)
    parser.add_argument("status", type=int, help="exit status of the job")
    parser.add_argument("rule", help="rule of the job")
    parser.add_argument("video", help="id of the video")
    parser.add_argument(
        "attempt",
        type=int,
        help="which attempt it was, from 1 on; TALKING_RETRIES in the environment is how many follow the first",
    )
    parser.add_argument("log", type=Path, help="log of the job, below results/logs")
    parser.add_argument("outputs", type=Path, nargs="+", help="outputs of the job")
    job = parser.parse_args()
    is_last = job.attempt > int(os.environ.get("TALKING_RETRIES") or 0)
    if not is_last or not giving_up.give_up(job.log, job.video, job.rule, job.status, job.outputs):
        sys.exit(job.status)
    with job.log.open("a", encoding="utf-8") as log:
        log.write(f"{job.video}: given up in this run; the next one tries {job.rule} again\n")


if __name__ == "__main__":
    cli.run(main)
