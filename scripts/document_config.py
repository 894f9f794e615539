"""Write the config's schema and the tables of config/README.md from the code; run it after a setting or a table changes."""

from pathlib import Path

import yaml

from talking.core import cli
from talking.runs import documentation

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA, MANUAL = PROJECT / "workflow/schemas/config.schema.yaml", PROJECT / "config/README.md"


def main() -> None:
    """Write both files."""
    cli.parser(__doc__).parse_args()
    schema = documentation.config_schema()
    SCHEMA.write_text(yaml.safe_dump(schema, sort_keys=False, width=140, allow_unicode=True))
    MANUAL.write_text(documentation.manual(MANUAL.read_text(), schema))


if __name__ == "__main__":
    cli.run(main)
