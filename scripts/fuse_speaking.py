"""Decide who speaks in each frame, from scores, voice activity, speaker turns and identities."""

from pathlib import Path

from talking import speaking
from talking.core import cli, tables
from talking.core.arrays import opened
from talking.faces import identities
from talking.speaking import fusion
from talking.speech import turns


def main() -> None:
    """Read the arguments, fuse, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--asd", type=Path, required=True, help="table of results/asd/")
    parser.add_argument("--voice", type=Path, required=True, help="table of results/voice/")
    parser.add_argument("--turns", type=Path, required=True, help="RTTM of results/speech/")
    parser.add_argument("--people", type=Path, required=True, help="table of results/people/")
    parser.add_argument("--embeddings", type=Path, required=True, help="arrays of results/embeddings/")
    parser.add_argument("--model", choices=list(speaking.MODELS), required=True, help="the config's speaking: model")
    parser.add_argument("--same-person", type=float, required=True, help="the config's identities: same_person")
    parser.add_argument("--speaking", type=Path, required=True, help="table to write")
    cli.add_settings(parser, fusion.Settings)
    args = parser.parse_args()
    with opened(args.embeddings) as arrays:
        person_of = identities.cluster_persons(tables.read("persons", args.people), arrays, args.same_person)
        strangers = identities.strangers(person_of, arrays)
    asd, voice, spoken = tables.read("asd", args.asd), tables.read("voice", args.voice), turns.read(args.turns)
    settings = cli.settings_from(args, fusion.Settings)
    found = fusion.fuse(asd, voice, spoken, person_of, args.model, settings, strangers)
    tables.write("speaking", found, args.speaking)


if __name__ == "__main__":
    cli.run(main)
