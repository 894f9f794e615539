"""Short answers ("mm", "yes"): how many turns below a second the speaking labels find."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from talking.speech import turns
from talking.speech.turns import Turn
from talking.video import media

SHORT_S = 1.0
# Of a turn's frames, how many must show the person for the turn to count, and be labelled speaking for it to be found.
_SEEN = _FOUND = 0.5


def recall(spoken: Iterable[Turn], said: pd.DataFrame) -> dict[str, Any]:
    """Return how many turns below a second of people on screen are found: `turns`, `found` and `recall` (None without turns).

    `said` has a row frame, person, speaking for each face of a known person that was found, frames at 25 fps. A turn
    counts if its person is seen in half of its frames and is found if half of those are labelled speaking.
    """
    labelled = {person: rows.set_index("frame")["speaking"].astype(bool) for person, rows in said.groupby("person")}
    shares = []
    for turn in spoken:
        frames = np.flatnonzero(turns.spoken_frames([turn], int(turn.end_s * media.FPS) + 1)[turn.speaker])
        if turn.end_s - turn.start_s >= SHORT_S or turn.speaker not in labelled or not frames.size:
            continue
        seen = labelled[turn.speaker].reindex(frames).dropna()
        if len(seen) >= _SEEN * len(frames):
            shares.append(float(seen.astype(bool).mean()))
    found = sum(share >= _FOUND for share in shares)
    return {"turns": len(shares), "found": found, "recall": found / len(shares) if shares else None}
