"""The lips' model on faces whose lips are moved by a known signal, under a sound made of the same or another one."""

import numpy as np
import pandas as pd
import pytest

from talking import speaking
from talking.core.errors import InputError
from talking.faces import measures
from talking.speaking import lip_sync
from talking.video import encoding

FRAMES = 200


def syllables(seed: int, frames: int = FRAMES) -> np.ndarray:
    """Return an opening (frames,) in 0-1 that rises and falls about four times a second."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.uniform(4, 9, frames // 4))
    time = np.arange(frames)[:, None]
    return np.clip(np.exp(-(((time - at[None]) / 2) ** 2)) @ rng.uniform(0.5, 1, len(at)), 0, 1)


def sound_of(opening: np.ndarray, path) -> None:
    """Write noise in the speech band that is as loud as the lips are open, 40 ms later."""
    rng = np.random.default_rng(9)
    late = np.concatenate([[0], opening[:-1]])
    loud = np.interp(np.arange(len(opening) * 640) / 640, np.arange(len(opening)) + 0.5, late)
    encoding.write_sound(path, (0.2 * loud * rng.normal(size=loud.size)).clip(-1, 1).astype(np.float32))


def face(opening: np.ndarray, x: float = 300, size: float = 100, profile: float = 0, seed: int = 0) -> np.ndarray:
    """Return landmarks (t, 68, 2) of a face `size` px high whose lips open up to a tenth of it; 0.2 px of noise."""
    points = np.zeros((len(opening), 68, 2))
    points[:, 27], points[:, 8], points[:, 33] = (x, 100), (x, 100 + size), (x, 100 + 0.35 * size)
    points[:, 30] = (x + profile * 0.6 * size, 100 + 0.3 * size)
    points[:, 36:42], points[:, 42:48] = (x - 0.3 * size, 100), (x + 0.3 * size, 100)
    points[:, 60:65] = (x, 100 + 0.6 * size)
    points[:, 65:68] = (x, 100 + 0.6 * size)
    points[:, 65:68, 1] += 0.1 * size * opening[:, None]
    return points + np.random.default_rng(seed).normal(0, 0.2, points.shape)


def scored(tmp_path, faces: list[np.ndarray], heard: np.ndarray, voice: float = 0.99) -> list[np.ndarray]:
    """Return the scores of faces seen from frame 0 on, a track each."""
    sound_of(heard, tmp_path / "s.wav")
    tracks = pd.concat([pd.DataFrame({"track": k, "frame": np.arange(len(f))}) for k, f in enumerate(faces)])
    level = pd.DataFrame({"frame": np.arange(len(heard)), "voice": voice, "loudness_db": -20.0})
    found = lip_sync.score(tracks.reset_index(drop=True), np.concatenate(faces), level, tmp_path / "s.wav")
    assert np.isfinite(found).all()
    return np.split(found, np.cumsum([len(f) for f in faces])[:-1])


def test_the_gap_is_what_the_lips_do_at_any_size_place_and_roll():
    opening = syllables(1)
    expected = 0.1 * opening
    for size, x, degrees in ((60, 100, 0), (300, 900, 0), (150, 400, 25)):
        points = face(opening, x, size) - np.array([x, 150])
        turn = np.deg2rad(degrees)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        assert np.abs(measures.lip_gap(points @ rotation.T) - expected).max() < 1.5 / size


def test_the_talker_is_told_from_the_listener(tmp_path):
    said = syllables(2)
    talker, listener = scored(tmp_path, [face(said), face(np.zeros(FRAMES), 700, seed=1)], said)
    assert (talker[10:-10] > 0).all() and (listener < 0).all()


def test_both_talk_when_both_move(tmp_path):
    said, also = syllables(3), syllables(4)
    first, second = scored(tmp_path, [face(said), face(also, 700, seed=1)], np.maximum(said, also))
    assert (first > 0).mean() > 0.8 and (second > 0).mean() > 0.8


def test_a_face_alone_is_judged_by_level(tmp_path):
    said = syllables(5)
    assert np.median(scored(tmp_path, [face(said)], said)[0]) > 0
    assert np.median(scored(tmp_path, [face(0 * said)], said)[0]) < -0.5


def test_lips_that_move_in_silence_do_not_speak(tmp_path):
    (moving,) = scored(tmp_path, [face(syllables(6))], np.zeros(FRAMES), voice=0.01)
    assert (moving < 0).all()


def test_other_words_score_less_than_ones_own(tmp_path):
    said = syllables(7)
    own, other = scored(tmp_path, [face(said), face(syllables(8), 700, seed=1)], said)
    assert np.median(own) > np.median(other) + 1


def test_a_nodding_head_is_no_talking_mouth(tmp_path):
    said = syllables(10)
    nodding = face(np.zeros(FRAMES), seed=2)
    # All features are squeezed towards the bridge of the nose together, as when the head nods.
    bridge = nodding[:, 27:28]
    squeezed = bridge + (nodding - bridge) * np.stack([np.ones(FRAMES), 1 - 0.2 * syllables(11)], axis=1)[:, None]
    squeezed[:, 65:68, 1] += 1.0 * syllables(11)[:, None]
    assert np.median(scored(tmp_path, [squeezed], said)[0]) < 0


@pytest.mark.parametrize("how", ["nan", "profile"])
def test_lips_that_are_not_seen_neither_speak_nor_compete(tmp_path, how):
    said = syllables(12)
    hidden = face(syllables(13), 700, profile=1.5 if how == "profile" else 0, seed=1)
    if how == "nan":
        hidden[:] = np.nan
    seen, unseen = scored(tmp_path, [face(said), hidden], said)
    alone = scored(tmp_path, [face(said)], said)[0]
    assert np.allclose(seen, alone)
    # Unlikely rather than sure: the turns may know better.
    assert (unseen < 0).all() and -2 < np.median(unseen) < -0.1


def test_a_short_loss_is_bridged(tmp_path):
    said = syllables(14)
    lost = face(said)
    lost[100:105] = np.nan
    whole, patched = scored(tmp_path, [face(said)], said)[0], scored(tmp_path, [lost], said)[0]
    assert np.abs(whole - patched).max() < 2 and (patched[95:110] > 0).all()


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_any_length_gives_finite_scores(tmp_path, length):
    found = scored(tmp_path, [face(syllables(15)[:length])], syllables(15)[:length])[0]
    assert found.shape == (length,)


def test_no_sound_and_no_voice_rows(tmp_path):
    (tmp_path / "s.wav").touch()
    tracks = pd.DataFrame({"track": 0, "frame": np.arange(30)})
    voice = pd.DataFrame({"frame": [], "voice": [], "loudness_db": []}, dtype=float).astype({"frame": int})
    found = lip_sync.score(tracks, face(syllables(16)[:30]), voice, tmp_path / "s.wav")
    assert (found < 0).all()


def test_the_envelope_is_the_same_in_blocks(tmp_path, monkeypatch):
    sound_of(syllables(17), tmp_path / "s.wav")
    whole = lip_sync.speech_envelope(tmp_path / "s.wav", FRAMES)
    monkeypatch.setattr(lip_sync, "_BLOCK", 33)
    assert np.allclose(whole, lip_sync.speech_envelope(tmp_path / "s.wav", FRAMES), atol=1e-6)
    # The sound's peaks are the lips', one frame later.
    opening = lip_sync.band_pass(syllables(17), np.ones(FRAMES), 1.5, 8)
    lags = [np.corrcoef(np.roll(opening, lag)[20:-20], whole[1][20:-20])[0, 1] for lag in range(-3, 4)]
    assert np.argmax(lags) - 3 in (0, 1) and max(lags) > 0.6


def test_landmarks_of_other_tracks_are_refused(tmp_path):
    from talking.core import tables

    rows = {"track": [0], "shot": [0], "frame": [0], "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "detected": True, "confidence": 1.0}  # fmt: skip
    tables.write("tracks", pd.DataFrame(rows), tmp_path / "t.parquet")
    tables.write("voice", tables.empty("voice"), tmp_path / "v.parquet")
    np.savez(tmp_path / "l.npz", track=[1], frame=[0], points=np.zeros((1, 68, 2)))
    files = [tmp_path / name for name in ("m.mp4", "s.wav", "t.parquet", "l.npz", "v.parquet")]
    with pytest.raises(InputError, match=r"l\.npz"):
        speaking.read_inputs(*files)


def test_no_tracks_give_an_empty_table(tmp_path):
    from talking.core import tables

    inputs = speaking.Inputs(
        tmp_path / "m", tmp_path / "s", tables.empty("tracks"), {"points": np.zeros((0, 68, 2))}, tables.empty("voice")
    )
    for model in speaking.MODELS:
        assert speaking.score(inputs, speaking.Settings(model=model)).empty


def test_a_network_without_weights_says_so(tmp_path):
    tracks = pd.DataFrame({"track": [0], "frame": [0]})
    inputs = speaking.Inputs(tmp_path / "m", tmp_path / "s", tracks, {}, pd.DataFrame())
    with pytest.raises(InputError, match="weights"):
        speaking.score(inputs, speaking.Settings(model="light_asd"))
