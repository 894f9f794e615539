"""Metrics against known answers, and the whole evaluation of a toy model."""

import json
from argparse import Namespace

import numpy as np
import pytest

from covog import command_line, config, convert, evaluate, metrics, metrics_table
from covog.conditions import Placement
from covog_clips import CHANNELS, LAYERS, make_dataset, pose
from covog_toys import TOY, model
from talking.core import keypoints, tables
from talking.core.errors import InputError
from talking.video import media


def measured(truth, made, boxes=None, speaking=None, loudness=None):
    frames = len(truth)
    boxes = np.full((frames, 1, 4), np.nan) if boxes is None else boxes
    speaking = np.zeros(boxes.shape[:2], dtype=bool) if speaking is None else speaking
    unknown = np.full(boxes.shape, np.nan)
    faces = metrics.Faces(boxes, speaking, np.full((*boxes.shape[:2], 68, 2), np.nan), unknown, unknown)
    level = np.full(frames, -60.0) if loudness is None else loudness
    measures = metrics.Measures(faces, np.repeat(10 ** (level / 20), media.SAMPLES_PER_FRAME), metrics.Networks())
    for pair in zip(truth, made, strict=True):
        measures.add(*pair)
    return measures.finish()


def noise(frames=5, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (frames, 32, 48, 3)).astype(np.uint8)


def test_psnr_and_ssim_of_known_errors():
    truth = noise()
    found = measured(truth, truth + 10)
    assert found["psnr_db", "everything"] == pytest.approx(10 * np.log10(255**2 / 100), rel=1e-5)
    assert found["ssim", "everything"] < 1
    same = measured(truth, truth)
    assert same["ssim", "everything"] == pytest.approx(1)
    # Equal pictures count as rounded ones.
    assert same["psnr_db", "everything"] == pytest.approx(10 * np.log10(255**2 * 12), rel=1e-5)


def test_mouths_are_measured_inside_their_boxes_by_who_speaks():
    truth, boxes = noise(4), np.tile(np.array([[[4, 4, 12, 10], [30, 4, 40, 12]]], dtype=float), (4, 1, 1))
    made = truth.copy()
    made[:, 4:10, 4:12] += 20
    made[:, 20:] = 0
    speaking = np.tile([[True, False]], (4, 1))
    found = measured(truth, made, boxes, speaking)
    assert found["psnr_mouth_db", "speaking"] == pytest.approx(10 * np.log10(255**2 / 400), rel=1e-5)
    assert found["psnr_mouth_db", "listening"] == pytest.approx(10 * np.log10(255**2 * 12))


