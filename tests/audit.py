"""Audit the pinned packages against osv.dev's list of known weaknesses, with pip-audit in an environment of its own.

    python tests/audit.py FOLDER

makes the environment in FOLDER. Ends with status 1 if a weakness is known; where the list cannot be reached it says that nothing was audited.
"""

import subprocess
import sys
import venv
from pathlib import Path

ENVS = Path(__file__).resolve().parent.parent / "workflow/envs"
PIP_AUDIT = "pip-audit==2.10.1"


def main() -> None:
    """Install pip-audit, run it, tell what it found."""
    folder = Path(sys.argv[1])
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", PIP_AUDIT], check=True)
    locks = [word for name in ("requirements", "torch", "cuda") for word in ("--requirement", ENVS / f"{name}.lock")]
    command = [folder / "bin/pip-audit", "--vulnerability-service", "osv", "--disable-pip", "--no-deps", *locks]
    audit = subprocess.run(command, capture_output=True, text=True)
    if "requests.exceptions.ConnectionError" in audit.stderr:
        print("not audited: the list of known weaknesses (api.osv.dev) cannot be reached from here.")
        return
    print(audit.stdout + audit.stderr)
    sys.exit(audit.returncode)


if __name__ == "__main__":
    main()
