"""Labels scored against truth that was written down by looking: faults that are known are counted."""

import json

import pandas as pd
import pytest

from talking.core.errors import InputError
from talking.scoring import by_eye
from talking.scoring.results import Labels

TRUTH = {
    "show": {
        "clips": [[0, 100, 2]],
        "talks": [[[0.0, 2.0]], [[2.0, 4.0]]],
        "not_people": [{"frames": [10, 20], "what": "a hand"}],
        "language": "en",
        "words": "both talk; among others: no I did not (three times), go ahead / I'm waiting on you",
    }
}


@pytest.fixture
def truth(tmp_path):
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(TRUTH))
    return by_eye.read_seen(file, "show")


def labels(clips=((0, 100, 2, True, ""),), roles=("participant", "participant", "not_a_face")) -> Labels:
    """Two people, the left one speaking first, and a hand in frames 10 to 20 between them."""
    rows = [(t, f, 300 * t, 0, 300 * t + 100, 120) for t in (0, 1) for f in range(100)]
    rows += [(2, f, 150, 150, 180, 180) for f in range(10, 20)]
    tracks = pd.DataFrame(rows, columns=["track", "frame", "x1", "y1", "x2", "y2"])
    speaking = tracks[["track", "frame"]].assign(
        speaking=[(t == 0) == (f < 50) for t, f in zip(tracks.track, tracks.frame, strict=True)],
        speaking_confidence=0.9,
    )
    return Labels(
        tracks,
        speaking=speaking.assign(score_smooth=speaking["speaking"] * 2.0 - 1),
        clips=pd.DataFrame(list(clips), columns=["start_frame", "end_frame", "num_people", "kept", "rejected_by"]),
        people=pd.DataFrame({"person": [0, 1, 2], "tracks": [[0], [1], [2]], "role": list(roles)}),
        words=pd.DataFrame({"word": "No I did not Go ahead you waiting".split()}),
    )


def test_right_labels_have_full_marks(truth):
    found = by_eye.score(truth, labels())
    assert (found["clips"]["found"], found["clips"]["kept_wrong"]) == (1, 0)
    assert (found["people"]["false_person_frames"], found["people"]["missing_person_frames"]) == (0, 0)
    assert (found["speaking"]["accuracy"], found["speaking"]["average_precision"]) == (1, 1)
    assert found["speaking"]["person_frames"] == 200
    assert found["speaking"]["confidence_error"] == pytest.approx(0.1)


def test_short_turns_that_are_missed_are_counted():
    known = by_eye.SeenTruth(clips=[(0, 100, 2)], talks=[[(0.0, 0.4), (2.4, 2.8)], [(2.0, 4.0)]])
    found = by_eye.score(known, labels())["speaking"]["short_turns"]
    assert (found["turns"], found["found"]) == (2, 1)


def test_phrases_are_read_from_a_note_and_heard_in_order(truth):
    assert truth.phrases == [["no", "i", "did", "not"], ["go", "ahead"], ["i'm", "waiting", "on", "you"]]
    words = by_eye.score(truth, labels())["words"]
    # "you waiting" is the third phrase in the wrong order, with half of it missing.
    assert (words["phrases"], words["phrases_heard"]) == (3, 2)
    assert words["phrase_words_heard"] == pytest.approx((4 + 2 + 1) / 10)


def test_a_clip_that_is_too_short_is_missed_and_not_wrong(truth):
    found = by_eye.score(truth, labels([(0, 60, 2, True, ""), (60, 100, 2, False, "min_duration_s")]))["clips"]
    assert (found["found"], found["kept_wrong"], found["missed"]) == (0, 0, [[0, 100, 2]])
    assert found["covered_s"] == pytest.approx(2.4)
    assert found["rejected_by"] == ["min_duration_s"]


def test_a_clip_of_other_people_is_wrong(truth):
    found = by_eye.score(truth, labels([(0, 100, 3, True, "")]))["clips"]
    assert (found["found"], found["kept_wrong"]) == (0, 1)


def test_a_hand_that_takes_part_is_a_false_person(truth):
    found = by_eye.score(truth, labels(roles=("participant",) * 3))["people"]
    assert found["false_person_frames"] == 10
    found = by_eye.score(truth, labels(roles=("participant", "bystander", "not_a_face")))["people"]
    assert found["missing_person_frames"] == 100


def test_labels_of_the_other_person_are_all_wrong(truth):
    wrong = labels()
    wrong.speaking["speaking"] = ~wrong.speaking["speaking"]
    assert by_eye.score(truth, wrong)["speaking"]["accuracy"] == 0


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("a cat sat on the mat", 1),
        ("no no no I did not", 1),
        ("no no no no I did not", 4),
        ("thank you thank you thank you", 3),
        ("we will see we will see you", 2),
    ],
)
def test_loops_are_counted(text, times):
    assert by_eye.longest_loop(text.split()) == times


def test_a_truth_without_the_video_is_named(tmp_path):
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(TRUTH))
    with pytest.raises(InputError, match=r"truth\.json has no truth of other"):
        by_eye.read_seen(file, "other")


def test_the_shared_truth_can_be_read(shared):
    file = shared / "data/real/truth.json"
    for video in json.loads(file.read_text()):
        if video != "about":
            assert all(end > start for start, end, _ in by_eye.read_seen(file, video).clips)
