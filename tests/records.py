"""What the tests of reliability measured, as the tables of docs/reliability.md.

    TALKING_RECORD=1 make test-faults test-scale test-slurm
    python tests/records.py

The tests `note` their figures in docs/reliability.json if the environment variable is set. This program then rewrites the
page's tables, each between the two comments that name it.
"""

import datetime
import json
import os
import re
from pathlib import Path

_DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, RECORDS = _DOCS / "reliability.md", _DOCS / "reliability.json"
_BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def note(table: str, **row: object) -> None:
    """Put a row into a table of the records, in place of the one with the same first column, if TALKING_RECORD is set."""
    if not os.environ.get("TALKING_RECORD"):
        return
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    rows = records.setdefault(table, [])
    row = {name: str(value) for name, value in (row | {"on": datetime.date.today()}).items()}
    first = next(iter(row))
    place = next((i for i, old in enumerate(rows) if old.get(first) == row[first]), len(rows))
    rows[place : place + 1] = [row]
    RECORDS.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def page() -> str:
    """Return the page with its tables rewritten from the records."""
    records = json.loads(RECORDS.read_text(encoding="utf-8"))
    return _BLOCK.sub(lambda block: block[1] + _table(records[block[2]]) + block[3], PAGE.read_text(encoding="utf-8"))


def _table(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
