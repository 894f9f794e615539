"""Turns in files and in frames."""

from talking.speech import turns
from talking.speech.turns import Turn


def test_rttm_keeps_its_turns(tmp_path):
    spoken = [Turn(0.5, 2.25, "a"), Turn(1.0, 1.5, "b")]
    turns.write(tmp_path / "t.rttm", "v", spoken)
    assert turns.read(tmp_path / "t.rttm") == spoken
    turns.write(tmp_path / "t.rttm", "v", [])
    assert turns.read(tmp_path / "t.rttm") == []


def test_turns_of_other_files_in_one_rttm_are_left_out(tmp_path):
    lines = ["SPEAKER v 1 0.0 1.0 <NA> <NA> a <NA> <NA>", "SPEAKER w 1 0.0 2.0 <NA> <NA> b <NA> <NA>"]
    (tmp_path / "t.rttm").write_text("\n".join(lines))
    assert turns.read(tmp_path / "t.rttm", "w") == [Turn(0, 2, "b")]
    assert len(turns.read(tmp_path / "t.rttm", "renamed")) == 2


def test_a_frame_speaks_when_its_centre_lies_in_a_turn():
    # Centres at 0.02, 0.06, 0.10 s, ...
    mask = turns.spoken_frames([Turn(0.03, 0.10, "a")], 5)["a"]
    assert mask.tolist() == [False, True, False, False, False]
