"""Check every file of the results against the checksums that its job has written, while no run is at work on them.

Other bytes, files that are gone from a clip's folder and times that lie in the future are reported; with --remove damaged files are
removed with what was made of them, so that the next run rebuilds them, and times of the future become the present. So are the
outputs without content of jobs that were given up, which the next run tries again in any case, but where the folder was copied
without Snakemake's records. A missing file that Snakemake knows is no damage: it is rebuilt when a job needs it.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from talking.core import cli, tables
from talking.core.errors import InputError
from talking.runs import sheet, verify
from talking.runs.stages import job_of


def main() -> None:
    """Read the arguments, check the files, report and remove; end with status 1 if something is wrong and stays so."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument(
        "--sheet", type=Path, help="sample sheet: what nothing could rebuild, as its video is not there, is not removed"
    )
    parser.add_argument(
        "--remove", action="store_true", help="remove what is damaged and what was made of it, and mend times"
    )
    parser.add_argument("--threads", type=int, default=4, help="files that are read at a time")
    arguments = parser.parse_args()
    results = arguments.results
    if not results.is_dir():
        raise InputError(f"{results} is no folder; name the folder of the results.")
    faults = verify.check(results, arguments.threads, _shown)
    given_up, ahead = verify.given_up(results), verify.of_the_future(results)
    files = defaultdict(list)
    for fault in (*given_up, *faults):
        print(f"{results / fault.file} {fault.what}.")
        files[fault.place].append(fault.file)
    for file in ahead:
        print(f"{results / file} has a time in the future.")
    kept = {place: why for place in files if (why := _why_kept(results, place, arguments.sheet))}
    for place, why in kept.items():
        print(f"{place} is not removed: {why}")
    places = verify.removal(results, files.keys() - kept.keys())
    print(
        f"{len(faults)} damaged files, {len(given_up)} without content of jobs that were given up, {len(ahead)} with a time"
        " in the future."
    )
    if arguments.remove:
        for place in places:
            print(f"removed: {place} ({verify.remove(results, place, files.get(place, ()))} files)")
        verify.bring_to_the_present(results, filter(lambda file: (results / file).exists(), ahead))
        sys.exit(bool(kept))
    if places:
        print(f"--remove removes what these jobs have made, and the next run rebuilds it: {' '.join(places)}")
    # The next run tries again what was given up.
    sys.exit(bool(faults or ahead))


def _shown(found: Iterable, count: int) -> Iterable:
    from tqdm import tqdm

    return tqdm(found, total=count, desc="verify", unit=" files", mininterval=10 if not sys.stderr.isatty() else 0.1)


def _why_kept(results: Path, place: str, sample_sheet: Path | None) -> str:
    """Return why the files of a damaged job are kept, "" if they may be removed."""
    name, about = job_of(place)
    if name == "media" and sample_sheet is not None:
        path = dict(sheet.read_sheet(sample_sheet)[["video", "path"]].itertuples(index=False)).get(about)
        if path and not (sheet.is_url(path) or sheet.film_of(path)):
            source = sheet.file_of(sample_sheet, about, path)
            if not source.is_file():
                return f"{source} is not there any more, of which it could be rebuilt; put it back."
    models = {
        job_of(p)[1] for p in verify.removal(results, [place]) if job_of(p)[0] in ("covog/stage1", "covog/stage2")
    }
    for model in sorted(models):
        if not _is_data_set_of_training(results, model, sample_sheet):
            return (
                f"the data set is not the one that {model} was trained on, and training would begin again: put a copy of"
                " the damaged file back, or have CovOG trained again by covog: {train: latest}."
            )
    return ""


def _is_data_set_of_training(results: Path, model: str, sample_sheet: Path | None) -> bool:
    """Return True if the data set is the one that a model was trained on, and a run has no video to add or to take away."""
    # Here, as it imports what reads videos.
    from talking.dataset import store

    provenance = results / f"covog/{model}/stage2/provenance.json"
    if not provenance.exists():
        return True
    try:
        known = json.loads(provenance.read_text(encoding="utf-8"))["data_set_sha256"]
        there = set(tables.read("videos", results / "videos.parquet")["video"])
        is_of_sheet = sample_sheet is None or there == set(sheet.read_sheet(sample_sheet)["video"])
        return is_of_sheet and known == store.data_set_hash(results / "dataset")
    except (OSError, ValueError, KeyError, InputError):
        return False


if __name__ == "__main__":
    cli.run(main)
