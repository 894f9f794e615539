"""Environment variables of a run's jobs."""

import os

from talking.core.errors import InputError

_TOLD: dict[str, str] = {}


def tell_jobs(**variables: str) -> None:
    """Set environment variables for the shells of jobs; raises InputError if another module of the same workflow has set others."""
    for name, value in variables.items():
        if _TOLD.setdefault(name, value) != value:
            raise InputError(
                f"two modules of this workflow set {name}, to {_TOLD[name]} and to {value}: run them one after the other."
            )
    os.environ.update(variables)


def find_first(*folders: str) -> None:
    """Have the shells of jobs look for programs in these folders first."""
    ahead, path = os.pathsep.join(folders), os.environ.get("PATH", "")
    if not f"{path}{os.pathsep}".startswith(f"{ahead}{os.pathsep}"):
        os.environ["PATH"] = os.pathsep.join(filter(None, (ahead, path)))
