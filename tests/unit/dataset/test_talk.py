"""Turns with their replies and who listens: small scenes worked out by hand, and a synthetic video's true labels."""

import numpy as np
import pandas as pd
import pytest

from talking.clips import qualities
from talking.core import tables
from talking.dataset import talk

NAMES = {0: "p1", 1: "p2", 2: "p3"}


def known(said, seen=None, shots=((0, 1000),), clips=(), words=()):
    """Return a video whose person i is track i: `said` are (person, start, end) in frames, `seen` the same (default: always, both).

    `clips` are (start, end, people), `words` (track, word, start_s, end_s[, voice]).
    """
    seen = seen or [(person, 0, 1000) for person in sorted({person for person, _, _ in said})]
    faces = pd.DataFrame([(p, f, 10.0, 10.0 + 40 * (p + 1)) for p, a, b in seen for f in range(a, b)], columns=["track", "frame", "y1", "y2"])  # fmt: skip
    spoken = {(p, f) for p, a, b in said for f in range(a, b)}
    speaking = faces[["track", "frame"]].assign(speaking=[pair in spoken for pair in zip(faces["track"], faces["frame"], strict=True)])  # fmt: skip
    people = [(p, [p], "participant") for p in sorted(set(faces["track"]))]
    rows = [(f"c{a}", "train", a, b, list(people), [NAMES[p] for p in people]) for a, b, people in clips]
    columns = ["clip", "split", "start_frame", "end_frame", "people", "persons"]
    heard = [(w, a, b, t, voice[0] if voice else "") for t, w, a, b, *voice in words]
    heard = pd.DataFrame(heard, columns=["word", "start_s", "end_s", "track", "speaker"])
    return talk.Known(
        "v",
        faces,
        speaking,
        pd.DataFrame(people, columns=["person", "tracks", "role"]),
        heard.astype({"track": "Float64", "start_s": float, "end_s": float}),
        pd.DataFrame(shots, columns=["start_frame", "end_frame"]),
        pd.DataFrame(rows, columns=columns),
    )


def found(*of, **more):
    turns, listening = talk.of_video(
        known(*of, **more), lambda tracks: [NAMES[t] for t in tracks], qualities.Settings()
    )
    return turns.to_pandas(), listening.to_pandas()


def pairs(turns):
    return [(r.turn_person, r.turn_start_frame, r.turn_end_frame, r.reply_person, r.reply_start_frame, r.reply_end_frame) for r in turns.itertuples()]  # fmt: skip


def test_pauses_do_not_end_a_turn_and_the_next_speaker_replies():
    said = [(0, 0, 100), (0, 110, 150), (1, 160, 250), (0, 245, 300)]
    words = [(0, "how", 0.0, 0.4), (0, "are", 5.5, 5.6), (0, "you", 5.6, 5.8), (1, "fine", 7.0, 8.0), (0, "good", 10.0, 10.2)]  # fmt: skip
    turns, _ = found(said, words=words, clips=[(0, 255, (1, 0))])
    assert pairs(turns) == [("p1", 0, 150, "p2", 160, 250), ("p2", 160, 250, "p1", 245, 300)]
    assert turns["gap_s"].tolist() == pytest.approx([0.4, -0.2])
    assert turns["overlap_s"].tolist() == pytest.approx([0.0, 0.2])
    assert turns["turn_words"].tolist() == ["how are you", "fine"] and turns["reply_words"].tolist() == ["fine", "good"]
    assert turns["turn_start_s"].tolist() == [0.0, 6.4] and (turns["turn_person_seen"] == "on_screen").all()
    # Of the last turn, less than half lies in the clip.
    first, last = turns.iloc[0], turns.iloc[1]
    assert (first["turn_clip"], first["turn_person_in_clip"], first["turn_end_in_clip"]) == ("c0", 1, 150)
    assert (last["turn_clip"], last["reply_clip"], last["split"]) == ("c0", "", "train")
    assert (last["reply_person_in_clip"], last["reply_start_in_clip"], last["reply_end_in_clip"]) == (-1, -1, -1)


