"""Splits: nothing is shared, the share is kept, the sheet is heard, and chains of shared people are found."""

import numpy as np
import pyarrow as pa
import pytest

from talking.core.errors import InputError
from talking.dataset import splits


def cast(pairs, seconds, videos=None, persons=None):
    """Return the cast of (video, person) numbers."""
    video, person = np.array(pairs, dtype=int).reshape(-1, 2).T
    videos = videos or [f"v{i:02}" for i in range(len(seconds))]
    persons = persons or [f"p{i}" for i in range(person.max(initial=-1) + 1)]
    return splits.Cast(video, person, videos, persons, ["s"] * len(videos), np.array(seconds, dtype=float))


def world(seed, videos=60, persons=80):
    rng = np.random.default_rng(seed)
    pairs = sorted({(int(rng.integers(videos)), int(rng.integers(persons))) for _ in range(90)})
    return cast(pairs, rng.uniform(1, 100, videos), persons=[f"p{i}" for i in range(persons)])


def sides(of, wanted=None, memory=None, **settings):
    found = splits.assign(of, wanted or [""] * len(of.videos), memory or splits.Memory(), splits.Settings(**settings))
    return found.side


@pytest.mark.parametrize("seed", range(10))
def test_sides_share_no_person_and_the_shares_are_near(seed):
    of = world(seed)
    side = sides(of, test_share=0.3, val_share=0.1, common_videos=100)
    on = {split: set(of.person[side[of.video] == split].tolist()) for split in ("train", "val", "test")}
    assert not on["train"] & on["test"] and not on["train"] & on["val"] and not on["val"] & on["test"]
    share = {split: of.seconds[side == split].sum() / of.seconds.sum() for split in on}
    assert 0.2 < share["test"] <= 0.3 and 0.05 < share["val"] <= 0.1


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_added_moves_nothing_and_leaks_nothing(seed):
    # Videos come in any order, five at a time, and tie earlier ones together.
    of = world(seed)
    order = np.random.default_rng(seed).permutation(60)
    memory, settings = splits.Memory(), splits.Settings(test_share=0.3, val_share=0.1, common_videos=100)
    known = {}
    for count in range(5, 61, 5):
        there = np.sort(order[:count])
        inside = np.isin(of.video, there)
        names = [of.videos[v] for v in there]
        video = np.searchsorted(there, of.video[inside])
        part = splits.Cast(video, of.person[inside], names, of.persons, ["s"] * count, of.seconds[there])
        found = splits.assign(part, [""] * count, memory, settings)
        memory = splits.remembered(memory, part, [""] * count, found)
        now = dict(zip(names, found.side.tolist(), strict=True))
        assert {v: now[v] for v in known} == known
        known = now
        on = {s: set(part.person[found.side[part.video] == s].tolist()) for s in ("train", "val", "test")}
        assert not on["train"] & on["test"] and not on["train"] & on["val"] and not on["val"] & on["test"]
    assert {"train", "val", "test"} <= set(known.values())


def test_the_order_of_the_sheet_does_not_matter():
    of = world(0)
    side = sides(of)
    last = len(of.videos) - 1
    turned = splits.Cast(last - of.video, of.person, of.videos[::-1], of.persons, of.sources, of.seconds[::-1])
    assert (sides(turned)[::-1] == side).all()
    assert (sides(of, seed=1) != side).any()


def test_the_sheet_is_heard_and_takes_its_whole_group_along():
    of = cast([(0, 0), (1, 0), (3, 1), (4, 1)], np.ones(5))
    wanted = ["", "test", "", "train", ""]
    assert sides(of, wanted, test_share=0, val_share=0).tolist() == ["test", "test", "train", "train", "train"]


@pytest.mark.parametrize(
    ("groups", "seconds", "test_share", "expected"),
    [
        ([0, 0, 0], [5, 5, 5], 0.1, ["train"] * 3),
        ([0, 1], [9, 4], 0.1, ["train", "test"]),
        ([0, 1], [5, 5], 0.1, ["train", "train"]),
        ([0, 1], [9, 4], 0.0, ["train", "train"]),
        ([0, 1], [9, 0], 0.1, ["train", "train"]),
        ([0, 1, 2], [9, 4, 2], 0.1, ["train", "train", "test"]),
        ([0, 1, 2], [9, 2, 1], 0.1, ["train", "val", "test"]),
    ],
)
def test_few_groups(groups, seconds, test_share, expected):
    assert sides(cast(list(enumerate(groups)), seconds), test_share=test_share).tolist() == expected


def test_a_host_ties_nothing_together_a_regular_guest_does():
    # Person 0 is in all eight videos, person 1 in three of them.
    of = cast([(v, 0) for v in range(8)] + [(v, 1) for v in (1, 4, 6)], np.ones(8))
    found = splits.assign(of, [""] * 8, splits.Memory(), splits.Settings(test_share=0.3))
    assert found.common == {0: "in-v00"}
    assert found.groups == 6
    assert len({found.side[v] for v in (1, 4, 6)}) == 1
    assert set(found.side) == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_a_remembered_label_goes_to_who_is_in_most_videos_that_list_it_if_in_more_than_half(seed):
    rng, of = np.random.default_rng(seed), world(seed, videos=12, persons=6)
    memory = splits.Memory(several={v: [n for n in "abcdefgh" if rng.random() < 0.2] for v in [*of.videos[1:], "gone"]})
    pairs = set(zip(of.video.tolist(), of.person.tolist(), strict=True))
    expected = {}
    for label in "abcdefgh":
        listing = [number for number, video in enumerate(of.videos) if label in memory.several.get(video, [])]
        times = [sum((video, person) in pairs for video in listing) for person in range(6)]
        best = times.index(max(times))
        if times[best] > len(listing) / 2:
            expected.setdefault(best, label)
    found = splits.assign(of, [""] * 12, memory, splits.Settings(common_videos=100))
    assert found.common == expected != {}


def test_a_remembered_label_of_videos_without_people_is_nobodys():
    of = cast([], [1, 1])
    found = splits.assign(of, ["", ""], splits.Memory(several={"v00": ["in-v00"]}), splits.Settings())
    assert found.common == {}


def test_a_contradiction_is_told_with_the_people_who_cause_it():
    of = cast([(0, 0), (1, 0), (1, 1), (2, 1), (3, 2)], np.ones(4), ["a", "b", "c", "d"], ["p1", "p2", "p3"])
    sides(of, ["train", "", "train", "test"])
    with pytest.raises(InputError, match=r"a into train and c into test.*p1 is in a and b, p2 is in b and c"):
        sides(of, ["train", "", "test", ""])


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
