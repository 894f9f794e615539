"""Snakemake's marks of outputs whose job has begun and not ended: files in .snakemake/incomplete, named by base64."""

import base64
import json
import os
from pathlib import Path


def marked(marks: Path) -> set[str]:
    """Return the outputs that are marked below a folder, as paths below the working directory."""
    out = set()
    for mark in marks.rglob("*") if marks.exists() else []:
        if mark.is_file() and mark.name != "migration_underway":
            try:
                out.add(base64.b64decode("".join(mark.relative_to(marks).parts).replace("@", ""), b"-_").decode())
            except ValueError:
                continue
    return out


def mark(marks: Path, output: str) -> None:
    """Mark an output, so that the next run makes it again."""
    marks.mkdir(parents=True, exist_ok=True)
    name, longest = base64.urlsafe_b64encode(output.encode()).decode(), os.pathconf(marks, "PC_NAME_MAX") - 1
    *folders, last = (name[start : start + longest] for start in range(0, len(name), longest))
    file = marks.joinpath(*(f"@{folder}" for folder in folders), last)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"external_jobid": None}))