def test_of_a_turn_that_a_clip_cuts_off_the_part_in_it_is_given():
    turns, _ = found([(0, 40, 140), (1, 150, 250)], clips=[(100, 205, (0, 1))])
    (turn,) = turns.itertuples()
    assert (turn.turn_clip, turn.reply_clip) == ("", "c100")
    assert (turn.reply_start_in_clip, turn.reply_end_in_clip, turn.reply_end_frame) == (50, 105, 250)


def test_what_a_listener_says_within_a_longer_turn_is_no_reply():
    # "mm" of 16 frames, then a whole sentence within the turn, and the reply after it.
    turns, listening = found([(0, 0, 300), (1, 50, 66), (1, 120, 180), (1, 310, 400)])
    assert pairs(turns) == [("p1", 0, 300, "p2", 310, 400)]
    assert turns["gap_s"].tolist() == pytest.approx([0.4])
    heard = listening[listening["listener"] == "p2"].iloc[0]
    assert (heard["speaker"], heard["start_frame"], heard["end_frame"], heard["num_backchannels"]) == ("p1", 0, 300, 1)
    assert heard["listener_speaks_s"] == pytest.approx((16 + 60) / 25)
    assert heard["face_height_px"] == 80 and heard["speaker_seen_share"] == 1


def test_a_long_silence_and_a_voice_from_off_screen_part_turns():
    turns, listening = found([(0, 0, 50), (0, 150, 200), (1, 270, 300)])
    # Two seconds are 50 frames: p2 begins 70 after p1's end and replies to nobody.
    assert turns.empty
    assert listening["start_frame"].tolist() == [0, 150, 270]
    # Somebody asks from off screen; p1's answer is no part of the turn before, and p2 replies to it.
    asked = [(None, "why", 2.4, 3.2)]
    turns, _ = found([(0, 0, 50), (0, 90, 200), (1, 210, 300)], words=asked)
    assert pairs(turns) == [("p1", 90, 200, "p2", 210, 300)]
    turns, _ = found([(0, 0, 50), (0, 90, 200), (1, 210, 300)])
    assert pairs(turns) == [("p1", 0, 200, "p2", 210, 300)]


def test_a_reply_in_the_next_shot_is_a_reply():
    shots = [(0, 100), (100, 200), (200, 300), (300, 400)]
    seen = [(0, 0, 100), (1, 100, 200), (2, 210, 300), (1, 300, 400)]
    turns, listening = found([(0, 20, 95), (1, 105, 190), (2, 215, 290), (1, 330, 390)], seen=seen, shots=shots)
    assert [pair[0] + pair[3] for pair in pairs(turns)] == ["p1p2", "p2p3", "p3p2"]
    assert turns["turn_person_seen"].tolist() == ["previous_shot"] * 3
    # Nobody else was on screen meanwhile.
    assert listening.empty
    turns, _ = found(
        [(0, 20, 95), (1, 110, 190)], seen=[(0, 0, 98), (1, 105, 200)], shots=[(0, 100), (100, 105), (105, 200)]
    )
    assert turns["turn_person_seen"].tolist() == ["away"]


def test_a_turn_goes_on_off_screen_if_the_voice_is_known_from_the_screen():
    # The cut to the listener comes a second before p1 ends.
    shots, seen = [(0, 100), (100, 200)], [(0, 0, 100), (1, 100, 200)]
    words = [(0, "do you", 1.0, 3.5, "A"), (None, "know him", 4.0, 5.0, "A"), (1, "yes", 5.4, 7.0, "B")]
    said = [(0, 20, 100), (1, 132, 180)]
    turns, listening = found(said, seen=seen, shots=shots, words=words)
    assert pairs(turns) == [("p1", 20, 125, "p2", 132, 180)]
    (turn,) = turns.itertuples()
    assert (turn.turn_words, turn.turn_person_seen) == ("do you know him", "previous_shot")
    assert (turn.turn_seen_share, turn.reply_seen_share) == (pytest.approx(80 / 105), 1)
    (heard,) = listening.itertuples()
    assert (heard.listener, heard.speaker, heard.start_frame, heard.end_frame) == ("p2", "p1", 100, 125)
    assert heard.speaker_seen_share == 0
    # Somebody who is seen and silent does not say it, whatever the voice.
    turns, _ = found(said, seen=[(0, 0, 200), (1, 100, 200)], shots=shots, words=words)
    assert turns.empty


