"""Score a diarization model on recordings with known speaker turns and print the figures as JSON."""

import json
from pathlib import Path

from talking.core import cli
from talking.scoring import labels
from talking.speech import diarization, turns
from talking.video import media


def main() -> None:
    """Read the arguments, diarize each sound, print the figures."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sounds", type=Path, nargs="+", required=True, help="wavs, 16 kHz mono")
    parser.add_argument(
        "--rttm", type=Path, required=True, help="RTTM file of the true turns of all wavs, by their names"
    )
    parser.add_argument("--people-seen", type=int, default=0, help="how many people are seen talking; 0: unknown")
    cli.add_settings(parser, diarization.Settings)
    arguments = parser.parse_args()
    settings = cli.settings_from(arguments, diarization.Settings)
    figures = {}
    for sound in arguments.sounds:
        found = diarization.diarize(sound, arguments.people_seen, settings)
        frames = media.sound(sound).size // media.SAMPLES_PER_FRAME
        figures[sound.stem] = labels.diarization(turns.read(arguments.rttm, sound.stem), found, frames)
    print(json.dumps({"model": settings.model, "people_seen": arguments.people_seen, "sounds": figures}, indent=1))


if __name__ == "__main__":
    cli.run(main)
