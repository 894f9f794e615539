"""Remove a person, a video or a range of a video on request: add it to the file of removals, which the next run follows.

--purge also deletes what stages have made of all that is in the file, while no run is at work there.
"""

import argparse
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from talking.core import cli, tables
from talking.core.errors import InputError
from talking.faces import identities
from talking.removal import purge, removals, seen
from talking.removal.removals import Removal


def main() -> None:
    """Read the arguments, add the rows, delete if asked, say what the next run does."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument(
        "--removals",
        type=Path,
        help=f"file of removals to make or to add to; not given: {removals.USUAL} beside the folder of the results",
    )
    parser.add_argument("--video", default="", help="id of the video to remove, or a range of it")
    parser.add_argument("--start-s", type=float, help="where the range begins, in seconds of the video")
    parser.add_argument("--end-s", type=float, help="where it ends")
    parser.add_argument("--clip", default="", help="a clip that shows the person to remove")
    parser.add_argument(
        "--person",
        default="",
        help="the person's number in the clip from the left, from 0; a bystander's, as in the gallery: b0; or, without --clip, name",
    )
    parser.add_argument(
        "--ranges",
        action="store_true",
        help="remove the ranges in which the person is seen or heard now and keep no face: the person is not recognised in videos that are added later",
    )
    parser.add_argument("--date", default=date.today().isoformat(), help="date of the request")
    parser.add_argument("--reason", default="", help="why; it is copied nowhere")
    parser.add_argument("--purge", action="store_true", help="delete what stages have made of all that was removed")
    cli.add_settings(parser, identities.Settings)
    arguments = parser.parse_args()
    results, same_person = arguments.results, arguments.same_person
    if not results.is_dir():
        raise InputError(f"{results} is no folder; name the folder of the results.")
    file = arguments.removals or results.absolute().parent / removals.USUAL
    known = removals.read(file if file.exists() else None)
    if arguments.video or arguments.clip or arguments.person:
        rows = _rows(arguments, file)
        removals.add(file, rows)
        known = removals.read(file)
        seen.keep_faces(known, results, same_person)
        print(
            f"{len(rows)} rows added to {file}. The next run leaves them out (config key removals, if it is elsewhere)."
        )
        for video in _shown_again(rows, results):
            print(f"{video} has clips that show the same: remove it too, if it is a copy.")
    if arguments.purge:
        with _no_run_at_work(results):
            known = purge.purge(known, results, same_person)
        print(
            f"what stages have made of all that was removed ({_told(known)}) was deleted; the next run makes the data set and exports without it."
        )
    elif not known.rows:
        raise InputError("name what to remove: --video, --clip and --person, or --person; or --purge.")
    if any(results.glob("covog/*/stage*/weights.safetensors")):
        print("A trained CovOG model does not forget: covog={train: latest} trains it again without what was removed.")


def _rows(arguments: argparse.Namespace, file: Path) -> list[Removal]:
    """Return the rows to add; raises InputError if there is no such video or person among the results."""
    named = {name: getattr(arguments, name) for name in ("video", "clip", "person", "date", "reason")}
    times = {name: "" if (at := getattr(arguments, name)) is None else str(at) for name in ("start_s", "end_s")}
    row, results = removals.removal("the command line", named | times), arguments.results
    if row.video:
        probe = results / f"media/{row.video}.json"
        if not probe.exists():
            raise InputError(
                f"{probe} does not exist: {row.video} is no video of these results; look its id up in the sample sheet."
            )
        return [row]
    face = seen.face_of(row, file, results, arguments.same_person)
    if not arguments.ranges:
        return [row]
    spans = {
        video: seen.spans(results, video, [face], arguments.same_person) for video in seen.videos(results, "clips")
    }
    return [Removal(video, span, date=row.date, reason=row.reason) for video, of in spans.items() for span in of]


def _shown_again(rows: list[Removal], results: Path) -> list[str]:
    """Return the videos with duplicates of clips that are removed, which are not removed themselves."""
    path, removed = results / "duplicates.parquet", removals.Removals(tuple(rows))
    pairs = tables.read("duplicates", path)[["clip", "duplicate_of"]].to_numpy() if path.exists() else []
    places = [[removals.video_and_span(clip) for clip in pair] for pair in pairs]
    gone = [[removed.is_gone(*place) for place in pair] for pair in places]
    return sorted(
        {
            video
            for pair, of in zip(places, gone, strict=True)
            if any(of)
            for (video, _), is_gone in zip(pair, of, strict=True)
            if not is_gone
        }
    )


@contextmanager
def _no_run_at_work(results: Path) -> Iterator[None]:
    """Hold the lock that a run of this folder holds; raises InputError if one does."""
    lock = results.absolute().parent / ".snakemake/at_work"
    if not lock.exists():
        yield
        return
    with lock.open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"a run is at work in {lock.parents[1]}; wait for its end.") from None
        yield


def _told(known: removals.Removals) -> str:
    return ", ".join(f"{name} {count}" for name, count in known.counts().items())


if __name__ == "__main__":
    cli.run(main)