def test_listening_is_cut_at_shots_and_clips_and_where_the_listener_is_away():
    seen = [(0, 0, 400), (1, 0, 180), (1, 190, 250), (1, 300, 400)]
    clips = [(100, 220, (0, 1))]
    _, listening = found([(0, 50, 350)], seen=seen, shots=[(0, 320), (320, 400)], clips=clips)
    # A listener who is away for half a second at most is there; p2 is the only one who listens.
    spans = listening[["start_frame", "end_frame", "clip", "start_in_clip", "listener_in_clip", "speaker_in_clip"]]
    assert spans.to_numpy().tolist() == [
        [50, 100, "", -1, -1, -1],
        [100, 220, "c100", 0, 1, 0],
        [220, 250, "", -1, -1, -1],
        [300, 320, "", -1, -1, -1],
        [320, 350, "", -1, -1, -1],
    ]
    assert listening["split"].tolist() == ["", "train", "", "", ""]


def test_who_has_the_turn_does_not_listen():
    _, listening = found([(0, 0, 100), (1, 80, 200)])
    spans = listening[["listener", "start_frame", "end_frame"]].to_numpy().tolist()
    assert spans == [["p2", 0, 80], ["p1", 100, 200]]


def test_two_persons_of_one_name_are_one():
    names = {0: "p1", 1: "p2", 2: "p1"}
    video = known([(0, 0, 50), (2, 55, 100), (1, 110, 150)])
    turns, _ = talk.of_video(video, lambda tracks: [names[t] for t in tracks], qualities.Settings())
    assert pairs(turns.to_pandas()) == [("p1", 0, 100, "p2", 110, 150)]


def test_a_video_in_which_nobody_speaks_has_no_rows():
    turns, listening = found([(0, 0, 0), (1, 0, 0)])
    assert turns.empty and listening.empty
    assert turns.columns.tolist() == tables.empty("turns").columns.tolist()


def test_turns_are_those_that_qualities_counts_where_nobody_speaks_within_a_turn_of_others():
    rng = np.random.default_rng(3)
    said, at = [], 0
    for number in range(40):
        length = int(rng.integers(15, 60))
        said.append((number % 2, at, at + length))
        at += length + int(rng.integers(1, 45))
    heard = np.zeros((at, 2), dtype=bool)
    for person, start, end in said:
        heard[start:end, person] = True
    taken = qualities.turns_of(heard, 12)
    turns, _ = found(said, seen=[(0, 0, at), (1, 0, at)], shots=[(0, at)])
    assert len(turns) == len(qualities.answers(taken, 50)) == 39


def test_turns_and_listening_that_touch_a_removed_span_are_left_out():
    turns, listening = talk.of_video(
        known([(0, 0, 100), (1, 110, 200), (0, 210, 300)]),
        lambda tracks: [NAMES[t] for t in tracks],
        qualities.Settings(),
    )
    assert pairs(turns.to_pandas()) == [("p1", 0, 100, "p2", 110, 200), ("p2", 110, 200, "p1", 210, 300)]
    # In the pause between a turn and its reply somebody may have been heard who was removed.
    assert pairs(talk.without(turns, [(100, 110)]).to_pandas()) == [("p2", 110, 200, "p1", 210, 300)]
    assert len(talk.without(turns, [(150, 151)])) == 0 and len(talk.without(turns, [(300, 400)])) == len(turns)
    left = talk.without(listening, [(150, 151)]).to_pandas()
    assert len(left) == len(listening) - 1 and not ((left["start_frame"] < 151) & (left["end_frame"] > 150)).any()
    assert talk.without(turns, []).equals(turns)
