"""A conda that makes no envs: what Snakemake asks of it is answered, and an env's python is this one, which leaves its mark."""

import sys
from pathlib import Path

_CONDA = """#!/usr/bin/env bash
here=$(cd "$(dirname "$0")" && pwd)
case "$*" in
  --version) echo conda 25.1.0 ;;
  info*) echo '{"conda_prefix": "'"${here%/bin}"'", "platform": "linux-64"}' ;;
  config*) echo '{"get": {"channel_priority": "strict"}}' ;;
  *create*)
    while [ "$1" != --prefix ]; do shift; done
    mkdir -p "$2/bin"
    echo "$TALKING_WITHOUT_REQUIREMENTS" > "${here%/bin}/without_requirements"
    printf '#!/bin/sh\\necho "$@" >> %s/jobs\\nexec %s "$@"\\n' "${here%/bin}" PYTHON > "$2/bin/python"
    chmod +x "$2/bin/python" ;;
esac
"""


def make(folder: Path) -> Path:
    """Write it below a folder; return the folder for PATH. What its envs' python runs is noted in `folder`/jobs."""
    conda = folder / "bin/conda"
    conda.parent.mkdir(parents=True)
    conda.write_text(_CONDA.replace("PYTHON", sys.executable))
    conda.chmod(0o755)
    (conda.parent / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    return conda.parent
