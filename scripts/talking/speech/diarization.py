"""Who is heard when: pyannote.audio's diarization pipeline, given how many people are seen talking.

The embedded models come inside packages: the segmentation network of whisperx (pyannote's PyanNet, three
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
        "diarization pipeline: embedded (packaged models) or a published one of pyannote.audio, in `weights`",
        choices=["embedded", "pyannote-community-1", "pyannote-3.1"],
    )
    weights: str = cli.setting(
        "",
        "folder of the published pipeline, such as results/weights/pyannote-community-1, which is downloaded",
    )
    speech_threshold: float = cli.setting(
        0.44, "embedded: probability of the segmentation network from which a speaker is heard (0-1)"
    )
    pause_s: float = cli.setting(0.5, "embedded: pauses of one speaker up to this long, in seconds, belong to the turn")
    same_voice: float = cli.setting(
        0.08,
        "embedded: cosine distance below which two voices are one, however many people are seen talking",
    )
    other_voice: float = cli.setting(
        0.22,
        "embedded: cosine distance from all other voices above which a voice is one more person, seen or not",
    )
    seconds_seen: float = cli.setting(
        1.0, "a person counts as seen talking if he or she speaks for at least so many seconds"
    )
    share_seen: float = cli.setting(
        0.02,
        "such a person must also speak for at least this fraction of the time in which anybody is seen talking",
        minimum=0,
        maximum=1,
    )


def diarize(sound: str | Path, people_seen: int = 0, settings: Settings | None = None) -> list[Turn]:
    """Return the speaker turns of a `media/` wav, overlapping where people talk at once; silence has none.

    `people_seen` is how many people the picture shows talking (0 if unknown): a hint, as a voice may come from off screen.
    """
    settings = settings or Settings()
    samples = media.sound(sound)
    if not samples.any():
        return []
    # Imported here: with pyannote.audio they take seconds, and a video without sound, which is silence, needs none.
    from talking.speech import pipelines

    annotation = pipelines.PIPELINES[settings.model](samples, people_seen, settings)
    return [
        Turn(segment.start, min(segment.end, samples.size / media.SOUND_HZ), speaker)
        for segment, _, speaker in annotation.itertracks(yield_label=True)
        if segment.start < samples.size / media.SOUND_HZ
    ]
