"""A picture and recordings: poses that move as the data set's people do, who speaks when, and the whole command."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch

import generate as command
from covog import config, convert, photo
from covog.generate import LISTENS, SPEAKS
from covog.model import CovOG
from covog_clips import make_dataset, pose
from covog_toys import TOY
from talking.core import keypoints
from talking.core.errors import InputError
from talking.sound import recordings
from talking.video import encoding, media

# What the packaged Whisper gives a frame.
LAYERS, CHANNELS = 5, 384
NOSE = keypoints.NOSE_BRIDGE_END


def tone(seconds: float, loud_from: float, loud_to: float, hertz: float = 200.0) -> np.ndarray:
    """A recording at 16 kHz that is loud for a while."""
    t = np.arange(round(seconds * media.SOUND_HZ)) / media.SOUND_HZ
    return (0.3 * np.sin(2 * np.pi * hertz * t) * ((t >= loud_from) & (t < loud_to))).astype(np.float32)


def talker(frames: int, width: float = 12.0) -> np.ndarray:
    """Points (f, 133, 2) of somebody with a face of some width, who nods by a quarter of it and opens the mouth now and then."""
    points = (pose(1, 1)[:, 0].astype(float) * width / 12).repeat(frames, axis=0)
    points[:, keypoints.INDEX["face_62"]] = points[:, NOSE] + (0, 0.3 * width)
    points[:, keypoints.INDEX["face_66"]] = points[:, NOSE] + (0, 0.31 * width)
    points[..., 1] += 0.125 * width * np.sin(np.arange(frames) / 4)[:, None]
    lower = [keypoints.INDEX["face_66"], keypoints.CHIN]
    points[::3, lower, 1] += 0.1 * width
    return points


def test_a_motion_counts_in_widths_of_the_face_and_its_mouth_from_closed():
    sure = np.ones((40, keypoints.COUNT))
    small, large = (photo.motion(talker(40, width), sure) for width in (12.0, 60.0))
    np.testing.assert_allclose(small, large, atol=1e-6)
    nods = small[:, NOSE, 1]
    assert np.ptp(nods) == pytest.approx(0.25, abs=0.01) and abs(np.median(nods)) < 1e-6
    opened = small[:, keypoints.INDEX["face_66"], 1] - nods
    np.testing.assert_allclose(opened, np.where(np.arange(40) % 3 == 0, 0.1, 0), atol=1e-6)
    # Hands and hips stay, and so does what is not known throughout.
    assert not small[:, keypoints.LEFT_HAND].any() and not small[:, keypoints.INDEX["left_hip"]].any()
    sure[7, keypoints.LEFT_SHOULDER] = 0
    moved = photo.motion(talker(40), sure)
    assert not moved[:, keypoints.LEFT_SHOULDER].any() and moved[:, keypoints.RIGHT_SHOULDER].any()


def test_motions_follow_each_other_without_jumps():
    up = [np.full((30, keypoints.COUNT, 2), value) for value in (-0.5, 0.5)]
    out = photo.played(up, 400, np.random.default_rng(0))
    assert out.shape == (400, keypoints.COUNT, 2)
    assert {-0.5, 0.5} <= set(out[:, 0, 0].tolist())
    assert np.abs(np.diff(out, axis=0)).max() < 0.1 + 1e-6


def test_speech_is_where_a_recording_is_loud():
    noise = np.random.default_rng(0).normal(0, 1e-4, 4 * media.SOUND_HZ).astype(np.float32)
    frames = photo.spoken(tone(4, 1, 2) + noise, 100)
    np.testing.assert_array_equal(np.flatnonzero(frames), np.arange(25, 50))
    assert not photo.spoken(noise, 100).any()
    # A breath within a sentence is speech.
    assert photo.spoken(tone(4, 1, 2) + tone(4, 2.3, 3) + noise, 100)[25:75].all()


def seen(width: float) -> dict[str, np.ndarray]:
    """Two people of a picture as a clip of one frame."""
    points = np.stack([talker(1, width)[0], talker(1, width)[0] + (200, 0)])[None]
    around = np.concatenate([points.min(2), points.max(2)], axis=-1)
    scores = np.ones(points.shape[:3])
    scores[0, 1, keypoints.LEFT_HAND] = 0
    return {
        "faces": around[0], "keypoints": points, "scores": scores, "boxes": around, "valid": np.ones((1, 2), dtype=bool),
    }  # fmt: skip


def test_the_people_of_a_picture_speak_while_they_are_heard_and_move_about_where_they_are():
    sure = np.ones((60, keypoints.COUNT))
    moving, resting = photo.motion(talker(60), sure), np.zeros((60, keypoints.COUNT, 2))
    voices = [tone(4, 0, 1.5), tone(4, 2, 4)]
    people = seen(width=24.0)
    script = photo.script_of_picture(
        np.zeros((100, 400, 3), dtype=np.uint8), people, voices, np.zeros((100, 2, LAYERS, CHANNELS)),
        {True: [moving], False: [resting]}, np.random.default_rng(0),
    )  # fmt: skip
    assert script.frames == 100 and script.source == (400, 100)
    scores = script.people.scores
    assert (scores[:37] == [SPEAKS, LISTENS]).all() and (scores[50:] == [LISTENS, SPEAKS]).all()
    away = script.people.keypoints - people["keypoints"]
    still = slice(50, 100), slice(0, 38)
    for person in range(2):
        # Fading takes some frames about where speech begins and ends.
        assert not away[still[person], person][8:-8].any()
        other = away[still[1 - person], person]
        assert np.ptp(other[:, NOSE, 1]) == pytest.approx(0.25 * 24, rel=0.1)
        np.testing.assert_allclose(
            script.people.faces[:, person], people["faces"][person] + np.tile(away[:, person, NOSE], 2)
        )
    assert np.array_equal(script.reference_people.keypoints, people["keypoints"])
    assert not script.people.confidence[:, 1, keypoints.LEFT_HAND].any()


def test_the_library_has_listeners_only_where_somebody_speaks(tmp_path):
    root = make_dataset(tmp_path / "dataset", people=(2, 2), frames=30)
    found = photo.motions(root, np.random.default_rng(0))
    # In either clip one speaks and one listens; the quieter half stays.
    assert [len(found[speaks]) for speaks in (True, False)] == [1, 1]
    assert found[True][0].shape == (30, keypoints.COUNT, 2)
    for clip in root.glob("toy_*"):
        speakers = json.loads((clip / "speakers.json").read_text())
        speakers["people"][0]["speak"] = []
        (clip / "speakers.json").write_text(json.dumps(speakers))
    with pytest.raises(InputError, match="has no second of one person who speaks"):
        photo.motions(root, np.random.default_rng(0))


def test_recordings_of_any_kind_and_rate_are_read(tmp_path):
    import soundfile

    heard = tone(1, 0, 1)
    soundfile.write(tmp_path / "a.flac", np.repeat(np.stack([heard, heard], axis=1), 3, axis=0), 48_000)
    read = recordings.read(tmp_path / "a.flac")
    assert abs(len(read) - media.SOUND_HZ) < 100
    assert np.abs(np.fft.rfft(read)).argmax() * media.SOUND_HZ / len(read) == pytest.approx(200, abs=3)
    (tmp_path / "b.wav").write_text("no sound")
    for name in ("b.wav", "none.wav"):
        with pytest.raises(InputError, match=rf"{name} cannot be read as sound"):
            recordings.read(tmp_path / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as training leaves it: weights of a toy, its settings, and where its data set is."""
    root = tmp_path_factory.mktemp("photo")
    dataset = make_dataset(root / "dataset", people=(2,), frames=30)
    settings = config.Config(
        model=config.Model(**{**TOY, "audio_layers": LAYERS, "audio_channels": CHANNELS}),
        encoders=config.Encoders(vae="patches", image_encoder="random"),
        data=config.Data(width=64, height=40, lips="dropped"),
        generation=config.Generation(steps=2, window=12, overlap=2, guidance=1),
    )
    torch.manual_seed(0)
    convert.write_model(CovOG(settings.model), root / "weights.safetensors")
    config.save(settings, root / "config.yaml")
    (root / "provenance.json").write_text(json.dumps({"data_set": str(dataset)}))
    return root


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """Return a function that runs the command with more words."""

    def run(*words):
        given = ["generate", "--weights", trained / "weights.safetensors", "--out", tmp_path / "talk.mp4", *words]
        monkeypatch.setattr(sys, "argv", list(map(str, given)))
        command.main()
        return tmp_path / "talk.mp4"

    return run


