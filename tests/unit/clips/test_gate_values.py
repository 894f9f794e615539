"""What the gates see of clips whose rightness is known."""

import json

import pandas as pd
import pytest

from talking.clips import gate_values
from talking.core import schemas, tables
from talking.core.errors import InputError


def test_clips_are_judged_by_span_and_number_of_people(tmp_path):
    (tmp_path / "seen.json").write_text(json.dumps({"about": "by eye", "a": {"clips": [[0, 200, 2]]}}))
    shots = [
        {"start": 0, "end": 100, "participants": ["x", "y"], "clip": True, "doubt": False},
        {"start": 100, "end": 300, "participants": ["x", "y"], "clip": False, "doubt": True},
    ]
    (tmp_path / "b.json").write_text(json.dumps({"video": "b", "shots": shots}))
    truth = gate_values.right_clips(tmp_path / "seen.json") | gate_values.right_clips(tmp_path / "b.json")
    assert truth == {"a": ([(0, 200, 2)], []), "b": ([(0, 100, 2)], [(100, 300, 2)])}
    clips = pd.DataFrame({"start_frame": [0, 0, 0, 150], "end_frame": [190, 190, 100, 300], "num_people": [2, 3, 2, 2]})
    assert gate_values.judged(clips, *truth["a"]).tolist() == ["right", "other", "other", "other"]
    assert gate_values.judged(clips, *truth["b"]).tolist() == ["other", "other", "right", ""]


def test_the_table_has_the_worst_of_right_clips_and_what_each_gate_rejects(tmp_path):
    kinds = {c.name: str(c.type) for c in schemas.SCHEMAS["clips"]}
    usual = {n: [[]] * 3 if "list" in t else "v" if t == "string" else 0 for n, t in kinds.items()}
    clips = pd.DataFrame({**usual, "clip": ["a", "b", "c"], "start_frame": [0, 300, 600], "end_frame": [250, 550, 700]})
    clips = clips.assign(candidate=True, dissolve=False, kept=True, num_people=2, area_ratio=[0.5, 0.9, 0.1])
    clips["sync_error_frames"] = [float("nan")] * 3
    (tmp_path / "clips").mkdir()
    tables.write("clips", clips, tmp_path / "clips/v.parquet")
    found = gate_values.measured([tmp_path], {"v": ([(0, 250, 2), (300, 550, 2)], [])})
    lines = gate_values.table(found).splitlines()
    assert "worst of 2 right clips | 1 other clips" in lines[0]
    assert "| `min_area_ratio` | 0.25 | 0.5 | 0.1 to 0.1 | 1 |" in lines
    assert "| `max_sync_error_frames` | 3 | cannot be told | - | 0 |" in lines
    with pytest.raises(InputError, match="none of the folders"):
        gate_values.measured([tmp_path], {"w": ([], [])})
