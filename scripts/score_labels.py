"""Score the labels of a video against its truth and print every figure as JSON.

A figure that cannot be computed, because a table was not made or there is nothing to score, is null.
"""

import json
from pathlib import Path

from talking import speaking
from talking.core import cli, tables
from talking.review import apply, decisions
from talking.scoring import by_eye, labels, reviewed
from talking.scoring.results import read_labels
from talking.scoring.truth import read_truth
from talking.speaking import ablation


def main() -> None:
    """Read the arguments, the truth and the labels, print the figures."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder `results` of a run")
    parser.add_argument("--video", required=True, help="id of the video in the sample sheet")
    parser.add_argument(
        "--seen",
        type=Path,
        help="JSON of a truth written by looking and listening (scripts/talking/scoring/by_eye.py), in place of the files below",
    )
    parser.add_argument(
        "--reviewed",
        type=Path,
        help="review file as truth where it says that labels are right, in place of the files below; needs --model",
    )
    parser.add_argument("--rttm", type=Path, help="true speaker turns")
    parser.add_argument("--boxes", type=Path, help="CSV of true face boxes: frame,person,x1,y1,x2,y2 at 25 fps")
    parser.add_argument("--words", type=Path, help="JSON of true words: start_s, end_s, speaker, word")
    parser.add_argument("--shots", type=Path, help="CSV of true shots: start_frame,end_frame at 25 fps")
    parser.add_argument("--people", type=Path, help="CSV of true roles: start_frame,end_frame,person,role at 25 fps")
    parser.add_argument(
        "--model",
        choices=list(speaking.MODELS),
        help="active-speaker model of the run: also scores the decisions without each kind of evidence of the fusion",
    )
    arguments = parser.parse_args()
    if arguments.seen:
        figures = by_eye.score(
            by_eye.read_seen(arguments.seen, arguments.video), read_labels(arguments.results, arguments.video)
        )
        print(json.dumps(figures, indent=1))
        return
    if arguments.reviewed:
        if not arguments.model:
            parser.error("--reviewed needs --model: the models' own decisions are made again")
        print(
            json.dumps(
                _score_reviewed(arguments.reviewed, arguments.results, arguments.video, arguments.model), indent=1
            )
        )
        return
    if not (arguments.rttm and arguments.boxes):
        parser.error("give --seen, --reviewed, or --rttm and --boxes")
    truth = read_truth(
        arguments.rttm, arguments.boxes, arguments.words, arguments.shots, arguments.video, arguments.people
    )
    found = read_labels(arguments.results, arguments.video)
    figures = labels.score(truth, found)
    if arguments.model:
        said = labels.said(truth, found)
        figures["ingredients"] = ablation.contributions(arguments.results, arguments.video, arguments.model, said)
    print(json.dumps(figures, indent=1))


def _score_reviewed(review: Path, results: Path, video: str, model: str) -> dict:
    decided = [decision for decision in decisions.read(review) if decision.video == video]
    return reviewed.score(
        ablation.decided(results, video, model),
        tables.read("transcript", results / f"speech/{video}.transcript.parquet"),
        tables.read("clips", results / f"clips/{video}.parquet"),
        apply.read_faces(results, video),
        decided,
    )


if __name__ == "__main__":
    cli.run(main)
