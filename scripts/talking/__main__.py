"""All command lines of `scripts/` as one: `talking COMMAND ...`, from a clone or installed.

talking attribute-words --transcript ... --then annotate-clips --clips ... runs several one after the other in one process, so that
a job of light steps starts Python once. talking --gpus 1 COMMAND ... waits for a free GPU and sees that one alone; with 0 it sees none.
"""

import ast
import itertools
import os
import runpy
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# In a clone the command lines lie beside the package; pip installs them inside it.
_IS_INSTALLED = (_PACKAGE / "commands").is_dir()
FOLDER = _PACKAGE / "commands" if _IS_INSTALLED else _PACKAGE.parent
if __package__ != "talking":
    # Run by its path, as jobs do. The packages of a job's environment go before those that lie beside an installed one.
    sys.path.insert(len(sys.path) if _IS_INSTALLED else 0, str(_PACKAGE.parent))

from talking.core import cli, processors  # noqa: E402
from talking.core.errors import InputError  # noqa: E402

THEN, GPUS = "--then", "--gpus"


def commands() -> dict[str, Path]:
    """Return the file of each command line, by its name on the command line, for example detect-faces."""
    return {file.stem.replace("_", "-"): file for file in sorted(FOLDER.glob("[a-z]*.py"))}


def main() -> None:
    """Take the GPUs, split the words at each --then and run each part as the command line that its first word names.

    Raises InputError if a part names none.
    """
    words = sys.argv[1:]
    if words[:1] == [GPUS]:
        _take_gpus(words[1] if len(words) > 1 else "")
        words = words[2:]
    parts = [list(part) for is_then, part in itertools.groupby(words, THEN.__eq__) if not is_then]
    if not parts or parts[0][0] in ("-h", "--help"):
        print(_help())
        return
    found = commands()
    for name, *words in parts:
        if name not in found:
            raise InputError(f"{name} is no command; talking --help lists them.")
        sys.argv = [name, *words]
        cli.program = f"talking {name}"
        try:
            runpy.run_path(str(found[name]), run_name="__main__")
        except ModuleNotFoundError as error:
            raise InputError(
                f"{sys.executable} lacks the package {error.name}; run `source .venv/bin/activate` in the project's folder first, or "
                "install the project with pip."
            ) from error


def _take_gpus(count: str) -> None:
    """Take so many GPUs for this process; it and what it starts see no other."""
    from talking.runs import devices

    if not count.isdigit():
        raise InputError(f"{GPUS} is followed by the number of GPUs that the command sees, then the command.")
    os.environ[processors.GPUS] = count
    visible = devices.take(int(count))
    if visible is not None:
        os.environ[devices.VISIBLE] = visible


def _help() -> str:
    width = max(map(len, commands()))
    lines = [f"  {name:{width}}  {_first_sentence(file)}" for name, file in commands().items()]
    usage = (
        "usage: talking [--gpus N] COMMAND [words ...] [--then COMMAND [words ...]]\n\n"
        "talking COMMAND --help describes one. --gpus waits until N GPUs are free, and the command sees only these; --then runs another\n"
        "command afterwards.\n"
    )
    return "\n".join([usage, *lines])


def _first_sentence(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n\n")[0].replace("\n", " ")


def run() -> None:
    """Run `main` as the installed command does: an InputError ends it with one sentence."""
    cli.run(main)


if __name__ == "__main__":
    run()
