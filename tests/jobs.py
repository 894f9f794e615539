"""What the process of a job runs, as the system shows it."""

from pathlib import Path


def words_of(pid: int) -> list[str]:
    """Return the words of a process's command; raises OSError if it is gone."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def command_line(words: list[str]) -> str:
    """Return the command line of the project that the words run, for example detect-faces; "" if it is another program."""
    for place, word in enumerate(words):
        if word.endswith("/talking/bin/../__main__.py"):
            place += 3 if words[place + 1] == "--gpus" else 1
            return words[place]
    return ""
