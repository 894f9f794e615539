"""Make what is installed fit the build of torch: a CUDA build gets its libraries, and torchaudio's do not stay beside one for processors.

The registry's torchaudio is a CUDA build, whose native libraries would not load there; what is used of it (resampling, mel features)
is pure torch and works without them.
"""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

CUDA_LOCK = Path(__file__).with_name("cuda.lock")
_PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def is_there(distribution: str) -> bool:
    """Return True if a distribution is installed."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Read what torch wants, install or remove."""
    wanted = map(Requirement, importlib.metadata.requires("torch"))
    here = [w.name for w in wanted if w.marker is None or w.marker.evaluate({"extra": ""})]
    libraries = [name for name in here if re.match(r"cuda-|nvidia-|triton", name)]
    if not libraries:
        for library in Path(importlib.util.find_spec("torchaudio").origin).parent.joinpath("lib").glob("*.so"):
            library.unlink()
    elif not all(map(is_there, libraries)):
        subprocess.run([*_PIP, "--require-hashes", "--no-deps", "-r", CUDA_LOCK], check=True)


if __name__ == "__main__":
    main()
