"""All command lines of `scripts/` as one: `talking COMMAND ...`, from a clone or installed.

talking attribute-words --transcript ... --then annotate-clips --clips ... runs several one after the other in one process, so that
a job of light steps starts Python once.
"""

import ast
import itertools
import runpy
import sys
from pathlib import Path

from talking.core import cli
from talking.core.errors import InputError

_PACKAGE = Path(__file__).parent
# In a clone the command lines lie beside the package; pip installs them inside it.
FOLDER = _PACKAGE / "commands" if (_PACKAGE / "commands").is_dir() else _PACKAGE.parent
THEN = "--then"


def commands() -> dict[str, Path]:
    """Return the file of each command line, by its name on the command line, for example detect-faces."""
    return {file.stem.replace("_", "-"): file for file in sorted(FOLDER.glob("[a-z]*.py"))}


def main() -> None:
    """Split the words at each --then and run each part as the command line that its first word names.

    Raises InputError if a part names none.
    """
    parts = [list(words) for is_then, words in itertools.groupby(sys.argv[1:], THEN.__eq__) if not is_then]
    if not parts or parts[0][0] in ("-h", "--help"):
        print(_help())
        return
    found = commands()
    for name, *words in parts:
        if name not in found:
            raise InputError(f"{name} is no command; talking --help lists them.")
        sys.argv = [f"talking {name}", *words]
        runpy.run_path(str(found[name]), run_name="__main__")


def _help() -> str:
    width = max(map(len, commands()))
    lines = [f"  {name:{width}}  {_first_sentence(file)}" for name, file in commands().items()]
    usage = "usage: talking COMMAND [words ...] [--then COMMAND [words ...]]\n\ntalking COMMAND --help describes one.\n"
    return "\n".join([usage, *lines])


def _first_sentence(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n\n")[0].replace("\n", " ")


def run() -> None:
    """Run `main` as the installed command does: an InputError ends it with one sentence."""
    cli.run(main)


if __name__ == "__main__":
    run()
