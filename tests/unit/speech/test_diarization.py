"""Who is heard when, by the packaged models."""

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

import spoken
from spoken import DIALOGUE
from talking.sound import voice
from talking.speech import diarization, turns, words
from talking.speech.turns import Turn
from talking.video import encoding, media

pytestmark = pytest.mark.slow


def annotation(spoken: list[Turn]) -> Annotation:
    out = Annotation()
    for i, turn in enumerate(spoken):
        out[Segment(turn.start_s, turn.end_s), i] = turn.speaker
    return out


def error(truth: list[Turn], found: list[Turn], seconds: float) -> float:
    """Return the diarization error with a collar of 0.25 s on each side."""
    whole = Timeline([Segment(0, seconds)])
    return DiarizationErrorRate(collar=0.5)(annotation(truth), annotation(found), uem=whole)


@pytest.fixture(scope="module")
def film(shared, tmp_path_factory):
    """The sound of a film with a voice from off screen, and its true turns."""
    return spoken.film(shared, tmp_path_factory.mktemp("film"))


@pytest.mark.parametrize("seen", [0, 2, 3])
def test_a_film_is_diarized_with_its_voice_from_off_screen(film, seen):
    sound, truth = film
    found = diarization.diarize(sound, seen)
    assert len({t.speaker for t in found}) == 3 or seen == 0
    assert error(truth, found, 18) < (0.1 if seen else 0.15)


def test_a_real_dialogue_is_diarized_when_told_that_two_people_talk_and_overlap_stays_overlap():
    truth, found = turns.read(DIALOGUE / "sample.rttm"), diarization.diarize(DIALOGUE / "sample.wav", 2)
    assert error(truth, found, 30) < 0.05
    both = [np.sum(list(turns.spoken_frames(t, 750).values()), axis=0) > 1 for t in (truth, found)]
    assert (both[0] & both[1]).sum() > 0.3 * both[0].sum() > 0


def test_meetings_are_diarized_as_well_as_the_packaged_segmentation_allows(shared):
    for name in ("dev00", "dev01"):
        truth = turns.read(shared / "data/audio/debug.development.rttm", name)
        assert error(truth, diarization.diarize(shared / f"data/audio/{name}.wav", 2), 30) < 0.15


def test_one_voice_is_one_speaker(film, tmp_path):
    samples = media.sound(film[0], 82, 240)
    encoding.write_sound(tmp_path / "one.wav", samples)
    for seen in (0, 1):
        assert len({t.speaker for t in diarization.diarize(tmp_path / "one.wav", seen)}) == 1


@pytest.mark.parametrize("seconds", [0, 1 / 16000, 0.1, 7])
def test_silence_of_any_length_has_no_turns_and_no_words(tmp_path, seconds):
    encoding.write_sound(tmp_path / "a.wav", np.zeros(int(seconds * 16000)))
    assert diarization.diarize(tmp_path / "a.wav", 2) == []
    transcript, pieces = words.transcribe(tmp_path / "a.wav", voice.detect(tmp_path / "a.wav"))
    assert transcript.empty
    assert pieces.empty


def test_a_file_without_bytes_has_no_turns(tmp_path):
    (tmp_path / "a.wav").touch()
    assert diarization.diarize(tmp_path / "a.wav", 2) == []


def test_a_tenth_of_a_second_of_speech_does_not_break_it(tmp_path):
    encoding.write_sound(tmp_path / "a.wav", media.sound(DIALOGUE / "sample.wav", 200, 275)[:1600])
    for turn in diarization.diarize(tmp_path / "a.wav", 2):
        assert 0 <= turn.start_s < turn.end_s <= 0.1
