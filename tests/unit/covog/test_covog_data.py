"""Samples: one time for everything, drawn by number, padded, cached, and what happens to broken ones."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from covog import config, data, generate, latents
from covog.conditions import SCORE_UNIT
from covog_clips import CHANNELS, LAYERS, brightness_at, left_shoulder_at, make_dataset, score_at
from talking.core.errors import InputError
from talking.dataset import store

SETTINGS = config.Data(width=96, height=64, frames=5, max_stride=2, reference_distance=30)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("covog") / "dataset")


@pytest.fixture(scope="module")
def both(dataset):
    return [data.Segment(clip, 0, 32) for clip in store.split(dataset, "train")]


def test_picture_pose_mask_score_and_sound_of_a_sample_are_of_the_same_frame(both):
    # The clips do not start at frame 0 of their videos.
    samples = data.Samples(both, 5, SETTINGS, seed=3)
    for number in range(6):
        window, sample = samples.window(number), samples[number]
        people = len(sample["scores"])
        for i, frame in enumerate(window.frames):
            assert abs(sample["pictures"][i].astype(int)[:, 0].mean() - brightness_at(frame)) < 3
            assert sample["sound"][i, 0, 0] == frame
            for person in range(people):
                assert sample["scores"][person, i] * SCORE_UNIT == pytest.approx(score_at(frame, person), rel=1e-6)
                x = left_shoulder_at(frame, person)
                if x + 1 < 96:
                    assert sample["pose"][i, 40, round(x)].any()
                    # Face boxes reach from 16.4 px left of the shoulder to 1.6 px, give or take the shoulders' cut.
                    mask = sample["face_masks"][0][person, i]
                    middle = (mask.sum(0) * (np.arange(mask.shape[1]) + 0.5)).sum() / mask.sum() * 8
                    assert middle == pytest.approx(x - 10, abs=1.5)
        reference = sample["reference_picture"].astype(int)[:, 0].mean()
        assert abs(reference - brightness_at(window.reference)) < 3


def test_numbers_alone_decide_what_a_sample_is(both):
    one, other = (data.Samples(both, 5, SETTINGS, seed=3) for _ in range(2))
    backwards = [other.window(n) for n in reversed(range(20))][::-1]
    assert [one.window(n) for n in range(20)] == backwards
    assert backwards != [data.Samples(both, 5, SETTINGS, seed=4).window(n) for n in range(20)]
    for start in range(0, 20, 2):
        assert len({w.clip for w in backwards[start : start + 2]}) == 2


def test_clips_with_faces_too_small_for_the_model_are_left_out(tmp_path):
    root = make_dataset(tmp_path / "d", people=(2, 2, 2))
    small, *_ = store.split(root, "train")
    meta = json.loads((small / "meta.json").read_text())
    (small / "meta.json").write_text(json.dumps(meta | {"face_px": 12.0}))
    used = {s.clip for side in data.segments(root, replace(SETTINGS, min_face_px=13)) for s in side}
    assert len(used) == 2 and small not in used
    used = {s.clip for side in data.segments(root, replace(SETTINGS, min_face_px=6, width=48, height=32)) for s in side}
    assert small in used


def test_without_test_clips_validation_has_whole_clips_that_training_never_sees(tmp_path):
    root = make_dataset(tmp_path / "d", people=(2,) * 6, frames=8)
    train, validation = data.segments(root, SETTINGS)
    assert [len(train), len(validation)] == [5, 1]
    assert {s.clip for s in train}.isdisjoint(s.clip for s in validation)
    assert all((s.start, s.end) == (0, 8) for s in [*train, *validation])
    half = data.segments(root, replace(SETTINGS, held_out=0.5))
    assert [len(part) for part in half] == [3, 3]
    assert data.segments(root, replace(SETTINGS, held_out=1.0))[0] != []
    assert data.segments(root, SETTINGS) == (train, validation)


def test_of_a_single_clip_validation_has_the_end_that_training_never_sees(tmp_path):
    train, validation = data.segments(make_dataset(tmp_path / "d", people=(2,)), SETTINGS)
    assert [(s.start, s.end) for s in train] == [(0, 32)]
    assert [(s.start, s.end) for s in validation] == [(32, 40)]
    samples = data.Samples(train, 5, SETTINGS, seed=3)
    assert max(max(*samples.window(n).frames, samples.window(n).reference) for n in range(200)) == 31
    fixed = data.FixedSamples(validation, 5, 6, SETTINGS)
    assert min(min(w.frames) for w in fixed.windows) >= 32
    assert fixed.windows == data.FixedSamples(validation, 5, 6, SETTINGS).windows


def test_test_clips_are_neither_trained_on_nor_validated_on(tmp_path):
    root = make_dataset(tmp_path / "d", people=(2, 2, 2), frames=8, test=1)
    (test,) = store.split(root, "test_easy")
    train, validation = data.segments(root, SETTINGS)
    assert [len(train), len(validation)] == [1, 1]
    assert test not in {s.clip for s in [*train, *validation]}
    (root / "splits/val.json").write_text((root / "splits/test_easy.json").read_text())
    train, validation = data.segments(root, SETTINGS)
    assert (len(train), [s.clip for s in validation]) == (2, [test])


def test_a_stills_reference_is_far_away_where_the_clip_allows():
    random = np.random.default_rng(0)
    long, short = data.Segment("clip", 0, 200), data.Segment("clip", 5, 16)
    for _ in range(100):
        still = data.draw(long, 1, SETTINGS, random)
        assert abs(still.frames[0] - still.reference) >= 30
        still = data.draw(short, 1, SETTINGS, random)
        assert still.reference in (5, 15)
        window = data.draw(short, 5, SETTINGS, random)
        assert 5 <= window.frames[0] < window.frames[-1] < 16
        assert set(np.diff(window.frames)) <= {1, 2}


def test_batches_pad_persons(both):
    samples = data.Samples(both, 5, SETTINGS, seed=3)
    batch = data.collate([samples[0], samples[1]])
    assert batch["present"].sum(1).sort().values.tolist() == [2, 3]
    assert batch["scores"].shape == (2, 3, 5)
    assert batch["pose"].shape == batch["pictures"].shape == (2, 3, 5, 64, 96)
    assert batch["reference_pose"].shape == (2, 3, 64, 96)
    assert batch["sound"].shape == (2, 5, LAYERS, CHANNELS)
    assert [m.shape for m in batch["face_masks"]] == [(2, 3, 5, h, w) for h, w in ((8, 12), (4, 6), (2, 3), (1, 2))]
    missing = ~batch["present"]
    assert batch["scores"][missing].abs().sum() == 0
    assert batch["person_masks"][missing].sum() == 0


def test_each_persons_own_sound_is_padded_and_generated_from(tmp_path):
    root = make_dataset(tmp_path / "d", people=(2, 3), frames=20)
    for path in store.split(root, "train"):
        clip = store.Clip(path)
        own = np.repeat(clip.sound[:, None], clip.people, axis=1) * np.arange(1, clip.people + 1)[:, None, None]
        np.savez(path / "sound.npz", sound=own.astype(np.float16))
    samples = data.Samples([data.Segment(path, 0, 20) for path in store.split(root, "train")], 5, SETTINGS, seed=3)
    batch = data.collate([samples[0], samples[1]])
    assert batch["sound"].shape == (2, 3, 5, LAYERS, CHANNELS)
    assert batch["sound"][~batch["present"]].abs().sum() == 0
    for heard, scores in zip(batch["sound"], batch["present"], strict=True):
        torch.testing.assert_close(heard[1], 2 * heard[0])
        assert heard[2].abs().sum() > 0 or not scores[2]
    short, long = (store.Clip(path) for path in sorted(store.split(root, "train"), key=lambda p: store.Clip(p).people))
    with pytest.raises(InputError, match="has the speech of 3 people"):
        generate.script_of(short, long)


def test_lips_are_dropped_always_or_in_half_of_the_samples(both):
    drawn, dropped, at_random = (
        data.Samples(both, 5, replace(SETTINGS, lips=lips), seed=3) for lips in ("drawn", "dropped", "random")
    )
    windows = [at_random.window(n) for n in range(400)]
    assert 160 < sum(w.lips for w in windows) < 240
    assert windows == [at_random.window(n) for n in range(400)]
    assert [replace(w, lips=True) for w in windows] == [drawn.window(n) for n in range(400)]
    assert not any(dropped.window(n).lips for n in range(20))
    with_lips, without = drawn[0], dropped[0]
    assert (with_lips["pose"] != without["pose"]).any()
    for name in ("reference_pose", "person_masks", "sound", "pictures"):
        np.testing.assert_array_equal(with_lips[name], without[name])


def test_where_lips_are_dropped_the_reference_picture_is_moved_by_faces_without_lips_on_both_sides(both, monkeypatch):
    # Else the reference's true chin would be moved to the average one.
    settings, moved = replace(SETTINGS, warped=True), []
    monkeypatch.setattr(data.warping, "flow", lambda *given: moved.append(given) or np.zeros((5, 64, 96, 2)))
    window = data.Samples(both, 5, settings, seed=3).window(0)
    for lips in (True, False):
        data.load(replace(window, lips=lips), settings)
    (drawn, *_, true, _, _), (dropped, *_, average, _, _) = moved
    assert np.array_equal(true.confidence, drawn.confidence)
    assert np.array_equal(average.confidence, dropped.confidence)
    assert not np.array_equal(true.confidence, average.confidence)


@pytest.mark.parametrize("fit", ["bars", "crop"])
def test_the_losses_weights_are_those_of_the_mouths_latents(both, fit):
    wide = replace(SETTINGS, mouth_weight=5.0, fit=fit, width=192, height=96)
    samples = data.Samples(both, 5, wide, seed=3)
    assert "loss_weights" not in data.Samples(both, 5, replace(wide, mouth_weight=1.0), seed=3)[0]
    window, sample = samples.window(0), samples[0]
    weights = sample["loss_weights"]
    assert weights.shape == (5, 12, 24)
    placement = data.Placement.fit((96, 64), (192, 96), fit)
    people = len(sample["scores"])
    mouths = [[(left_shoulder_at(f, p) - 10, 24) for p in range(people)] for f in window.frames]
    across, down = np.meshgrid(np.arange(24) * 8 + 4, np.arange(12) * 8 + 4)
    nearest = np.full(weights.shape, np.inf)
    for frame, at in enumerate(placement.points(np.array(mouths))):
        for x, y in at:
            nearest[frame] = np.minimum(nearest[frame], np.maximum(abs(across - x), abs(down - y)))
    # A mouth's box reaches 4.8 px to each side, in px of the video; a cell 4 px, in px of the picture.
    reach = 4.8 * placement.scale[0]
    assert (weights[nearest > reach + 5] == 1).all()
    assert (weights[nearest < reach - 5] == 5).all() and (nearest < reach - 5).any()
    assert weights.min() == 1 and weights.max() <= 5
    assert data.collate([samples[0], samples[1]])["loss_weights"].shape == (2, 5, 12, 24)


def test_clips_shorter_than_the_window_are_left_out_by_name(both, caplog):
    short = data.Segment(both[0].clip, 0, 4)
    assert data.long_enough([short, both[1]], 5) == [both[1]]
    assert short.clip.name in caplog.text


def test_broken_samples_are_replaced_a_bounded_number_of_times_and_an_error_in_validation(tmp_path, caplog):
    root = make_dataset(tmp_path / "d", people=(2, 2), frames=12)
    train = [data.Segment(clip, 0, 10) for clip in store.split(root, "train")]
    broken = train[0].clip / "poses.npz"
    broken.write_bytes(broken.read_bytes()[:200])
    settings = config.Data(width=96, height=64, frames=2, max_broken=3)
    samples = data.Samples(train, 2, settings, seed=0)
    with caplog.at_level(logging.WARNING):
        loaded = [samples[n] for n in range(4)]
    assert all(isinstance(s, dict) for s in loaded)
    assert train[0].clip.name in caplog.text
    results = [samples[n] for n in range(4, 40)]
    errors = [r for r in results if isinstance(r, InputError)]
    assert errors
    assert "max_broken" in str(errors[0])
    assert data.collate([loaded[0], errors[0]]) is errors[0]
    fixed = data.FixedSamples(train, 2, 2, settings)
    with pytest.raises(
        InputError, match=f"validation sample . .*{train[0].clip.name}, is broken".replace(" .*", ", .*")
    ):
        [fixed.batch(n) for n in range(2)]


def test_cached_latents_are_those_of_the_pictures(dataset, both, tmp_path):
    settings = config.Config(
        data=SETTINGS,
        encoders=config.Encoders(vae="patches", image_encoder="random"),
        model=config.Model(cross_attention_dim=16),
    )
    cache = tmp_path / "latents"
    clips = store.split(dataset, "train")
    latents.cache_all(clips, cache, settings, torch.device("cpu"))
    plain = data.Samples(both, 5, SETTINGS, seed=3)[0]
    cached = data.Samples(both, 5, SETTINGS, seed=3, cache=cache)[0]
    assert "pictures" not in cached
    encoders = latents.FrozenEncoders(settings.encoders, settings.model)
    mean, _ = encoders.encode(torch.from_numpy(plain["pictures"]).permute(0, 3, 1, 2))
    np.testing.assert_allclose(cached["mean"], mean, atol=2e-3, rtol=1e-3)
    image_embed = encoders.image_embeds(torch.from_numpy(plain["reference_picture"]).permute(2, 0, 1)[None])
    np.testing.assert_allclose(cached["image_embed"], image_embed[0], atol=2e-3)
    # Those of a clip that the data set does not have any more go.
    latents.cache_all(clips[:1], cache, settings, torch.device("cpu"))
    assert len(clips) > 1 and list(cache.glob("*.safetensors")) == [latents.path_of(cache, clips[0])]


def test_corrupt_and_foreign_caches_are_named(dataset, both, tmp_path):
    window = data.Samples(both, 5, SETTINGS, seed=3).window(0)
    file = latents.path_of(tmp_path, window.clip)
    with pytest.raises(InputError, match=f"{file.name} is missing or damaged"):
        data.load(window, SETTINGS, tmp_path)
    file.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=f"{file.name} is missing or damaged"):
        data.load(window, SETTINGS, tmp_path)
    latents.convert.write_tensors(file, {"mean": torch.zeros(1)}, {"of": "another clip"})
    with pytest.raises(InputError, match="made from another clip or size"):
        data.load(window, SETTINGS, tmp_path)
