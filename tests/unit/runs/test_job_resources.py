"""What jobs request by the table of needs, the length of their video and the attempt."""

from types import SimpleNamespace

import pytest

from talking.runs import costs, job_resources

HOUR, NEW = SimpleNamespace(video="hour"), SimpleNamespace(video="new")
NEEDS = costs.read_needs(costs.table())
LENGTHS = {"hour": 3600, "new": 600, "long": 4 * 3600}


def seconds_of(wildcards):
    return LENGTHS[wildcards.video]


def test_memory_and_time_grow_with_the_video_and_the_attempt():
    need = NEEDS["poses"]
    memory, minutes = job_resources.memory_mb(need, seconds_of), job_resources.minutes(need, seconds_of)
    first = memory(HOUR, attempt=1)
    assert first >= 1.4 * (need.mem_mb + 3600 * need.mem_mb_per_video_s) > memory(NEW, attempt=1)
    assert [memory(HOUR, attempt=n) for n in (2, 3)] == pytest.approx([1.5 * first, 2 * first], abs=100)
    assert job_resources.memory_mb(need, seconds_of, 6000)(HOUR, attempt=1) - first == pytest.approx(6000, abs=100)
    assert minutes(HOUR, attempt=1) >= 10 + 4 * 60 * need.s_per_video_s > minutes(NEW, attempt=1)
    assert minutes(HOUR, attempt=2) == 2 * minutes(HOUR, attempt=1)


def test_a_slow_model_is_given_the_time_that_it_takes_and_the_memory_that_was_measured():
    light, any_model = NEEDS["asd/light_asd"], NEEDS["asd"]
    # On one core Light-ASD takes a second and a half for each second of a face.
    assert (
        job_resources.minutes(light, seconds_of)(HOUR, attempt=1)
        >= 180
        > job_resources.minutes(any_model, seconds_of)(HOUR, attempt=1)
    )
    assert 1000 < job_resources.memory_mb(light, seconds_of)(HOUR, attempt=1) < 6000


def test_a_large_pose_model_is_given_more_than_the_embedded_one():
    large, embedded = NEEDS["poses/sapiens"], NEEDS["poses"]
    memory, minutes = (
        [make(need, seconds_of)(NEW, attempt=1) for need in (large, embedded)]
        for make in (job_resources.memory_mb, job_resources.minutes)
    )
    assert memory[0] > 3 * memory[1] and minutes[0] > 1.5 * minutes[1]


def test_a_video_of_three_hours_that_is_re_encoded_at_half_its_speed_has_the_time():
    assert job_resources.minutes(NEEDS["media"], seconds_of)(SimpleNamespace(video="long"), attempt=1) > 3 * 60


def test_disk_grows_with_the_video():
    disk = job_resources.disk_mb(NEEDS["media"], seconds_of)
    assert disk(HOUR) > 3600 * NEEDS["media"].disk_mb_per_video_s > disk(NEW)
