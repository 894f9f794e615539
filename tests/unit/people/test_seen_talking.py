"""How many people are seen talking."""

import numpy as np
import pandas as pd

from talking.core import tables
from talking.faces import identities
from talking.people import seen_talking


def test_people_seen_talking_counts_persons_not_tracks_nor_chewers():
    frames = np.arange(200)
    asd = pd.concat(
        [
            # Track 0 talks in the first half; track 2 is the same person in the next shot.
            pd.DataFrame({"track": 0, "frame": frames[:100], "score": 2.0}),
            pd.DataFrame({"track": 2, "frame": frames[100:], "score": np.where(frames[100:] < 150, 2.0, -2.0)}),
            # Track 1 chews while track 0 talks, with a lower score; track 3 talks afterwards; track 4 only for a moment.
            pd.DataFrame({"track": 1, "frame": frames[:100], "score": 1.0}),
            pd.DataFrame({"track": 3, "frame": frames[100:], "score": np.where(frames[100:] < 150, -2.0, 2.0)}),
            pd.DataFrame({"track": 4, "frame": frames[:10], "score": 3.0}),
        ]
    )
    assert seen_talking.count(asd, {0: 0, 2: 0, 1: 1, 3: 2}, seconds=1.0) == 2
    assert seen_talking.count(asd, {0: 0, 2: 0, 1: 1, 3: 2}, seconds=1.0, share=0.4) == 1
    assert seen_talking.count(asd, {}, seconds=1.0) == 0
    assert seen_talking.count(tables.empty("asd"), {}, seconds=1.0) == 0


def test_tracks_without_embedding_are_not_each_a_person_seen_talking():
    # Sixty shots of two people; in every other shot the second one is in profile and has no embedding.
    tracks = np.arange(120)
    shot, second = tracks // 2, tracks % 2
    people = pd.DataFrame(
        {
            "person": tracks,
            "shot": shot,
            "tracks": [[t] for t in tracks],
            "role": "participant",
            "start_frame": 50 * shot,
            "end_frame": 50 * shot + 50,
        }
    )
    talks = np.where(second == shot // 2 % 2, 2.0, -2.0)
    asd = pd.DataFrame(
        [(t, 50 * shot[t] + f, talks[t]) for t in tracks for f in range(50)], columns=["track", "frame", "score"]
    )
    marked = np.array([t for t in tracks if second[t] == 0 or shot[t] % 2 == 0])
    embeddings = {
        "track": marked,
        "embedding": np.eye(2, 128)[second[marked]],
        "faces": np.ones(len(marked), int),
        "same_person": np.array([0.07]),
    }

    def count(people):
        of = identities.cluster_persons(people, embeddings, 0.0)
        counted = seen_talking.who_counts(people, of, embeddings)
        return seen_talking.count(asd, counted, seconds=1.0, share=0.02)

    assert count(people) == 2
    assert count(people.assign(role=np.where(second == 1, "bystander", "participant"))) == 1
    assert count(people.assign(role="bystander")) == 2
    assert count(people.assign(role=np.where(second == 1, "bystander", "not_a_face"))) == 1
