"""Voice activity: rows lie at their frames, silence stays silent, blocks follow each other without a seam."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talking.core import tables
from talking.sound import voice
from talking.speech import turns, voice_witness
from talking.video import encoding, media


def table(probabilities) -> pd.DataFrame:
    return pd.DataFrame({"frame": range(len(probabilities)), "voice": probabilities, "loudness_db": -20.0})


def test_speech_is_heard_in_its_turns(tmp_path):
    # Half a minute of a real dialogue with its turns, which pyannote.audio carries.
    folder = Path(importlib.util.find_spec("pyannote.audio").origin).parent / "sample"
    found = voice.detect(folder / "sample.wav")
    assert found["frame"].tolist() == list(range(750))
    spoken = np.any(list(turns.spoken_frames(turns.read(folder / "sample.rttm"), 750).values()), axis=0)
    heard = found["voice"].to_numpy() > 0.5
    assert heard[spoken].mean() > 0.9
    assert heard[~spoken].mean() < 0.15
    tables.write("voice", found, tmp_path / "v.parquet")


def music(samples: int) -> np.ndarray:
    """Return plucked chords with a beat, a chord every half second, 16 kHz, peak 1."""
    rng = np.random.default_rng(0)
    beat = media.SOUND_HZ // 2
    time = np.arange(beat) / media.SOUND_HZ
    bars = []
    for note in rng.choice([0, 3, 5, 7], -(-samples // beat)):
        root = 220 * 2 ** (note / 12)
        chord = sum(np.sin(2 * np.pi * root * r * time) / r**0.5 for r in (1, 1.26, 1.5, 2, 3, 4.02))
        bars.append(chord * np.exp(-2 * time) + 0.8 * rng.normal(size=beat) * np.exp(-30 * time))
    played = np.concatenate(bars)[:samples]
    return played / np.abs(played).max()


def test_speech_under_music_is_heard_and_music_alone_is_none(tmp_path):
    folder = Path(importlib.util.find_spec("pyannote.audio").origin).parent / "sample"
    speech = media.sound(folder / "sample.wav")
    played = music(len(speech))
    loud = played * speech.std() / played.std() * 10 ** (5 / 20)
    for name, sound in (("mixed", speech + loud), ("music", played)):
        encoding.write_sound(tmp_path / f"{name}.wav", (0.9 * sound / np.abs(sound).max()).astype(np.float32))
    spoken = np.any(list(turns.spoken_frames(turns.read(folder / "sample.rttm"), 750).values()), axis=0)
    alone = voice.detect(tmp_path / "mixed.wav")["voice"].to_numpy() > 0.5
    both = voice_witness.detect(tmp_path / "mixed.wav")["voice"].to_numpy() > 0.5
    assert both[spoken].mean() > alone[spoken].mean() + 0.2
    assert both[~spoken].mean() < 0.05
    assert (voice_witness.detect(tmp_path / "music.wav")["voice"] < 0.5).all()


def test_the_second_witness_is_asked_only_where_sound_is_loud_and_no_voice_is_sure():
    heard = table([0.9] * 100 + [0.2] * 100)
    assert voice_witness.doubtful(heard).tolist() == [False] * 95 + [True] * 105
    assert not voice_witness.doubtful(heard.assign(loudness_db=[-20.0] * 95 + [-60.0] * 105)).any()
    assert not voice_witness.doubtful(heard.iloc[:0]).size


def test_the_second_witness_is_asked_where_the_first_hesitates():
    # Under music silero comes and goes between syllables: a few sure frames in a second are no sure voice.
    hesitant = table(([0.4] * 20 + [0.9] * 5) * 8)
    assert voice_witness.doubtful(hesitant).all()
    # A pause between two words of clear speech is none of its doubt.
    assert not voice_witness.doubtful(table([0.99] * 50 + [0.1] * 6 + [0.99] * 50)).any()


def test_silence_and_noise_are_no_voice(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.02, 3 * media.SOUND_HZ)
    encoding.write_sound(tmp_path / "a.wav", np.concatenate([np.zeros(3 * media.SOUND_HZ), noise]))
    found = voice_witness.detect(tmp_path / "a.wav")
    assert len(found) == 150
    assert found["voice"].max() < 0.5
    assert found["loudness_db"].iloc[:75].max() == pytest.approx(voice.SILENCE_DB)
    assert found["loudness_db"].iloc[75:].mean() == pytest.approx(20 * np.log10(0.02), abs=0.5)


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, voice._BLOCK_FRAMES * 640, voice._BLOCK_FRAMES * 640 + 1])
def test_there_is_a_row_for_every_begun_frame(tmp_path, samples):
    encoding.write_sound(tmp_path / "a.wav", np.zeros(samples))
    assert len(voice.detect(tmp_path / "a.wav")) == -(-samples // 640)


def test_a_file_without_bytes_has_no_rows(tmp_path):
    (tmp_path / "a.wav").touch()
    found = voice.detect(tmp_path / "a.wav")
    tables.write("voice", found, tmp_path / "v.parquet")
    assert tables.read("voice", tmp_path / "v.parquet").empty


def test_a_probability_lies_at_its_own_time(tmp_path, monkeypatch):
    # A model that hears the loudness: each frame's probability must be that of its own 40 ms.
    def loudness():
        return lambda samples: np.abs(np.pad(samples, (0, -samples.size % 512)).reshape(-1, 512)).mean(axis=1)

    monkeypatch.setattr(voice, "silero", loudness)
    level = np.zeros(2 * voice._BLOCK_FRAMES)
    level[[3, 700, voice._BLOCK_FRAMES - 1, voice._BLOCK_FRAMES, 2 * voice._BLOCK_FRAMES - 1]] = 0.8
    encoding.write_sound(tmp_path / "a.wav", np.repeat(level, media.SAMPLES_PER_FRAME))
    found = voice.detect(tmp_path / "a.wav")["voice"].to_numpy()
    assert found.sum() == pytest.approx(0.8 * 5, rel=1e-3)
    for frame in np.flatnonzero(level):
        assert found[frame] == found[max(frame - 1, 0) : frame + 2].max() > 0.5


def test_segments_close_short_pauses_and_widen():
    probability = np.zeros(100)
    probability[[*range(10, 20), *range(24, 30), *range(60, 62)]] = 0.9
    assert voice.segments(table(probability), 0.5, pause_s=0.2, pad_s=0.0) == [(10, 30), (60, 62)]
    assert voice.segments(table(probability), 0.5, pause_s=0.1, pad_s=0.0) == [(10, 20), (24, 30), (60, 62)]
    assert voice.segments(table(probability), 0.5, pause_s=0.1, pad_s=0.08) == [(8, 32), (58, 64)]
    assert voice.segments(table(np.ones(5)), 0.5, pause_s=1.0, pad_s=1.0) == [(0, 5)]
    assert voice.segments(table(np.zeros(5)), 0.5, pause_s=1.0, pad_s=1.0) == []
