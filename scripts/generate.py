"""Generate a conversation with sound: from a clip of the data set, from a picture and a recording of each person in it, or from a picture, poses, sound and scores."""

import argparse
from pathlib import Path

from talking.core import cli
from talking.core.errors import InputError
from talking.sound import embeddings


def main() -> None:
    """Read the arguments and generate."""
    parser = cli.parser(__doc__)
    trained = Path("results/covog/covog/stage2/weights.safetensors")
    parser.add_argument("--weights", type=Path, default=trained, help="weights.safetensors that training wrote")
    parser.add_argument("--config", type=Path, help="settings, if not config.yaml beside the weights")
    parser.add_argument("--out", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--clip", type=Path, help="folder of a clip: its poses, sound, scores and reference picture")
    parser.add_argument("--sound-clip", type=Path, help="folder of another clip, whose sound is used")
    parser.add_argument(
        "--reference-frame", type=int, default=0, help="frame of the clip that is the reference picture"
    )
    parser.add_argument("--picture", type=Path, help="in place of a clip: picture whose people talk")
    parser.add_argument(
        "--people",
        default="auto",
        help="JSON file of the face boxes [x1, y1, x2, y2] in px of the picture; auto: found, from the left",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        help="data set whose people's motions a picture gets, and from which --lips heard learns if training did not; that of the weights if not given",
    )
    parser.add_argument(
        "--sound-model",
        default=embeddings.Settings.model,
        choices=embeddings.Settings.__dataclass_fields__["model"].metadata["choices"],
        help="with --picture: network of the data set's sound features",
    )
    parser.add_argument("--sound-weights", default="", help="folder of its weights, for wav2vec2")
    parser.add_argument("--reference", type=Path, help="without a clip: picture whose pose is the first one's")
    parser.add_argument("--poses", type=Path, help="without a clip: poses.npz in px of the picture")
    parser.add_argument(
        "--sound",
        type=Path,
        nargs="+",
        help="with --picture: a sound file for each person; with --reference: sound.npz",
    )
    parser.add_argument("--audio", type=Path, help="wav (16 kHz mono) to put under the video")
    parser.add_argument("--scores", type=Path, help="without a clip: csv with the columns frame, person, score")
    parser.add_argument(
        "--who", nargs="*", default=[], help="who speaks instead, as person:start-end in frames: 1:0-50"
    )
    parser.add_argument(
        "--lips",
        choices=["drawn", "dropped", "heard"],
        help="lips in the poses: those of the poses, none, or where the sound says; if not given, as in training",
    )
    parser.add_argument("--frames", type=int, help="number of frames, all if not given")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same video")
    arguments = parser.parse_args()

    from covog import command_line

    command_line.generate(arguments, _seen_and_heard(arguments) if arguments.picture else None)


def _seen_and_heard(arguments: argparse.Namespace) -> tuple:
    """Return a picture, its people, the sound of each, and what that sounds like."""
    from talking.people import picture

    if not arguments.sound:
        raise InputError("--picture needs --sound with a sound file for each person.")
    settings = embeddings.Settings(model=arguments.sound_model, weights=arguments.sound_weights)
    samples, sound = picture.voices(arguments.sound, settings)
    shown, people = picture.find(arguments.picture, arguments.people)
    if len(people["faces"]) != len(samples):
        raise InputError(
            f"{arguments.picture} shows {len(people['faces'])} faces, --sound names {len(samples)} files; give one for each person from "
            "the left, a silent one for who only listens, or name the faces with --people."
        )
    return shown, people, samples, sound


if __name__ == "__main__":
    cli.run(main)
