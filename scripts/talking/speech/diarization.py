"""Who is heard when: pyannote.audio's diarization pipeline, told how many people are seen talking.

The embedded models are those that packages carry: the segmentation network of whisperx (pyannote's PyanNet, three
speakers, 5 s windows; Bredin and Laurent, Interspeech 2021) and the voice embedding of Resemblyzer (a GE2E speaker
encoder; Wan et al., ICASSP 2018).
"""

from dataclasses import dataclass
from pathlib import Path

from talking.core import cli
from talking.speech.turns import Turn
from talking.video import media


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
    from talking.speech import pipelines

    annotation = pipelines.PIPELINES[settings.model](samples, people_seen, settings)
    return [
        Turn(segment.start, min(segment.end, samples.size / media.SOUND_HZ), speaker)
        for segment, _, speaker in annotation.itertracks(yield_label=True)
        if segment.start < samples.size / media.SOUND_HZ
    ]
