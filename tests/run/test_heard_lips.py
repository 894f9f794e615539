"""Lips that are heard, of filmed people whose true lips are known: in poses, in pictures of the demo's size, from a photo, and by the
preset tiny."""

import json
import sys
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import generate as command
from covog import command_line, config, convert, data, evaluate, generate, hearing, metrics, motion, presets, train
from covog.conditions import People, Placement
from covog.model import CovOG
from talking.core import keypoints
from talking.dataset import store
from talking.people import picture
from talking.video import encoding, media

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(run):
    return run[0] / "results/dataset"


@pytest.fixture(scope="module")
def clips(dataset):
    return [store.Clip(path) for path in sorted(dataset.glob("*_talk_*"))]


def true_lips(films, clip: store.Clip) -> np.ndarray:
    """Return how far the mouths (f, p) of a clip were drawn open, from the left."""
    table = pd.read_csv(films / "talk.frames.csv")
    table = table[table["frame"].between(clip.meta["start_frame"], clip.meta["end_frame"] - 1)]
    from_left = table.groupby("person")["x1"].median().sort_values().index
    return table.pivot(index="frame", columns="person", values="lip_opening")[from_left].to_numpy()


def agreement(one: np.ndarray, other: np.ndarray) -> list[float]:
    frames = min(len(one), len(other))
    return [float(np.corrcoef(*pair)[0, 1]) for pair in zip(one[:frames].T, other[:frames].T, strict=True)]


def gaps(script: generate.Script, hears: hearing.Hearing) -> np.ndarray:
    """Return how far the heard lips (f, p) are apart, in widths of the face."""
    frames = np.arange(script.frames)
    people = hears.heard(script.people, script.sound, frames, script.reference_people, script.reference_frame)
    face = people.keypoints[frames][:, :, keypoints.FACE]
    return (face[:, :, 66, 1] - face[:, :, 62, 1]) / np.linalg.norm(face[:, :, 16] - face[:, :, 0], axis=-1)


def test_lips_follow_another_clips_sound_and_whoever_is_made_to_speak(clips, films):
    own, other = clips
    hears = hearing.learned([data.Segment(own.path, 0, own.frames)])
    script = generate.script_of(own, other)
    voiced = replace(script, people=replace(script.people, scores=other.scores))
    assert min(agreement(gaps(voiced, hears), true_lips(films, other))) > 0.7
    assert max(agreement(gaps(voiced, hears), true_lips(films, own))) < 0.4
    said = true_lips(films, other).max(axis=1, keepdims=True)
    for person in range(2):
        made = gaps(generate.spoken_by(script, [(person, 0, script.frames)]), hears)
        assert agreement(made[:, [person]], said)[0] > 0.6
        assert made[:, 1 - person].std() < 0.1 * made[:, person].std()


def test_lip_sync_is_higher_with_a_faces_own_sound_than_with_another(clips):
    networks = metrics.Networks(face_marker=motion.dlib_marker())
    for clip, other in (clips, clips[::-1]):
        placement = Placement.fit((clip.width, clip.height), (256, 144))
        faces, found = metrics.Faces.of(People.of(clip), clip.speaking, placement), []
        for sound in (clip, other):
            measures = metrics.Measures(faces, sound.samples(), networks)
            for shown in clip.pictures(0, clip.frames):
                measures.add(*[placement.picture(shown)] * 2)
            found.append(measures.finish()[metrics.LIP_SYNC, "speaking"])
        assert found[0] > 0.6 and found[0] > found[1] + 0.4


def test_the_preset_tiny_hears_after_a_few_steps(dataset, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    settings = config.load(presets.file_of("tiny"))
    few = {"steps": 2, "batch_size": 1, "validation_samples": 1, "validation_steps": 0, "save_every": 0}
    settings.stage1, settings.stage2 = replace(settings.stage1, **few), replace(settings.stage2, **few)
    train.train(settings, 1, dataset, tmp_path / "1")
    train.train(settings, 2, dataset, tmp_path / "2", start=[tmp_path / "1/weights.safetensors"])
    generator = command_line.generator_of(tmp_path / "2/weights.safetensors", settings)
    networks = metrics.Networks(face_marker=motion.dlib_marker())
    rows = evaluate.with_other_sound("covog", generator, dataset, settings, tmp_path, networks)
    assert set(rows["model"]) == {"covog, another clip's sound"} and set(rows["metric"]) == {metrics.LIP_SYNC}
    assert rows.loc[rows["part"] == "all", "value"].item() > 0.4
    assert len(list((tmp_path / "compared").glob("*_other_sound.mp4"))) == 1


def test_in_a_photo_the_mouth_of_whoever_is_recorded_follows_the_recording(dataset, clips, tmp_path, monkeypatch):
    own, other = clips
    settings = config.load(presets.file_of("tiny"))
    settings.model = replace(settings.model, audio_layers=5, audio_channels=384)
    torch.manual_seed(0)
    convert.write_model(CovOG(settings.model), tmp_path / "weights.safetensors")
    config.save(settings, tmp_path / "config.yaml")
    hearing.write(hearing.learned([data.Segment(own.path, 0, own.frames)]), tmp_path / hearing.FILE)
    (tmp_path / "provenance.json").write_text(json.dumps({"data_set": str(dataset)}))
    cv2.imwrite(str(tmp_path / "photo.png"), own.pictures_at(np.array([0]))[0][..., ::-1])
    voice = other.samples(0, 100)
    for name, samples in (("left", voice), ("right", np.zeros_like(voice))):
        encoding.write_sound(tmp_path / f"{name}.wav", samples)
    words = (
        "generate --weights weights.safetensors --picture photo.png --sound left.wav right.wav --out talk.mp4".split()
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    command.main()
    _, people = picture.find(tmp_path / "photo.png", "auto")
    placed = Placement.fit((own.width, own.height), (256, 144)).points(people["keypoints"][0][:, keypoints.FACE])
    marker, video = motion.dlib_marker(), list(media.frames(tmp_path / "talk.mp4"))
    opened = np.array([
        [motion.opening(motion.face_movement(marker, shown, shown, points)[1]) for points in placed] for shown in video
    ])  # fmt: skip
    assert len(opened) == 100
    assert np.corrcoef(opened[:, 0], metrics.loudness_db(voice, 100))[0, 1] > 0.5
    assert opened[:, 1].std() < 0.4 * opened[:, 0].std()
