"""Export clips as tasks of Label Studio, with the models' labels as predictions."""

import json
from pathlib import Path

from talking.core import cli, tables
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset.store import Clip
from talking.review import label_studio


def main() -> None:
    """Read the arguments and the clips, write the tasks and the labelling interface."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of the data set")
    parser.add_argument(
        "--videos", default="/data/local-files/?d=dataset", help="address of that folder for Label Studio"
    )
    parser.add_argument("--clips", nargs="*", default=[], help="names of clips; all if none is given")
    parser.add_argument("--out", type=Path, required=True, help="folder to write tasks.json and interface.xml to")
    arguments = parser.parse_args()
    clips = tables.read("dataset", arguments.dataset / "clips.parquet")
    if arguments.clips:
        if unknown := set(arguments.clips) - set(clips["clip"]):
            raise InputError(f"{arguments.dataset} has no clip {', '.join(sorted(unknown))}; correct --clips.")
        clips = clips[clips["clip"].isin(arguments.clips)]
    tasks = []
    for row in clips.itertuples():
        clip = Clip(arguments.dataset / row.clip)
        tasks.append(label_studio.task(clip.meta, clip.speakers, row.persons, arguments.videos))
    people = max((len(task["data"]["faces"]) for task in tasks), default=0)
    files = {"tasks.json": json.dumps(tasks, indent=1), "interface.xml": label_studio.interface(people)}
    for name, text in files.items():
        with atomic_write(arguments.out / name) as aside:
            aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
