"""Run a command on so many GPUs of its own: the first word says how many, with 0 it sees none.

python -m run_on_gpus 1 python -m embed_sound --media ...
"""

import os
import sys

from talking.core import cli
from talking.core.errors import InputError
from talking.runs import devices


def main() -> None:
    """Take the GPUs and become the command."""
    count, *command = sys.argv[1:] or ["-"]
    if not count.isdigit() or not command:
        raise InputError("say how many GPUs the command is to see, then the command.")
    visible = devices.take(int(count))
    if visible is not None:
        os.environ[devices.VISIBLE] = visible
    os.execvp(command[0], command)


if __name__ == "__main__":
    cli.run(main)
