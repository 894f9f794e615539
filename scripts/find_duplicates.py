"""Find kept clips that show the same as an earlier one, in all videos."""

from pathlib import Path

import pyarrow.compute as pc

from talking.clips import duplicates
from talking.core import cli, tables
from talking.runs import giving_up
from talking.runs.sheet import read_sheet


def main() -> None:
    """Read the arguments, compare the clips, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--sheet", type=Path, required=True, help="sample sheet; of duplicate clips the first in its order is kept"
    )
    parser.add_argument(
        "--results", type=Path, required=True, help="folder of the results, with the failures of this run"
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of tables, one a video")
    parser.add_argument("--inspections", type=Path, required=True, help="folder of tables, one a video")
    parser.add_argument("--duplicates", type=Path, required=True, help="table to write")
    cli.add_settings(parser, duplicates.Settings)
    arguments = parser.parse_args()

    videos = read_sheet(arguments.sheet)["video"]
    left_out = giving_up.left_out(arguments.results, set(videos), "duplicates")

    def read(video: str) -> duplicates.Prints:
        clips = tables.read_columns("clips", arguments.clips / f"{video}.parquet", ["clip", "kept"])
        kept = clips.filter(clips["kept"])["clip"][: 0 if video in left_out else None]
        columns = ["clip", "sound_hashes", "picture_hashes"]
        found = tables.read_columns("inspections", arguments.inspections / f"{video}.parquet", columns)
        found = found.filter(pc.is_in(found["clip"], value_set=kept)).to_pandas()
        return duplicates.Prints(*(found[column].tolist() for column in columns))

    found = duplicates.find(videos, read, cli.settings_from(arguments, duplicates.Settings))
    tables.write("duplicates", found, arguments.duplicates)


if __name__ == "__main__":
    cli.run(main)
