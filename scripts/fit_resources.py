"""Fit the requested memory and time of jobs to the benchmark files of past runs."""

from pathlib import Path

from talking.core import cli
from talking.core.errors import InputError
from talking.runs import costs


def main() -> None:
    """Read the benchmark files, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="folders of results of finished runs")
    parser.add_argument(
        "--table", type=Path, required=True, help="table to update, scripts/talking/runs/jobs.tsv of the clone"
    )
    parser.add_argument(
        "--clock",
        choices=["s", "cpu_time"],
        default="s",
        help="wall time, or processor time if the machine was busy with other work",
    )
    arguments = parser.parse_args()
    jobs = [job for results in arguments.results for job in costs.finished_jobs(results, arguments.clock)]
    if not jobs:
        raise InputError(f"{arguments.results[0]} has no benchmark files of videos; run the workflow first.")
    costs.write_needs(arguments.table, costs.fit(jobs, costs.read_needs(arguments.table)))


if __name__ == "__main__":
    cli.run(main)
