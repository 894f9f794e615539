"""Pictures that are decoded ahead, and that are asked for here and there."""

import threading

import numpy as np
import pytest

from talking.core.errors import InputError
from talking.poses import reading
from talking.video import encoding, media

LENGTH = 200


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("reading") / "v.mp4"
    encoding.encode(path, (np.full((32, 48, 3), frame, np.uint8) for frame in range(LENGTH)))
    return path


def test_pictures_are_those_of_the_frames_near_and_far(video) -> None:
    reader, whole = reading.Reader(video), list(media.frames(video))
    for start, end in ((3, 6), (6, 8), (20, 22), (150, 151), (40, 41)):
        found = list(reader.frames(start, end))
        assert [frame for frame, _ in found] == list(range(start, end))
        assert all(np.array_equal(picture.rgb(), whole[frame]) for frame, picture in found)


def test_frames_after_one_another_are_one_run_of_the_decoder(video, monkeypatch) -> None:
    runs, decoded = [], media.decoded
    monkeypatch.setattr(media, "decoded", lambda path, start, end: (runs.append(start), decoded(path, start, end))[1])
    reader = reading.Reader(video)
    for start in (0, 30, 80, 190):
        list(reader.frames(start, start + 10))
    assert runs == [0, 190]


def test_a_video_that_is_too_short_is_named(video) -> None:
    with pytest.raises(InputError, match=r"v\.mp4 has fewer frames"):
        list(reading.Reader(video).frames(LENGTH - 1, LENGTH + 1))


def test_what_is_made_ahead_comes_in_order_with_its_errors() -> None:
    def numbers():
        yield from range(5)
        raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        found.extend(number for number in reading.ahead(numbers(), 2))
    assert list(reading.ahead(iter(range(50)), 3)) == list(range(50))


def test_a_thread_whose_items_nobody_takes_ends() -> None:
    before, taken = threading.active_count(), reading.ahead(iter(range(1000)), 2)
    assert next(taken) == 0
    taken.close()
    for thread in threading.enumerate()[before:]:
        thread.join(timeout=10)
    assert threading.active_count() == before
