"""Lips that are heard: put into poses from the sound of other people, and seen in pictures."""

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from covog import command_line, conditions, config, convert, data, generate, hearing, train, warping
from covog.model import CovOG
from covog_clips import make
from covog_toys import TOY, training_settings
from talking.core import keypoints
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import encoding, media

WIDTH, HEIGHT, FRAMES, LAYERS, CHANNELS = 192, 128, 60, 2, 6
# A face's points in widths of the face, from the middle: contour, brows, nose, eyes, lips.
ROUND = np.linspace(np.pi, 0, 17)
EYE = 0.07 * np.array([(-1, 0), (-0.4, -0.4), (0.4, -0.4), (1, 0), (0.4, 0.4), (-0.4, 0.4)])
FACE = np.concatenate([
    np.stack([0.5 * np.cos(ROUND), 0.65 * np.sin(ROUND)], axis=-1),
    [(x, -0.25 - 0.03 * (i % 5 == 2)) for i, x in enumerate([*np.linspace(-0.35, -0.1, 5), *np.linspace(0.1, 0.35, 5)])],
    [(0, y) for y in np.linspace(-0.1, 0.12, 4)], [(x, 0.17) for x in np.linspace(-0.1, 0.1, 5)],
    EYE + (-0.2, -0.12), EYE + (0.2, -0.12),
    [(0.2 * np.cos(a), 0.36 - 0.07 * np.sin(a)) for a in np.linspace(np.pi, -np.pi, 12, endpoint=False)],
    [(0.14 * np.cos(a), 0.36 - 0.02 * np.sin(a)) for a in np.linspace(np.pi, -np.pi, 8, endpoint=False)],
])  # fmt: skip
MIDDLES, WIDTHS = np.array([[48.0, 60], [142.0, 64]]), np.array([52.0, 44])
# How far the lower lip and the jaw fall, in widths of the face.
FALLS = 0.14


def opened(number: int) -> np.ndarray:
    """Return how far a clip's mouths (f, p) are open, 0-1: the first person speaks in its first half, the second in the other."""
    random = np.random.default_rng(number)
    loud = np.clip(np.convolve(random.normal(0, 1, FRAMES + 4), np.ones(5) / 2.5, "valid"), 0, 1)
    first = np.arange(FRAMES) < FRAMES // 2
    return loud[:, None] * np.stack([first, ~first], axis=1)


def points_of(number: int) -> np.ndarray:
    """Return the points (f, p, 68, 2) px of heads that nod and tilt, with these mouths."""
    lower = np.zeros(68)
    lower[[*range(3, 14), *range(55, 60), *range(65, 68)]] = FALLS
    faces = FACE + opened(number)[..., None, None] * np.stack([0 * lower, lower], axis=-1)
    tilts = 0.1 * np.sin(np.arange(FRAMES) / 5 + number)
    turned = np.stack([[np.cos(tilts), np.sin(tilts)], [-np.sin(tilts), np.cos(tilts)]]).transpose(2, 0, 1)
    nods = 3 * np.sin(np.arange(FRAMES)[:, None] / 7 + [0, 2])
    return np.einsum("fpnk,fkj->fpnj", faces * WIDTHS[:, None, None], turned) + (
        MIDDLES[None, :, None] + np.stack([0 * nods, nods], axis=-1)[:, :, None]
    )


def drawn(number: int):
    """Yield a clip's pictures: faces whose mouths are dark inside."""
    for faces in points_of(number):
        picture = np.full((HEIGHT, WIDTH, 3), 60, dtype=np.uint8)
        for face in faces:
            for part, grey in ((slice(0, 27), 190), (slice(48, 60), 150), (slice(60, 68), 10)):
                cv2.fillPoly(
                    picture, [np.round(cv2.convexHull(face[part].astype(np.float32))).astype(int)], (grey,) * 3
                )
        yield picture


