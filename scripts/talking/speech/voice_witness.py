"""Voice activity by two models: silero-vad, which hardly hears voices under music, and speaker segmentation.

Where the sound is loud and silero is not sure of a voice for a second, pyannote's speaker segmentation (Bredin and Laurent,
2021), which the diarization uses too, decides.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from talking.core import intervals, signals
from talking.sound import voice
from talking.video import media

# A loud frame is within this of the loudest; it is in doubt where silero's mean over a second about it is no sure voice.
_LOUD_DB, _SILENT_DB = 25.0, -50.0
_SURE, _NEAR_FRAMES = 0.7, media.FPS
# Doubt of a second or more goes to the second model, with so much of the sound around it; at most ten minutes at once.
_LEAST_DOUBT, _AROUND, _MOST_AT_ONCE = media.FPS, 3 * media.FPS, 600 * media.FPS
# Under music the segmentation network is underconfident: log odds that are added.
_UNDER_MUSIC = 0.85


def detect(sound: str | Path, settings: voice.Settings | None = None) -> pd.DataFrame:
    """Return the table `voice`, a row for every frame that a `media/` wav begins, by the model of the settings."""
    found = voice.detect(sound)
    alone = (settings or voice.Settings()).model == "silero"
    return found if alone else with_second_witness(found, sound)


def with_second_witness(heard: pd.DataFrame, sound: str | Path) -> pd.DataFrame:
    """Return the table `voice` of a `media/` wav in which speaker segmentation has decided the doubtful frames."""
    unsure = doubtful(heard)
    spans = [s for s in intervals.from_mask(unsure) if s[1] - s[0] >= _LEAST_DOUBT]
    if not spans:
        return heard
    # With pyannote.audio it takes seconds to import, and clear sound needs none.
    from talking.speech import voice_models

    witness = voice_models.speech_probability()
    probability = heard["voice"].to_numpy(copy=True)
    around = intervals.union((max(a - _AROUND, 0), min(b + _AROUND, len(heard))) for a, b in spans)
    for start, end in [(a, min(a + _MOST_AT_ONCE, b)) for s, b in around for a in range(s, b, _MOST_AT_ONCE)]:
        found = witness(media.sound(sound, start, end))[: end - start]
        sure = scipy.special.expit(scipy.special.logit(np.clip(found, 1e-4, 1 - 1e-4)) + _UNDER_MUSIC)
        here = slice(start, start + len(found))
        probability[here] = np.where(unsure[here], np.maximum(probability[here], sure), probability[here])
    return heard.assign(voice=probability)


def doubtful(heard: pd.DataFrame) -> np.ndarray:
    """Return for each frame of the table `voice` whether it is loud and a voice is not sure over a second about it."""
    loudness = heard["loudness_db"].to_numpy()
    if not len(loudness):
        return np.zeros(0, dtype=bool)
    loud = loudness > max(np.percentile(loudness, 95) - _LOUD_DB, _SILENT_DB)
    return loud & (signals.moving_mean(heard["voice"].to_numpy(), _NEAR_FRAMES) < _SURE)
