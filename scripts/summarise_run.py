"""Print the result of a run and, from its log, what failed; with --strict fail if a video could not be read, with --no-failures if one broke a stage."""

from pathlib import Path

from talking.core import cli
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.runs import failures, giving_up, summary
from talking.runs.sheet import read_sheet

_MOST_TOLD = 20


def main() -> None:
    """Print the summary, or check that every video could be read."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet")
    parser.add_argument("--edited", type=Path, help="the user's sample sheet, if --sheet is a copy of it")
    parser.add_argument("--strict", type=Path, metavar="OK", help="file to write if every video could be read")
    parser.add_argument(
        "--no-failures", type=Path, metavar="OK", help="file to write if no stage has failed on a video in this run"
    )
    parser.add_argument("--run-log", type=Path, help="Snakemake's log of a run that failed, below .snakemake/log")
    arguments = parser.parse_args()
    videos = read_sheet(arguments.sheet)["video"]
    if arguments.no_failures is not None:
        broken = giving_up.of_videos(arguments.results, set(videos), "failures")
        if broken:
            told = " ".join(f"{video}: {failure.reason}" for video, failure in list(broken.items())[:_MOST_TOLD])
            raise InputError(
                f"{len(broken)} of {len(videos)} videos failed and are left out: {told} The next run tries them again; "
                f"{arguments.results / 'videos.parquet'} has all of them, results/logs what their jobs wrote."
            )
        _write_ok(arguments.no_failures)
        return
    if arguments.strict is None:
        print(summary.closing_words(arguments.results.absolute(), videos, arguments.edited or arguments.sheet))
        if arguments.run_log is not None:
            print(failures.told(arguments.run_log))
        return
    failed = [
        f"{v}: {reason}"
        for v, status, reason in summary.unread(arguments.results, videos, "strict")
        if status == "failed"
    ]
    if failed:
        raise InputError("strict is on and these videos could not be read: " + " ".join(failed))
    _write_ok(arguments.strict)


def _write_ok(path: Path) -> None:
    with atomic_write(path) as aside:
        aside.write_text("ok\n")


if __name__ == "__main__":
    cli.run(main)