@pytest.mark.slow
def test_one_photo_and_two_recordings_become_a_video(run, shared, tmp_path):
    _, picture = next(iter(media.frames_at(shared / "data/real/two_in_turn.mp4", [0])))
    cv2.imwrite(str(tmp_path / "photo.png"), picture[..., ::-1])
    voices = [tone(0.6, 0, 0.3), tone(0.9, 0.4, 0.9, hertz=700)]
    files = [tmp_path / f"{name}.wav" for name in "ab"]
    for file, samples in zip(files, voices, strict=True):
        encoding.write_sound(file, samples)
    out = run("--picture", tmp_path / "photo.png", "--sound", *files)
    # As long as the longer recording, rounded up to a frame.
    assert media.size_and_length(out) == (64, 40, 23)
    heard = recordings.read(out)
    for part, hertz in ((slice(1600, 4000), 200), (slice(7200, 13600), 700)):
        samples = heard[part]
        assert np.abs(np.fft.rfft(samples)).argmax() * media.SOUND_HZ / len(samples) == pytest.approx(hertz, rel=0.03)
    with pytest.raises(InputError, match="shows 2 faces, --sound names 1 files; give one for each person"):
        run("--picture", tmp_path / "photo.png", "--sound", files[0])
    # One of the two faces given by hand.
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[603, 80, 769, 286]]")
    picture_words = ("--picture", tmp_path / "photo.png", "--people", boxes)
    assert media.size_and_length(run(*picture_words, "--sound", files[0]))[2] == 15
    for wrong in ("[[603, 80, 500, 286]]", "[]", "[[2000, 80, 2100, 286]]"):
        boxes.write_text(wrong)
        with pytest.raises(InputError, match=r"boxes\.json must have face boxes"):
            run(*picture_words, "--sound", files[0])