def clip(root: Path, number: int, own: bool) -> store.Clip:
    """Write a clip's folder, with sound of each person's `own` or of all; rows of sound say nonlinearly, and with noise, what is said."""
    folder = make(root / f"toy_v{number}_000000to{FRAMES:06d}", frames=FRAMES)
    encoding.encode(folder / "video.mp4", drawn(number), crf=1)
    points = np.zeros((FRAMES, 2, keypoints.COUNT, 2), dtype=np.float32)
    points[:, :, keypoints.FACE] = points_of(number)
    scores = points.any(-1).astype(np.float32)
    boxes = np.concatenate([points_of(number).min(2), points_of(number).max(2)], axis=-1).astype(np.float32)
    np.savez(folder / "poses.npz", keypoints=points, scores=scores, boxes=boxes, valid=scores.any(-1))
    random, said = np.random.default_rng(50 + number), opened(number)
    rows = random.normal(0, 0.2, (FRAMES, 2, LAYERS, CHANNELS))
    rows[..., 0, 0] += said
    rows[..., 1, 3] += 30 + 9 * np.sqrt(said)
    sound = rows if own else np.where(said[..., None, None] > 0, rows, 0).sum(1)
    np.savez(folder / "sound.npz", sound=sound.astype(np.float16))
    speaks = np.stack([np.arange(FRAMES) < FRAMES // 2, np.arange(FRAMES) >= FRAMES // 2], axis=1)
    speakers = json.loads((folder / "speakers.json").read_text())
    for person, does, box in zip(speakers["people"], speaks.T, boxes.swapaxes(0, 1), strict=True):
        person["speaking_score"] = np.where(does, 4.0, -4.0).tolist()
        person["speak"] = [[int(np.flatnonzero(does)[0]), int(np.flatnonzero(does)[-1]) + 1]]
        person["face_track"] = box.tolist()
    (folder / "speakers.json").write_text(json.dumps(speakers))
    meta = json.loads((folder / "meta.json").read_text()) | {"width": WIDTH, "height": HEIGHT}
    (folder / "meta.json").write_text(json.dumps(meta))
    return store.Clip(folder)


@pytest.fixture(scope="module", params=[True, False], ids=["own sound", "one sound"])
def clips(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("heard")
    made = [clip(root, number, request.param) for number in range(5)]
    (root / "splits").mkdir()
    for part, of in {"train": made[:3], "val": made[3:4], "test_easy": made[4:], "test_hard": []}.items():
        (root / f"splits/{part}.json").write_text(json.dumps([{"clip": one.path.name} for one in of]))
    return made


@pytest.fixture(scope="module")
def learned(clips):
    return hearing.learned([data.Segment(one.path, 0, FRAMES) for one in clips[:3]])


def heard(script: generate.Script, learned: hearing.Hearing) -> generate.Script:
    """Return the script with lips as generation puts them."""
    still = script.reference_people, script.reference_frame
    frames = np.arange(script.start, script.end)
    return replace(script, people=learned.heard(script.people, script.sound, frames, *still))


def gaps(script: generate.Script) -> np.ndarray:
    """Return how far lips (f, p) are apart, in widths of the face."""
    upper, lower = (script.people.keypoints[:, :, keypoints.INDEX[f"face_{p}"]] for p in (62, 66))
    return np.linalg.norm(upper - lower, axis=-1) / WIDTHS


def agreement(mouths: np.ndarray, truth: np.ndarray) -> list[float]:
    return [float(np.corrcoef(*of)[0, 1]) for of in zip(mouths.T, truth.T, strict=True)]


def test_lips_follow_the_sound_of_another_clip_and_whoever_is_made_to_speak(clips, learned):
    own, other = clips[3], clips[4]
    script = generate.script_of(own, other, reference_frame=int(opened(3)[:, 0].argmax()))
    script = replace(script, people=replace(script.people, scores=other.scores))
    made = heard(script, learned)
    assert min(agreement(gaps(made), opened(4))) > 0.85
    assert max(agreement(gaps(made), opened(3))) < 0.6
    # Only lips and jaw have changed; the mouth of the reference picture, which is open there, is closed in silence.
    moved = np.abs(made.people.keypoints - script.people.keypoints).max((0, 1, 3)) > 1e-6
    mouth = [keypoints.JAW, keypoints.OUTER_LIPS, keypoints.INNER_LIPS]
    assert not np.delete(moved, np.r_[tuple(mouth)]).any()
    closed = np.linalg.norm(FACE[62] - FACE[66])
    np.testing.assert_allclose(gaps(made)[FRAMES // 2 + 5 :, 0], closed, atol=0.02)
    # The second one speaks all the time.
    turned = gaps(heard(generate.spoken_by(script, [(1, 0, FRAMES)]), learned))
    assert np.corrcoef(turned[:, 1], opened(4).max(1))[0, 1] > 0.85
    assert turned[:, 0].std() < 0.1 * turned[:, 1].std()


@pytest.mark.parametrize("trained", ["drawn", "heard"])
def test_the_generated_mouths_open_with_the_sound(clips, learned, tmp_path, trained):
    own, other = clips[3], clips[4]
    widths = {**TOY, "audio_layers": LAYERS, "audio_channels": CHANNELS, "differences": True, "latent_channels": 192}
    widths["pose_adaptor_channels"] = widths["pose_guider_channels"]
    settings = config.Config(
        model=config.Model(**widths),
        encoders=config.Encoders(vae="patches", image_encoder="random"),
        data=config.Data(width=WIDTH, height=HEIGHT, frames=12, warped=True, lips=trained),
        generation=config.Generation(window=20, overlap=1),
    )
    convert.write_model(CovOG(settings.model), tmp_path / "weights.safetensors")
    config.save(settings, tmp_path / "config.yaml")
    # Where training heard lips, its map is all that is needed; else the data set.
    if trained == "heard":
        hearing.write(learned, tmp_path / hearing.FILE)
    else:
        (tmp_path / "provenance.json").write_text(json.dumps({"data_set": str(own.path.parent)}))
    none = dict.fromkeys("config reference poses sound audio scores frames picture dataset".split())
    words = Namespace(
        weights=tmp_path / "weights.safetensors", out=tmp_path / "out.mp4", clip=own.path, sound_clip=other.path, seed=0,
        reference_frame=int(opened(3)[:, 0].argmax()), who=["0:0-60"], lips="heard" if trained == "drawn" else None, **none,
    )  # fmt: skip
    command_line.generate(words)
    video = np.stack(list(media.frames(words.out))).astype(float)
    middles = points_of(3)[:, 0, 60:68].mean(1).round().astype(int)
    dark = [
        (picture[y - 4 : y + 12, x - 8 : x + 9] < 60).mean() for picture, (x, y) in zip(video, middles, strict=True)
    ]
    assert np.corrcoef(dark, opened(4).max(1))[0, 1] > 0.7


def test_training_sees_the_lips_that_generation_puts_there(clips, learned, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    settings = training_settings(steps=2)
    settings.data = replace(settings.data, lips="heard", warped=True, width=96, height=64)
    settings.model = replace(
        settings.model, differences=True, pose_adaptor_channels=settings.model.pose_guider_channels
    )
    train.train(settings, 1, clips[0].path.parent, tmp_path)
    kept = hearing.beside(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(kept.weights, learned.weights)
    # Where it is lost, it is found again.
    (tmp_path / hearing.FILE).unlink()
    again = command_line.generator_of(tmp_path / "weights.safetensors", settings, clips[0].path.parent).hears
    np.testing.assert_array_equal(again.weights, kept.weights)
    # A sample of training, and the same frames of a script.
    frames, reference = (20, 22, 24), 22
    sample = data.load(data.Window(clips[3].path, frames, reference, False), settings.data, hearing=kept)
    script = generate.as_shown(generate.script_of(clips[3], reference_frame=reference), "heard", kept)
    placement = conditions.Placement.fit((WIDTH, HEIGHT), (96, 64))
    steered = conditions.steer(script.people, script.sound, np.array(frames), reference, placement)
    assert np.array_equal(sample["pose"], steered["pose"])
    flow = warping.flow(script.people, np.array(frames), placement, script.reference_people, reference, placement)
    assert np.array_equal(sample["flow"], flow)
    drawn = data.load(data.Window(clips[3].path, frames, reference), replace(settings.data, lips="drawn"))
    assert not np.array_equal(sample["pose"], drawn["pose"])
    # The reference's own lips are seen, not heard.
    assert np.array_equal(sample["reference_pose"], drawn["reference_pose"])


def test_a_training_that_resumes_keeps_the_map_that_it_began_with(clips, tmp_path):
    found = [data.Segment(clip.path, 0, FRAMES) for clip in clips]
    began = hearing.hearing_of_training(found[:2], tmp_path, "heard", resumes=False)
    resumed = hearing.hearing_of_training(found, tmp_path, "heard", resumes=True)
    np.testing.assert_array_equal(resumed.weights, began.weights)
    again = hearing.hearing_of_training(found, tmp_path, "heard", resumes=False)
    assert not np.array_equal(again.weights, began.weights)
    # A training with other lips leaves none of an earlier one.
    assert hearing.hearing_of_training(found, tmp_path, "drawn", resumes=False) is None
    assert not (tmp_path / hearing.FILE).exists()


def test_a_broken_clip_is_named_and_left_out_of_the_map(clips, tmp_path, caplog):
    for number, one in enumerate(clips[:3]):
        shutil.copytree(one.path, tmp_path / f"{number}")
    with np.load(tmp_path / "1/sound.npz") as of_clip:
        np.savez(tmp_path / "1/sound.npz", sound=of_clip["sound"][:40])
    (tmp_path / "2/poses.npz").write_bytes(b"damaged")
    found = hearing.learned([data.Segment(tmp_path / f"{number}", 0, FRAMES) for number in range(3)])
    alone = hearing.learned([data.Segment(clips[0].path, 0, FRAMES)])
    np.testing.assert_allclose(found.weights, alone.weights, atol=1e-6)
    assert {f"{tmp_path}/{number}" in caplog.text for number in (1, 2)} == {True}


def test_of_long_clips_some_frames_are_learned_from(clips, learned, monkeypatch):
    monkeypatch.setattr(hearing, "_FRAMES", 90)
    some = hearing.learned([data.Segment(one.path, 0, FRAMES) for one in clips[:3]])
    moved, true = (
        of.moved(clips[4].sound if clips[4].sound.ndim == 3 else clips[4].sound[:, 0]) for of in (some, learned)
    )
    assert not np.array_equal(some.weights, learned.weights)
    assert np.corrcoef(moved[..., 1].mean(1), true[..., 1].mean(1))[0, 1] > 0.8


def test_what_cannot_be_heard_is_said(clips, learned, tmp_path):
    with pytest.raises(InputError, match="nobody speaks with a known face"):
        hearing.learned([])
    script = generate.script_of(clips[3])
    hearing.write(learned, tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as whole:
        np.savez(tmp_path / hearing.FILE, **{name: whole[name] for name in whole.files if name != "opens"})
    with pytest.raises(InputError, match="not a whole map"):
        hearing.beside(tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="features"):
        heard(replace(script, sound=script.sound[..., :3]), learned)
    with pytest.raises(InputError, match=r"there is no hearing\.npz beside the weights"):
        generate.as_shown(generate.script_of(clips[3]), "heard", None)
