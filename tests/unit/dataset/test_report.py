"""The report's cards and funnel."""

import json
import re

import numpy as np
import pandas as pd

from talking.dataset import report
from talking.video import encoding

WORDS = [("one", 0, 3), ("two", 1, 5), ("three", 0, 7), ("four", None, None)]


def test_a_word_has_the_colour_of_its_person_whichever_track_says_it(tmp_path):
    folder = tmp_path / "test_v_000000to000050"
    encoding.encode(folder / "video.mp4", [np.zeros((48, 64, 3), np.uint8)] * 50)
    person = {"speak": [[0, 50]], "face_track": [[4, 4, 20, 20]] * 50, "speaking_score": [1.0] * 50}
    words = [{"word": w, "person": p, "track": t} for w, p, t in WORDS]
    speakers = {
        "num_frames": 50,
        "people": [person | {"track": 3}, person | {"track": 5}],
        "bystanders": [],
        "words": words,
    }
    (folder / "speakers.json").write_text(json.dumps(speakers))
    clips = pd.DataFrame(
        [{"clip": folder.name, "duration_s": 2.0, "num_people": 2, "num_turns": 2, "face_px": 30.0, "duplicate_of": ""}]
    )
    report.write_cards(tmp_path, clips, tmp_path / "clips.html", report.Settings())
    colours = re.findall(r'color:(#\w+)">(\w+)<', (tmp_path / "clips.html").read_text())
    assert colours == [
        (report.PERSON_COLOURS[0], "one"),
        (report.PERSON_COLOURS[1], "two"),
        (report.PERSON_COLOURS[0], "three"),
        ("#888888", "four"),
    ]


def test_the_funnel_counts_only_segments_with_somebody_and_names_no_number_of_people(tmp_path):
    clips = pd.DataFrame(
        {
            "duration_s": [10.0, 20.0, 40.0],
            "num_people": [0, 1, 5],
            "candidate": [False, False, True],
            "kept": [False, False, True],
            "rejected_by": ["min_num_people", "min_num_people", ""],
        }
    )
    stages = report.funnel(clips, 70.0)
    assert stages == {
        "in the videos": 70.0,
        "somebody takes part": 60.0,
        "several do, for long enough": 40.0,
        "kept": 40.0,
    }
    report.draw_funnel(clips, 70.0, tmp_path / "funnel.svg")
    assert (tmp_path / "funnel.svg").stat().st_size > 1000
