"""Find which voice speaks when in a video."""

from pathlib import Path

from talking.core import cli, tables
from talking.core.arrays import opened
from talking.faces import identities
from talking.people import seen_talking
from talking.speech import diarization, turns


def main() -> None:
    """Read the arguments, count who is seen talking, diarize, write the turns."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sound", type=Path, required=True, help="wav of results/media/")
    parser.add_argument("--asd", type=Path, required=True, help="table of results/asd/")
    parser.add_argument("--people", type=Path, required=True, help="table of results/people/")
    parser.add_argument("--embeddings", type=Path, required=True, help="arrays of results/embeddings/")
    parser.add_argument("--same-person", type=float, required=True, help="the config's identities: same_person")
    parser.add_argument("--turns", type=Path, required=True, help="RTTM file to write")
    cli.add_settings(parser, diarization.Settings)
    arguments = parser.parse_args()
    settings = cli.settings_from(arguments, diarization.Settings)
    with opened(arguments.embeddings) as embeddings:
        people = tables.read("persons", arguments.people)
        person_of_track = identities.cluster_persons(people, embeddings, arguments.same_person)
        counted = seen_talking.who_counts(people, person_of_track, embeddings)
    asd = tables.read("asd", arguments.asd)
    seen = seen_talking.count(asd, counted, settings.seconds_seen, settings.share_seen)
    turns.write(arguments.turns, arguments.sound.stem, diarization.diarize(arguments.sound, seen, settings))


if __name__ == "__main__":
    cli.run(main)
