"""What every command line in `scripts/` shares: flags made from a settings dataclass, and errors as one sentence."""

import argparse
import dataclasses
import errno
import gc
import os
import sys
from collections.abc import Callable
from typing import Any, get_args, get_origin

from talking.core.errors import InputError

# Imported before the libraries, whose hundred thousands of objects stay: they need not be searched for garbage so often.
gc.set_threshold(100_000, 50, 100)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


# What a command line is called in its help, if not by its file: "talking detect-faces".
program: str | None = None


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with the defaults that say something: no None, no empty text or list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, "", []) else super()._get_help_string(action)


def parser(doc: str) -> argparse.ArgumentParser:
    """Return an argument parser whose help is the script's docstring and shows the defaults."""
    return argparse.ArgumentParser(prog=program, description=doc, formatter_class=_Help)


def add_settings(to: argparse.ArgumentParser, settings: type) -> None:
    """Add one flag for each field of a settings dataclass; its help is the field's metadata["help"]."""
    for field in dataclasses.fields(settings):
        flag = "--" + field.name.replace("_", "-")
        options: dict[str, Any] = {"default": field.default, "help": field.metadata["help"]}
        if field.default is dataclasses.MISSING:
            options["default"] = field.default_factory()
        if field.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(field.type) is list:
            options |= {"type": get_args(field.type)[0], "nargs": "*"}
        else:
            options["type"] = field.type
        if "choices" in field.metadata:
            options["choices"] = field.metadata["choices"]
        to.add_argument(flag, **options)


def settings_from(arguments: argparse.Namespace, settings: type) -> Any:
    """Return the settings dataclass filled from parsed arguments."""
    return settings(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(settings)})


def setting(default: Any, help: str, **metadata: Any) -> Any:
    """Declare a field of a settings dataclass with its default, its one line of help and, if any, its choices."""
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata={"help": help, **metadata})
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


def run(main: Callable[[], None]) -> None:
    """Run a command line: an InputError or a full disk ends it with one sentence and status 1, any other error with its trace."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        # Libraries' own errors for a full disk are known by their words only.
        if error.errno not in _NO_ROOM and os.strerror(errno.ENOSPC) not in str(error):
            raise
        sys.exit(f"error: {error}; make room on the disk (or raise the quota) and run the same command again.")
    finally:
        # The process ends here: a last garbage collection would only take time.
        gc.freeze()
