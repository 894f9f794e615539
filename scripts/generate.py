"""Generate a conversation with sound: from a clip of the data set, or from a picture, poses, sound and scores."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and generate."""
    parser = cli.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors that training wrote")
    parser.add_argument("--config", type=Path, required=True, help="config.yaml beside them")
    parser.add_argument("--out", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--clip", type=Path, help="folder of a clip: its poses, sound, scores and reference picture")
    parser.add_argument("--sound-clip", type=Path, help="folder of another clip, whose sound is used")
    parser.add_argument(
        "--reference-frame", type=int, default=0, help="frame of the clip that is the reference picture"
    )
    parser.add_argument("--reference", type=Path, help="without a clip: picture whose pose is the first one's")
    parser.add_argument("--poses", type=Path, help="without a clip: poses.npz in px of the picture")
    parser.add_argument("--sound", type=Path, help="without a clip: sound.npz")
    parser.add_argument("--audio", type=Path, help="wav (16 kHz mono) to put under the video")
    parser.add_argument("--scores", type=Path, help="without a clip: csv with the columns frame, person, score")
    parser.add_argument(
        "--who", nargs="*", default=[], help="who speaks instead, as person:start-end in frames: 1:0-50"
    )
    parser.add_argument(
        "--lips",
        choices=["drawn", "dropped"],
        help="lips in the poses; if not given, drawn if training always drew them",
    )
    parser.add_argument("--frames", type=int, help="number of frames, all if not given")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same video")
    arguments = parser.parse_args()

    from covog import command_line

    command_line.generate(arguments)


if __name__ == "__main__":
    cli.run(main)
