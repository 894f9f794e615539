"""How many voices there are in a sound."""

import numpy as np
import pytest

from talking.speech import pipelines


def voices(*counts: int, apart: float, seed: int = 0) -> np.ndarray:
    """Return embeddings of unit length of as many voices as counts, whose centres have the cosine distance `apart`."""
    rng = np.random.default_rng(seed)
    common, own = np.sqrt(1 - apart), np.sqrt(apart)
    middles = own * np.eye(64)[: len(counts)] + common * np.eye(64)[-1]
    out = np.concatenate([m + rng.normal(0, 0.005, (n, 64)) for m, n in zip(middles, counts, strict=True)])
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("apart", "seen", "expected"),
    [
        (0.4, 1, 3),  # plainly different voices are told apart, whoever is seen
        (0.4, 3, 3),
        (0.4, 5, 3),  # and a fooled count does not split them
        (0.15, 3, 3),  # voices alike are told apart only if so many people are seen
        (0.15, 2, 2),
        (0.15, 1, 1),
        (0.05, 3, 1),  # hardly different ones never
    ],
)
def test_how_many_voices_there_are(apart, seen, expected):
    clustering = pipelines.SeenVoicesClustering(same_voice=0.08, other_voice=0.22)
    clustering.people_seen = seen
    found = clustering.cluster(voices(20, 30, 15, apart=apart))
    assert len(np.unique(found)) == expected


def test_a_few_odd_sounds_are_no_person_and_long_sounds_fit_in_memory():
    clustering = pipelines.SeenVoicesClustering(same_voice=0.08, other_voice=0.22)
    clustering.people_seen = 2
    assert len(np.unique(clustering.cluster(voices(40, 40, 2, apart=0.4)))) == 2
    long = voices(7000, 7000, apart=0.4)[np.random.default_rng(1).permutation(14000)]
    assert sorted(np.bincount(clustering.cluster(long))) == [7000, 7000]
