"""Checksums of files."""

import hashlib
from pathlib import Path


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with file.open("rb") as found:
        return hashlib.file_digest(found, "sha256").hexdigest()
