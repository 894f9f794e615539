"""How many people are seen talking: a hint for diarization, as a voice may come from off screen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from talking.people import PARTICIPANT
from talking.video import media


def count(asd: pd.DataFrame, person_of_track: Mapping[int, int], seconds: float, share: float = 0.0) -> int:
    """Return how many people have the best positive score on screen for at least `seconds` and for `share` of all such time.

    `asd` is the table `asd`; the tracks that `person_of_track` does not know are nobody's. Only the best score of a
    frame counts, so that somebody who chews while another talks is not counted.
    """
    smooth = asd[asd["track"].isin(list(person_of_track))].sort_values(["track", "frame"], ignore_index=True)
    if smooth.empty:
        return 0
    scores = smooth.groupby("track")["score"].transform(lambda s: s.rolling(7, center=True, min_periods=1).mean())
    smooth = smooth.assign(score=scores)
    best = smooth.loc[smooth.groupby("frame")["score"].idxmax()]
    best = best[best["score"] > 0]
    talks = best["track"].map(person_of_track).value_counts()
    return int((talks >= max(seconds * media.FPS, share * talks.sum())).sum())


def who_counts(
    people: pd.DataFrame, person_of_track: Mapping[int, int], embeddings: Mapping[str, np.ndarray]
) -> dict[int, int]:
    """Return those of track → person who may count as people seen talking, by the table `persons` of their video.

    They are those who take part, if anybody does, and whose face was embedded, if anybody's was: others may be a person who is
    counted already, such as somebody in profile in every other shot.
    """
    part = {int(t) for tracks in people.loc[people["role"] == PARTICIPANT, "tracks"] for t in tracks}
    known = {person_of_track[t] for t in embeddings["track"].tolist() if t in person_of_track}
    found = {t: p for t, p in person_of_track.items() if t in part} or dict(person_of_track)
    return {t: p for t, p in found.items() if p in known} or found
