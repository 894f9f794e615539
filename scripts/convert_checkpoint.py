"""Convert published checkpoints to a CovOG model's weights, or write those under their published names."""

from pathlib import Path

from talking.core import cli


def main() -> None:
    """Read the arguments and convert."""
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, help="YAML file whose section model has the widths (or give --weights)")
    parser.add_argument(
        "--read", type=Path, nargs="*", default=[], help="published checkpoints, read one after the other"
    )
    parser.add_argument("--kind", nargs="*", help="kind of each of them, where names and keys leave it open")
    parser.add_argument(
        "--weights", type=Path, help="safetensors file of this model to start from; else random weights"
    )
    parser.add_argument("--write", type=Path, help="safetensors file of this model to write")
    parser.add_argument("--publish", type=Path, help="folder for the parts under their published names")
    arguments = parser.parse_args()

    from covog import config, convert, model

    if arguments.weights:
        covog = convert.read_model(arguments.weights)
    else:
        covog = model.CovOG(config.load(arguments.config).model)
    convert.converted(covog, arguments.read, arguments.kind)
    if arguments.write:
        convert.write_model(covog, arguments.write)
    if arguments.publish:
        convert.publish(covog, arguments.publish)


if __name__ == "__main__":
    cli.run(main)