def lip_sync(opened: np.ndarray, loudness: np.ndarray, speaking: np.ndarray) -> float | None:
    """Measure people whose brightness tells how far their mouths (f, p) are open, in px of a face of 224 px."""
    frames, people = opened.shape
    points = np.random.default_rng(0).uniform(10, 30, (68, 2)) + 40 * np.arange(people)[:, None, None] * (1, 0)

    def marker(square):
        found = np.zeros((68, 2))
        found[16, 0], found[66, 1] = 200, square[len(square) // 2, len(square) // 2, 0]
        return found

    unknown = np.full((frames, people, 4), np.nan)
    faces = metrics.Faces(unknown, speaking, np.tile(points, (frames, 1, 1, 1)), unknown, unknown)
    samples = np.repeat(10 ** (loudness / 20), media.SAMPLES_PER_FRAME)
    measures = metrics.Measures(faces, samples, metrics.Networks(face_marker=marker))
    for gaps in opened:
        picture = np.repeat(gaps.astype(np.uint8), 40)[None, :, None].repeat(40, 0).repeat(3, 2)
        measures.add(picture, picture)
    return measures.finish().get((metrics.LIP_SYNC, "speaking"))


def test_lip_sync_is_the_correlation_of_a_speakers_opened_mouth_with_the_loudness():
    random = np.random.default_rng(0)
    loudness = random.integers(-60, -20, 40).astype(float)
    opened = np.stack([loudness + 60, random.integers(0, 40, 40)], axis=1)
    first = np.tile([True, False], (40, 1))
    assert lip_sync(opened, loudness, first) == pytest.approx(1)
    # Another sound, a still mouth, speech of a few frames.
    assert abs(lip_sync(opened, np.roll(loudness, 9), first)) < 0.4
    assert lip_sync(np.full((40, 2), 9), loudness, first) is None
    assert lip_sync(opened, loudness, first & (np.arange(40) < 8)[:, None]) is None


def test_jitter_is_nothing_for_even_motion():
    even = np.stack([np.full((32, 48, 3), 10 * f, dtype=np.uint8) for f in range(6)])
    assert measured(even, even)["jitter", "everything"] == 0
    shaking = even.copy()
    shaking[::2] += 5
    assert measured(even, shaking)["jitter", "everything"] == pytest.approx(10)


def test_mouth_boxes_lie_around_the_lips_in_the_placed_picture():
    from covog.conditions import People

    points = pose(4, 2)
    people = People(
        points,
        np.ones(points.shape[:3]),
        np.zeros((4, 2, 4)),
        np.ones((4, 2), dtype=bool),
        np.zeros((4, 2, 4)),
        np.zeros((4, 2)),
    )
    people.confidence[2, 1] = 0
    people.faces[2, 1] = (50, 10, 60, 30)
    faces = metrics.Faces.of(people, np.zeros((4, 2), dtype=bool), Placement.fit((96, 64), (192, 128)))
    lips = points[0, 0, 71:83] * 2
    x1, y1, x2, y2 = faces.mouths[0, 0]
    assert x1 < lips[:, 0].min() < lips[:, 0].max() < x2
    assert y1 < lips[:, 1].min() < lips[:, 1].max() < y2
    np.testing.assert_allclose(faces.mouths[2, 1], [100, 40, 120, 60])
    # Hands lie about their points: here all in one; nothing is where none is sure.
    assert faces.hands.shape == (4, 4, 4)
    np.testing.assert_allclose(faces.hands[0, 0], np.tile(points[0, 0, keypoints.LEFT_HAND.start] * 2, 2))
    assert np.isnan(faces.hands[2, [1, 3]]).all() and np.isfinite(faces.hands[2, [0, 2]]).all()


def test_loudness_is_of_each_frame():
    samples = np.zeros(3 * media.SAMPLES_PER_FRAME, dtype=np.float32)
    samples[media.SAMPLES_PER_FRAME : 2 * media.SAMPLES_PER_FRAME] = 0.1
    np.testing.assert_allclose(metrics.loudness_db(samples, 4), [-60, -20, -60, -60], atol=1e-3)


def test_frechet_distance_of_known_gaussians():
    random = np.random.default_rng(0)
    one = random.normal(size=(20_000, 3))
    assert metrics.frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(one, 2 * one + [3, 0, 0]) == pytest.approx(9 + 3, rel=0.05)


def test_table_means_parts_and_names_what_was_skipped():
    networks = metrics.Networks(missing={"fvd": "no weights"})
    clips = [("test_easy", {("ssim", "everything"): 0.5}), ("test_hard", {("ssim", "everything"): 0.7})]
    rows = metrics_table.table("covog", clips, {}, networks).set_index(["part", "metric"])
    assert rows.loc[("all", "ssim"), "value"] == pytest.approx(0.6)
    assert rows.loc[("test_hard", "ssim"), "value"] == pytest.approx(0.7)
    assert rows.loc[("all", "fvd"), "note"] == "skipped: no weights"
    assert metrics_table.paper_rows().set_index("metric")["value"].to_dict() == {
        "ssim": 0.64,
        "psnr_db": 19.69,
        "fvd": 307.35,
    }


def test_intervals_are_students_and_need_three_clips():
    # Of 1, 2, 3: deviation 1, and 4.303 is the 97.5 % point of Student's t with two degrees of freedom.
    assert metrics_table.interval([1, 2, 3]) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    assert np.isnan(metrics_table.interval([1, 2])).all()
    clips = [("test_easy", {("ssim", "everything"): v}) for v in (0.4, 0.5)] + [("val", {("ssim", "everything"): 0.6})]
    rows = metrics_table.table("covog", clips, {}, metrics.Networks()).set_index("part")
    assert np.isnan(rows.loc["test_easy", ["low", "high"]].to_numpy(float)).all()
    assert 0 < rows.loc["all", "low"] < 0.4 < 0.6 < rows.loc["all", "high"]


def test_the_interval_of_many_draws_holds_their_mean_95_times_in_100():
    random = np.random.default_rng(0)
    bounds = np.array([metrics_table.interval(random.normal(1, 2, 6)) for _ in range(1000)])
    assert 0.93 < ((bounds[:, 0] < 1) & (bounds[:, 1] > 1)).mean() < 0.97


@pytest.mark.slow
def test_evaluation_writes_videos_comparisons_and_a_table(tmp_path):
    dataset = make_dataset(tmp_path / "dataset", people=(2, 2), frames=14, test=1)
    settings = config.Config(
        model=config.Model(**{**TOY, "audio_layers": LAYERS, "audio_channels": CHANNELS}),
        encoders=config.Encoders(vae="patches", image_encoder="random"),
        data=config.Data(width=96, height=64, frames=5),
        generation=config.Generation(steps=1, window=5, overlap=1),
        evaluation=config.Evaluation(frames=7),
    )
    config.save(settings, tmp_path / "config.yaml")
    convert.write_model(model(audio_layers=LAYERS, audio_channels=CHANNELS).float(), tmp_path / "weights.safetensors")
    arguments = Namespace(
        config=tmp_path / "config.yaml", dataset=dataset, model=[f"covog={tmp_path / 'weights.safetensors'}", "untrained=random"],
        videos=tmp_path / "videos", metrics=tmp_path / "metrics.parquet", weights_dir=None,
    )  # fmt: skip
    command_line.evaluate(arguments)
    table = tables.read("covog_metrics", arguments.metrics)
    assert set(table["model"]) == {"covog", "untrained", "truth", "still", "paper"}
    everything = table[table["part"] == "test_easy"].set_index(["model", "metric", "of"])["value"]
    assert ("truth", "ssim", "everything") not in everything
    assert everything["truth", "jitter", "everything"] > 0
    assert everything["still", "jitter", "everything"] == 0
    assert everything["still", "warping_error", "faces"] < 0.2
    # The toy's pictures become brighter by 4 a frame.
    assert everything["truth", "warping_error", "faces"] == pytest.approx(4, abs=0.5)
    assert 0 < everything["still", "ssim", "everything"] < 1
    assert 10 < everything["still", "psnr_db", "everything"] < 58
    ours = table[(table["model"] == "covog") & (table["part"] == "test_easy")].set_index(["metric", "of"])["value"]
    for key in [
        ("ssim", "everything"),
        ("psnr_mouth_db", "speaking"),
        ("psnr_mouth_db", "listening"),
        ("jitter", "everything"),
    ]:
        assert np.isfinite(ours[key])
    clip = next(dataset.glob("toy_v1*")).name
    assert media.size_and_length(tmp_path / f"videos/covog/{clip}.mp4") == (96, 64, 7)
    assert media.size_and_length(tmp_path / f"videos/untrained/compared/{clip}.mp4") == (288, 64, 7)
    (dataset / "splits/test_easy.json").write_text("[]")
    train = json.loads((dataset / "splits/train.json").read_text())
    assert list(evaluate.parts(dataset, settings)) == ["held_out_ends"]
    (dataset / "splits/train.json").write_text(json.dumps([*train, {"clip": clip}]))
    assert [s.clip.name for s in evaluate.parts(dataset, settings)["held_out_clips"]] == [clip]
    (dataset / "splits/train.json").write_text("[]")
    with pytest.raises(InputError, match="has no clips to evaluate"):
        command_line.evaluate(arguments)


def test_identity_is_that_of_the_same_points_in_both_pictures():
    points = np.full((6, 2, 68, 2), 5.0)
    points[:, 1] = np.nan
    seen = []

    def embedder(face):
        picture, at = face
        seen.append(at)
        return np.array([1.0, 0]) if picture[0, 0, 0] < 100 else np.array([0.6, 0.8])

    unknown = np.full((6, 2, 4), np.nan)
    faces = metrics.Faces(unknown, np.zeros((6, 2), dtype=bool), points, unknown, unknown)
    measures = metrics.Measures(faces, np.zeros(6 * 640), metrics.Networks(face_embedder=embedder))
    for _ in range(6):
        measures.add(np.zeros((32, 48, 3), dtype=np.uint8), np.full((32, 48, 3), 200, dtype=np.uint8))
    assert measures.finish()[metrics.IDENTITY, "everything"] == pytest.approx(0.6)
    assert len(seen) == 4


def test_identity_by_dlib_is_one_for_the_same_picture():
    pytest.importorskip("dlib")
    networks = metrics.Networks.found(None)
    unknown, points = np.full((1, 1, 4), np.nan), np.random.default_rng(0).uniform(20, 60, (1, 1, 68, 2))
    measures = metrics.Measures(
        metrics.Faces(unknown, unknown[..., 0] > 0, points, unknown, unknown), np.zeros(640), networks
    )
    picture = noise(1)[0].repeat(2, axis=0).repeat(2, axis=1)
    measures.add(picture, picture)
    assert measures.finish()[metrics.IDENTITY, "everything"] == pytest.approx(1)
