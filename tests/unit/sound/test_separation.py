"""Vocal separation: nothing is lost at the seams, and the real loading code with a small random network."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torchaudio.models import HDemucs

from talking.core.errors import InputError
from talking.sound import embeddings, models, separation
from talking.video import media


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("hdemucs") / "small.pt"
    torch.save(HDemucs(["drums", "bass", "other", "vocals"], channels=4, nfft=4096, depth=6).state_dict(), path)
    return path


def hum(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * media.SOUND_HZ)) / media.SOUND_HZ
    return (0.3 * np.sin(2 * np.pi * 220 * t) + 0.05 * np.sin(2 * np.pi * 3000 * t) + 0.02).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.04, 0.7, 3.01, 10.0, 10.4, 31.7])
@pytest.mark.parametrize("at_once", [1, 2])
def test_what_passes_everything_changes_nothing(seconds, at_once):
    lengths = []

    def everything(stereo):
        assert stereo.shape[1] == 2 and np.array_equal(stereo[:, 0], stereo[:, 1])
        lengths.append(stereo.shape[2])
        return stereo

    samples = hum(seconds)
    found = separation.separated(samples, everything, at_once)
    assert found.shape == samples.shape and found.dtype == np.float32
    # Resampling there and back ripples at the very ends.
    inside = slice(50, -50)
    np.testing.assert_allclose(found[inside], samples[inside], atol=0.01)
    assert max(lengths) <= 10 * 44_100


def test_pieces_fade_into_each_other():
    levels = iter([0.0, 1.0, 0.0, 1.0])
    found = separation.separated(hum(25), lambda stereo: np.full_like(stereo, next(levels)))[50:-50]
    # From one piece's level to the next within a second: no two samples are far apart.
    assert np.ptp(found) > 0.1
    assert np.abs(np.diff(found)).max() < 0.01 * np.ptp(found)


@pytest.mark.slow
def test_pieces_at_once_give_the_voices_of_one_after_the_other(weights, monkeypatch):
    samples = hum(21) + np.random.default_rng(0).normal(0, 0.1, 21 * 16_000).astype(np.float32)
    found = {}
    for at_once in (1, 3):
        separated = separation.separated
        with monkeypatch.context() as patch:
            patch.setattr(separation, "separated", lambda s, v, _, n=at_once, f=separated: f(s, v, n))
            found[at_once] = separation.hdemucs(weights)(samples)
    np.testing.assert_allclose(found[3], found[1], atol=1e-4)


def test_silence_stays_silence():
    def never(stereo):
        raise AssertionError("silence was separated")

    assert not separation.separated(np.zeros(16_000, np.float32), never).any()


@pytest.mark.slow
def test_published_weights_form_is_loaded_and_the_sound_embedded_is_the_voices(weights, tmp_path):
    samples = hum(2)
    voices = separation.hdemucs(weights)(samples)
    assert voices.shape == samples.shape and np.isfinite(voices).all()
    assert not np.allclose(voices, samples, atol=0.01)
    soundfile.write(tmp_path / "v.wav", samples, media.SOUND_HZ, subtype="PCM_16")
    clips = pd.DataFrame({"clip": ["c"], "candidate": [True], "start_frame": [0], "end_frame": [50]})
    settings = embeddings.Settings(separation="hdemucs", separation_weights=str(weights))
    [(_, found)] = embeddings.embed(tmp_path / "v.wav", clips, settings)
    heard = media.sound(tmp_path / "v.wav", 0, 50)
    model = models.whisper_tiny_en(settings)
    expected = embeddings.rows(model, [separation.hdemucs(weights)(heard)])
    np.testing.assert_allclose(found, expected[0], atol=0.02)
    [(_, mixed)] = embeddings.embed(tmp_path / "v.wav", clips, embeddings.Settings())
    assert np.abs(found.astype(float) - mixed).max() > 0.1


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_weights_that_are_none_are_named(tmp_path, content):
    file = tmp_path / "demucs.pt"
    if content:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"demucs\.pt"):
        separation.hdemucs(file)


def test_other_weights_are_named(tmp_path):
    torch.save({"linear.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds no weights of Hybrid Demucs"):
        separation.hdemucs(tmp_path / "other.pt")
