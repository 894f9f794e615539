"""The sheet of videos: where it is, what its rows name, and the copy of it that the jobs of a run read."""

import csv
import hashlib
import io
import itertools

# With one of these nothing is planned.
NO_RUN = {"--report", "--unlock", "--lint", "--summary", "--detailed-summary", "--cleanup-metadata"}


def resolved_sheet(path):
    """Return the sheet's absolute path: below the working directory, else where the command was typed, else the project."""
    path = os.path.expanduser(path)
    typed_in = os.environ.setdefault("TALKING_TYPED_IN", os.environ.get("PWD", "."))
    for folder in (".", typed_in, Path(workflow.basedir).parent):
        if os.path.exists(Path(folder) / path):
            found = (Path(folder) / path).resolve()
            if is_misread(str(found)):
                raise InputError(f"the sheet {found} has a brace or a line break in its name or folder; rename that.")
            return found
    raise InputError(f"the sheet {path} (config key videos) does not exist; make it or name another with --config.")


def check_films(paths):
    """Raise InputError if a row's film:NAME is no film of the config."""
    for name in map(sheet.film_of, paths):
        if name is not None and name not in config["films"]:
            raise InputError(f"{SHEET}: film:{name} is no film of the config; add it below films or correct the name.")


def check_sources():
    """Raise InputError if files are gone that were ingested: what was made of them would be rebuilt, of nothing."""
    local = (
        [(row.video, row.path) for row in VIDEOS.itertuples() if is_local(row.path)] if is_followed_by_input() else []
    )
    gone = {video: str(sheet.file_of(SHEET, video, path)) for video, path in local if is_gone(video, path)}
    if gone:
        first, *others = gone
        # Files whose names cannot be inputs are followed by params.
        params = "" if any(map(is_misread, gone.values())) else " params"
        raise InputError(
            f"{gone[first]} of video {first} is not there any more"
            + (f", nor those of {len(others)} more videos" if others else "")
            + ": put it back or take its row out. To keep what was made of it and go on without it:"
            f" --rerun-triggers mtime software-env code{params}"
        )


def is_followed_by_input():
    """Return True if this run rebuilds what has other inputs than when it was made; Snakemake itself tells it after planning only."""
    words = [word for given in sys.argv for word in given.split("=")]
    if not NO_RUN.isdisjoint(words):
        return False
    triggers = words[words.index("--rerun-triggers") + 1 :] if "--rerun-triggers" in words else ["input"]
    return "input" in itertools.takewhile(lambda word: not word.startswith("-"), triggers)


def is_local(path):
    """Return True if a row's path is a file that somebody has put there."""
    return not sheet.is_url(path) and sheet.film_of(path) is None


def is_gone(video, path):
    """Return True if the file of a video that was read is not there any more."""
    if os.path.isfile(sheet.file_of(SHEET, video, path)):
        return False
    probe = Path(f"results/media/{video}.json")
    return probe.exists() and summary.is_usable(probe)


def sheet_of_run():
    """Return a copy of the sheet as it is now, with whole paths, for the jobs of this run: the sheet may be edited meanwhile."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerow(VIDEOS.columns)
    for row in VIDEOS.itertuples(index=False):
        is_file = is_local(row.path)
        rows.writerow(row._replace(path=str(sheet.file_of(SHEET, row.video, row.path))) if is_file else row)
    content = text.getvalue().encode()
    copy = Path(".snakemake/sheets", f"{hashlib.sha256(content).hexdigest()[:16]}.tsv").absolute()
    if not copy.exists():
        with atomic_write(copy) as new:
            new.write_bytes(content)
            # An address may hold a token: read by those who may read the sheet.
            mode = os.stat(SHEET).st_mode & 0o777
        copy.chmod(mode)
    return copy


def source_file(wildcards):
    """The local, filmed or downloaded file of a video; nothing if it is missing, which ingest reports."""
    row = VIDEOS.loc[wildcards.video]
    file = str(sheet.file_of(SHEET, wildcards.video, row.path))
    is_made = sheet.is_url(row.path) or sheet.film_of(row.path)
    return file if is_made or (os.path.isfile(file) and not is_misread(file)) else []


def is_misread(file):
    """Return True if Snakemake takes an input's name apart: braces are wildcards to it, and a line break ends the name."""
    return any(mark in file for mark in "{}\n\r")


def source_row(wildcards):
    """What a row says about its file: a change of another row, or of another column, reruns nothing.

    A file whose name Snakemake misreads is no input, so it is followed by its time and size here.
    """
    row = VIDEOS.loc[wildcards.video]
    file = str(sheet.file_of(SHEET, wildcards.video, row.path))
    is_followed_here = is_misread(file) and not sheet.is_url(row.path) and os.path.isfile(file)
    return [named(row.path), row.sha256, [os.stat(file).st_mtime_ns, os.stat(file).st_size] if is_followed_here else ""]


def named(path):
    """Return a row's path for what Snakemake keeps and shows of a job: of a URL, which may hold a token, the address and a sum."""
    if not sheet.is_url(path):
        return path
    return f"{fetch.shown(path)} {hashlib.sha256(path.encode()).hexdigest()[:16]}"


def tries_in_vain(wildcards):
    """How often a video's download has failed for a reason that may pass: one more than before has it tried again."""
    return fetch.tries_in_vain(Path(f"results/downloads/{wildcards.video}.json"))


def from_sheet(column):
    """Return a function of the wildcards that gives a column of the video's row in the sheet."""
    values = VIDEOS[column].to_dict()
    return asked_once(lambda wildcards: values[wildcards.video])


def sheet_rows():
    """Return a sum of what the tables over all videos take from the sheet, in its order: an edit while they were made counts next time."""
    told = VIDEOS[["video", "source", "licence", "url", "split"]].to_csv(index=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def clear_sheets():
    """Remove the copies that earlier runs have left."""
    for copy in Path(".snakemake/sheets").glob("*.tsv"):
        if copy.absolute() != SHEET_OF_RUN:
            copy.unlink()
