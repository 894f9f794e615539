"""Who is heard when: pyannote.audio's diarization pipeline, told how many people are seen talking.

The embedded models are those that packages carry: the segmentation network of whisperx (pyannote's PyanNet, three
speakers, 5 s windows; Bredin and Laurent, Interspeech 2021) and the voice embedding of Resemblyzer (a GE2E speaker
encoder; Wan et al., ICASSP 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from talking import cli, media
from talking.people import PARTICIPANT
from talking.turns import Turn


@dataclass
class Settings:
    """Settings of speaker diarization."""

    model: str = cli.setting(
        "embedded",
        "diarization pipeline: the one over packaged models, or one of pyannote.audio's published ones, in `weights`",
        choices=["embedded", "pyannote-community-1", "pyannote-3.1"],
    )
    weights: str = cli.setting(
        "",
        "folder of the published pipeline; results/weights/pyannote-community-1 and results/weights/pyannote-3.1 are fetched",
    )
    speech_threshold: float = cli.setting(
        0.44, "embedded: a speaker is heard where the segmentation network is at least this sure (0-1)"
    )
    pause_s: float = cli.setting(0.5, "embedded: pauses of one speaker up to this long, in seconds, belong to the turn")
    same_voice: float = cli.setting(
        0.08,
        "embedded: voices with centres nearer than this cosine distance are one, however many people are seen talking",
    )
    other_voice: float = cli.setting(
        0.22,
        "embedded: a voice with a centre farther than this cosine distance from all others is one more person, seen or not",
    )
    seconds_seen: float = cli.setting(
        1.0, "a person who speaks for fewer seconds is not counted as a person seen talking"
    )
    share_seen: float = cli.setting(
        0.02,
        "nor one who speaks for a smaller share of the time in which anybody is seen talking",
        minimum=0,
        maximum=1,
    )


def diarize(sound: str | Path, people_seen: int = 0, settings: Settings | None = None) -> list[Turn]:
    """Return the speaker turns of a `media/` wav, overlapping where people talk at once; silence has none.

    `people_seen` is how many people the picture shows talking (0 if unknown): a hint, as a voice may come from off screen.
    """
    settings = settings or Settings()
    samples = media.sound(sound)
    if samples.size == 0:
        return []
    # With pyannote.audio they take seconds to import, and a video without sound needs none.
    from talking import diarization_pipelines

    annotation = diarization_pipelines.PIPELINES[settings.model](samples, people_seen, settings)
    return [
        Turn(segment.start, min(segment.end, samples.size / media.SOUND_HZ), speaker)
        for segment, _, speaker in annotation.itertracks(yield_label=True)
        if segment.start < samples.size / media.SOUND_HZ
    ]


def people_seen_talking(
    asd: pd.DataFrame, person_of_track: Mapping[int, int], seconds: float, share: float = 0.0
) -> int:
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

    They are those who take part, if anybody does, and whose face was embedded, if anybody's was: of the others nobody
    can tell whether they are one more person or one already counted, as a man in profile in every other shot.
    """
    part = {int(t) for tracks in people.loc[people["role"] == PARTICIPANT, "tracks"] for t in tracks}
    known = {person_of_track[t] for t in embeddings["track"].tolist() if t in person_of_track}
    found = {t: p for t, p in person_of_track.items() if t in part} or dict(person_of_track)
    return {t: p for t, p in found.items() if p in known} or found
