"""Arrays in npz files: read back as they were, written without a second copy."""

import tracemalloc

import numpy as np
import pytest

from talking.core import arrays


def test_arrays_of_every_kind_come_back(tmp_path):
    named = {
        "video/points": np.random.default_rng(0).normal(size=(50_000, 7)).astype(np.float32),
        "none": np.zeros((0, 133, 2), np.float32),
        "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "names": np.array(["a", "été"]),
        "valid": np.arange(5) > 2,
        "every_other": np.arange(10)[::2],
    }
    arrays.write(tmp_path / "a.npz", named.items())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert list(found) == list(named)
        for name, array in named.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    first = (tmp_path / "a.npz").read_bytes()
    arrays.write(tmp_path / "a.npz", named.items())
    assert (tmp_path / "a.npz").read_bytes() == first


def test_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Python objects"):
        arrays.write(tmp_path / "a.npz", [("a", np.array([{}]))])
    assert list(tmp_path.iterdir()) == []


def test_a_large_array_is_not_copied_to_be_written(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, 32_000_000, dtype=np.uint8)
    tracemalloc.start()
    arrays.write(tmp_path / "a.npz", [("a", array)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 4