@pytest.mark.slow
def test_what_is_missing_is_one_sentence(run, trained, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 320, 3), 128, dtype=np.uint8))
    encoding.write_sound(tmp_path / "a.wav", tone(0.2, 0, 0.2))
    photo_words = ("--picture", tmp_path / "grey.png", "--sound")
    for words, match in (
        ((*photo_words, tmp_path / "a.wav"), r"grey\.png shows no face that the detector finds"),
        ((*photo_words, tmp_path / "none.wav"), r"none\.wav cannot be read as sound"),
        (("--picture", tmp_path / "none.png", "--sound", tmp_path / "a.wav"), r"none\.png cannot be read as a picture"),
        (
            (*photo_words, tmp_path / "a.wav", "--people", tmp_path / "none.json"),
            r"none\.json cannot be read as a list",
        ),
        (("--picture", tmp_path / "grey.png"), "--picture needs --sound"),
    ):
        with pytest.raises(InputError, match=match):
            run(*words)


def test_the_data_set_is_the_models_own_or_named(trained, tmp_path):
    assert photo.data_set_of(trained / "weights.safetensors") == trained / "dataset"
    with pytest.raises(InputError, match=r"provenance\.json does not say which data set"):
        photo.data_set_of(tmp_path / "weights.safetensors")
    (tmp_path / "provenance.json").write_text(json.dumps({"data_set": "gone"}))
    with pytest.raises(InputError, match=r"gone, the data set of .* is not there; name one with --dataset"):
        photo.data_set_of(tmp_path / "weights.safetensors")


def test_the_data_set_of_another_run_is_found_from_any_folder(tmp_path):
    folder = tmp_path / "results/covog/covog/stage2"
    folder.mkdir(parents=True)
    (tmp_path / "results/dataset").mkdir()
    (folder / "provenance.json").write_text(json.dumps({"data_set": "results/dataset"}))
    assert photo.data_set_of(folder / "weights.safetensors") == (tmp_path / "results/dataset").resolve()
