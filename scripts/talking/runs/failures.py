"""What failed in a run, by Snakemake's log of it: for each job the video, the rule, the end of its log and what to do."""

import re
from dataclasses import dataclass
from pathlib import Path

_MOST_TOLD, _LAST_LINES = 10, 5
_ADVICE = {
    "OUT_OF_MEMORY": "it used more memory than requested: --set-resources {rule}:mem_mb=MORE, or fit the table of requests to your jobs (fit_resources)",
    "TIMEOUT": "it ran longer than requested: --set-resources {rule}:runtime=MINUTES, or fit the table of requests to your jobs (fit_resources)",
    "NODE_FAIL": "its node failed: run the same command again",
    "CANCELLED": "it was cancelled: run the same command again",
    "PREEMPTED": "it had to make room for others: run the same command again",
}
_SAID = "do what the last line says, then run the same command again; finished jobs are not rerun"
_NO_WORD = (
    "it ended without a message, like a job that is killed, most often because memory was full: run the same command again, with"
    " fewer jobs at a time (--cores) or more memory (--set-resources {rule}:mem_mb=MORE)"
)
_UNKNOWN = "run the same command again; if it fails in the same way, that is a bug: report it with this log"


@dataclass(frozen=True)
class Failure:
    """A job that failed at its last attempt: its rule, what it is about, its log and SLURM's status, "" where there is none."""

    rule: str
    about: str
    log: Path | None
    state: str

    def words(self) -> str:
        """Return a report of a few lines."""
        lines = _last_lines(self.log)
        if self.state in _ADVICE:
            advice = _ADVICE[self.state]
        elif not lines:
            advice = _NO_WORD
        else:
            advice = _SAID if lines[-1].startswith("error: ") else _UNKNOWN
        head = (
            f"Failed: {self.rule}{f' of {self.about}' if self.about else ''}{f' ({self.state})' if self.state else ''}"
        )
        where = f"  the end of {self.log}:" if lines else f"  {self.log or 'it has no log'} says nothing."
        return "\n".join(
            [head, where, *(f"    {line}" for line in lines), f"  What to do: {advice.format(rule=self.rule)}."]
        )


def told(log: Path) -> str:
    """Return a report of the jobs that failed in a run without a later attempt that succeeded."""
    found = of_run(log.read_text(encoding="utf-8", errors="replace"))
    words = [failure.words() for failure in found[:_MOST_TOLD]]
    if found[_MOST_TOLD:]:
        rest = ", ".join(f"{failure.rule} of {failure.about}" for failure in found[_MOST_TOLD:])
        words.append(f"... and {len(found) - _MOST_TOLD} more jobs: {rest}")
    return "\n".join(words)


def of_run(printed: str) -> list[Failure]:
    """Return the jobs that failed by what Snakemake wrote of a run, in the order of their first failure."""
    states = dict(re.findall(r"SLURM-job '(\w+)' failed.*?SLURM status is: '(\w+)", printed))
    wildcards = {
        job: values
        for job, values in re.findall(r"^    jobid: (\d+)\n(?:    .*\n)*?    wildcards: (.*)$", printed, re.MULTILINE)
    }
    events = re.compile(r"^Error in rule (\w+):\n((?:    .*\n)*)|^Finished jobid: (\d+)", re.MULTILINE)
    failed: dict[str, Failure] = {}
    for rule, told_of_it, finished in events.findall(printed):
        if finished:
            failed.pop(finished, None)
            continue
        job = _field("jobid", told_of_it)
        log = _field("log", told_of_it).removesuffix(" (check log file(s) for error details)")
        about = wildcards.get(job, "").replace("=", " ")
        state = states.get(_field("external_jobid", told_of_it), "")
        failed[job] = Failure(rule, about, Path(log) if log else None, state)
    return list(failed.values())


def _field(name: str, lines: str) -> str:
    found = re.search(rf"^    {name}: (.*)$", lines, re.MULTILINE)
    return found[1] if found else ""


def _last_lines(log: Path | None) -> list[str]:
    try:
        text = log.read_bytes().decode("utf-8", "replace") if log else ""
    except OSError:
        return []
    # Of a progress bar's line, the last state.
    return [line.rpartition("\r")[2].rstrip() for line in text.split("\n") if line.strip()][-_LAST_LINES:]
