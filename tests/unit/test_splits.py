"""Splits: nothing is shared, the share is kept, the sheet is heard, and chains of shared people are found."""

import numpy as np
import pyarrow as pa
import pytest

from talking import splits
from talking.errors import InputError


def world(seed, videos=60, persons=80):
    rng = np.random.default_rng(seed)
    pairs = np.array(sorted({(int(rng.integers(videos)), int(rng.integers(persons))) for _ in range(90)}))
    return pairs[:, 0], pairs[:, 1], rng.uniform(1, 100, videos), [f"v{i:02}" for i in range(videos)], persons


@pytest.mark.parametrize("seed", range(10))
def test_sides_share_no_person_and_the_share_is_near(seed):
    video, person, seconds, names, persons = world(seed)
    component = splits.components(video, person, len(names), persons)
    side = splits.assign(component, seconds, names, [""] * len(names), splits.Settings(test_share=0.3))
    on = {split: set(person[side[video] == split].tolist()) for split in ("train", "test")}
    assert not on["train"] & on["test"]
    share = seconds[side == "test"].sum() / seconds.sum()
    assert 0.2 < share <= 0.3


def test_the_order_of_the_sheet_does_not_matter():
    video, person, seconds, names, persons = world(0)
    component = splits.components(video, person, len(names), persons)
    side = splits.assign(component, seconds, names, [""] * len(names), splits.Settings())
    turned = splits.assign(component[::-1], seconds[::-1], names[::-1], [""] * len(names), splits.Settings())
    assert (turned[::-1] == side).all()
    other = splits.assign(component, seconds, names, [""] * len(names), splits.Settings(seed=1))
    assert (other != side).any()


def test_the_sheet_is_heard_and_takes_its_whole_group_along():
    component = np.array([0, 0, 1, 2, 2])
    wanted = ["", "test", "", "train", ""]
    side = splits.assign(component, np.ones(5), list("abcde"), wanted, splits.Settings(test_share=0))
    assert side.tolist() == ["test", "test", "train", "train", "train"]


@pytest.mark.parametrize(
    ("component", "seconds", "test_share", "expected"),
    [
        ([0, 0, 0], [5, 5, 5], 0.1, ["train"] * 3),
        ([0, 1], [9, 4], 0.1, ["train", "test"]),
        ([0, 1], [5, 5], 0.1, ["train", "train"]),
        ([0, 1], [9, 4], 0.0, ["train", "train"]),
        ([0, 1], [9, 0], 0.1, ["train", "train"]),
    ],
)
def test_few_groups(component, seconds, test_share, expected):
    videos = [f"v{i}" for i in range(len(component))]
    settings = splits.Settings(test_share=test_share)
    side = splits.assign(np.array(component), np.array(seconds, dtype=float), videos, [""] * len(videos), settings)
    assert side.tolist() == expected


def test_a_contradiction_is_told_with_the_people_who_cause_it():
    video, person = np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 2])
    names, persons = ["a", "b", "c", "d"], ["p1", "p2", "p3"]
    splits.check(video, person, names, persons, ["train", "", "train", "test"])
    with pytest.raises(InputError, match=r"a into train and c into test.*p1 is in a and b, p2 is in b and c"):
        splits.check(video, person, names, persons, ["train", "", "test", ""])


def test_hard_clips_meet_a_criterion():
    clips = pa.table(
        {
            "num_people": [2, 3, 2, 2, 4],
            "camera_motion": [0.0, 0.0, 0.2, None, 0.3],
            "overlap_share": [0.0, 0.0, 0.0, 0.5, 0.5],
            "face_px": [200.0, 200.0, 200.0, 200.0, 50.0],
        }
    )
    everything = "num_people,camera_motion,overlap_share,face_px"
    found = splits.hard_reasons(clips, splits.Settings()).to_pylist()
    assert found == ["", "num_people", "camera_motion", "overlap_share", everything]
