"""Run several command lines of this folder one after the other in one process, so that a stage of light steps starts Python once.

python -m run_in_turn attribute_words --transcript ... --then annotate_clips --clips ...
"""

import importlib
import itertools
import sys
from pathlib import Path

from talking import cli
from talking.errors import InputError

THEN = "--then"


def main() -> None:
    """Split the words at each --then, and run each part as the command line that its first word names."""
    parts = [list(words) for is_then, words in itertools.groupby(sys.argv[1:], THEN.__eq__) if not is_then]
    if not parts:
        raise InputError("no command line is named; give its name and its words.")
    for name, *words in parts:
        if not name.isidentifier() or not Path(__file__).with_name(f"{name}.py").is_file():
            raise InputError(f"{name} is no command line of {Path(__file__).parent}; see the names of the files there.")
        sys.argv = [name, *words]
        importlib.import_module(name).main()


if __name__ == "__main__":
    cli.run(main)
