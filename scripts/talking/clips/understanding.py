"""How well the words of a clip were understood, measured for the gates from its pieces of speech and their words."""

import numpy as np
import pandas as pd

from talking.core import schemas
from talking.video.media import FPS

# Pieces that the recogniser takes for no speech do not count as not understood.
_NOBODY = "no_speech"


def measure(clips: pd.DataFrame, transcript: pd.DataFrame, pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `clips` that words give, for each clip (a row with clip, start_frame, end_frame).

    `transcript` and `pieces` are the tables of the clips' video. A word belongs to the clip that its middle lies in.
    """
    spoken = pieces[pieces["reason"] != _NOBODY].sort_values("start_s", kind="stable")
    start, end = spoken["start_s"].to_numpy(), spoken["end_s"].to_numpy()
    understood, language = spoken["understood"].to_numpy(dtype=bool), spoken["language"].to_numpy(dtype=object)
    words = transcript.sort_values("start_s", kind="stable")
    middle = (words["start_s"].to_numpy() + words["end_s"].to_numpy()) / 2
    confidence = words["confidence"].to_numpy()
    rows = []
    for clip, first, last in clips[["clip", "start_frame", "end_frame"]].itertuples(index=False):
        begin, finish = first / FPS, last / FPS
        # Parts of the pieces, in seconds of the clip.
        a, b = np.maximum(start, begin) - begin, np.minimum(end, finish) - begin
        here = b > a
        seconds, lost = (b - a)[here], ~understood[here]
        inside = confidence[(middle >= begin) & (middle < finish)]
        by_language = pd.Series(seconds[~lost]).groupby(language[here][~lost]).sum()
        rows.append(
            {
                "clip": clip,
                "words_confidence": inside.mean() if inside.size else np.nan,
                "not_understood_share": seconds[lost].sum() / seconds.sum() if seconds.size else np.nan,
                "not_understood_s": np.column_stack([a, b])[here][lost].ravel().round(2).tolist(),
                "language": by_language.idxmax() if by_language.size else "",
            }
        )
    return pd.DataFrame(rows, columns=["clip", *(c.name for c in schemas.UNDERSTANDING)])
