"""Group the face tracks of all videos into persons."""

from pathlib import Path

from talking.core import cli, tables
from talking.core.arrays import opened
from talking.faces import identities
from talking.removal import apply, removals
from talking.runs import giving_up
from talking.runs.sheet import read_sheet


def main() -> None:
    """Read the arguments, group the tracks, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="sample sheet; persons are numbered in its order")
    parser.add_argument(
        "--results", type=Path, required=True, help="folder of the results, with the failures of this run"
    )
    parser.add_argument("--embeddings", type=Path, required=True, help="folder results/embeddings")
    parser.add_argument("--tracks", type=Path, required=True, help="folder results/tracks")
    parser.add_argument("--identities", type=Path, required=True, help="table to write")
    removals.add_argument(parser)
    cli.add_settings(parser, identities.Settings)
    arguments = parser.parse_args()

    def read(video: str) -> tuple[dict, object]:
        with opened(arguments.embeddings / f"{video}.npz") as embeddings:
            return dict(embeddings), tables.read("tracks", arguments.tracks / f"{video}.parquet")

    videos = read_sheet(arguments.sheet)["video"]
    left_out = giving_up.left_out(arguments.results, set(videos), "identities")
    videos = [video for video in videos if video not in left_out]
    settings = cli.settings_from(arguments, identities.Settings)
    found = identities.cluster(videos, read, settings)
    memory = arguments.results / "remembered_identities.parquet"
    before = tables.empty("remembered_identities")
    if arguments.removals:
        found = apply.identities(found, removals.read(arguments.removals), arguments.results, settings.same_person)
        if memory.exists():
            before = tables.read("remembered_identities", memory)
            found = identities.keep_names(found, before)
    tables.write("identities", found, arguments.identities)
    tables.write("remembered_identities", identities.remember(found, before), memory)


if __name__ == "__main__":
    cli.run(main)
