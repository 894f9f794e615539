"""Exports, read by a loader written from the description of the published layout, and by webdataset itself."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import webdataset

from made_video import clips_of, make_sources
from talking.core import arrays, keypoints
from talking.core.errors import InputError
from talking.dataset import annotate, bodies, export_mit, export_webdataset, store
from talking.video import media

SPAN = (10, 34)
CLIP = "s_v_000010to000034"
FRAMES = SPAN[1] - SPAN[0]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return a data set of one clip of 24 frames at 160×120, whose person 1 has no pose in frames 12 to 18."""
    folder = tmp_path_factory.mktemp("dataset")
    annotate.annotate(clips_of(SPAN), "v", make_sources(tmp_path_factory.mktemp("video"), SPAN), folder)
    clip = store.Clip(folder / CLIP)
    faces = clip.face_boxes
    points = np.repeat((faces[..., :2] + faces[..., 2:])[:, :, None] / 2, keypoints.COUNT, axis=2)
    points = points + np.linspace(-5, 5, keypoints.COUNT)[:, None]
    scores = np.ones(points.shape[:3], dtype=np.float32)
    scores[12:18, 1], scores[:, 0, keypoints.CHIN] = 0, 0
    points[scores == 0] = 0
    boxes = np.concatenate([faces[..., :2] - 5, faces[..., 2:] + 30], axis=-1)
    valid = scores[..., 0] > 0
    boxes[~valid] = 0
    made = {"keypoints": points.astype(np.float32), "scores": scores, "boxes": boxes.astype(np.float32), "valid": valid}
    arrays.write(clip.path / "poses.npz", made.items())
    (folder / "splits").mkdir()
    for name, clips in {"train": [{"clip": CLIP}], "test_easy": [], "test_hard": []}.items():
        (folder / "splits" / f"{name}.json").write_text(json.dumps(clips))
    return folder


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "mit"
    export_mit.export(dataset, out, threads=2)
    return out


@pytest.fixture(scope="module")
def loaded(exported):
    (record,) = json.loads((exported / "train.json").read_text())
    return load(record)


def load(record):
    """Read a clip as the published loader does, which filters no folder and knows no other size."""
    names = sorted(os.listdir(record["image_dir"]))
    assert names == sorted(os.listdir(record["pose_dir"]))
    assert record["image_dir"].count("frames") == 1
    pose_folder = record["image_dir"].replace("frames", "pose")
    poses = [json.loads(Path(pose_folder, name).read_text()) for name in sorted(os.listdir(pose_folder))]
    people = json.loads(Path(record["speak_info_path"]).read_text())
    start, end = people[0]["clip_range"]
    return {
        "pictures": [cv2.imread(os.path.join(record["image_dir"], n))[..., ::-1] for n in names[start - 1 : end]],
        "pose_pictures": [cv2.imread(os.path.join(record["pose_dir"], n)) for n in names[start - 1 : end]],
        "points": np.array([[i["keypoints"] for i in pose["instance_info"]] for pose in poses]),
        "point_scores": np.array([[i["keypoint_scores"] for i in pose["instance_info"]] for pose in poses]),
        "people": people,
        "sound": torch.load(record["audio_embedding_path"], weights_only=True),
    }


def test_who_is_away_has_the_box_between_the_nearest_ones():
    faces = np.full((6, 2, 4), 7.0)
    faces[:, 0] = np.arange(6)[:, None] * [10, 0, 10, 1] + [0, 5, 8, 20]
    whole = faces.copy()
    faces[2:4, 0] = faces[:2, 1] = np.nan
    np.testing.assert_allclose(bodies.whole_boxes(faces), whole)


@pytest.mark.slow
def test_the_published_loader_gets_all_it_needs(exported, loaded, dataset):
    (record,) = json.loads((exported / "train.json").read_text())
    assert json.loads((exported / "test_easy.json").read_text()) == []
    loaded, clip = load(record), store.Clip(dataset / CLIP)
    assert len(loaded["pictures"]) == len(loaded["pose_pictures"]) == len(loaded["sound"]) == clip.frames
    assert {p.shape for p in loaded["pictures"] + loaded["pose_pictures"]} == {(1080, 1920, 3)}
    assert loaded["points"].shape == (FRAMES, 2, 133, 2)
    assert loaded["point_scores"].shape == (FRAMES, 2, 133)
    assert loaded["sound"].dtype == torch.float32
    assert np.array_equal(loaded["sound"].numpy(), clip.sound.astype(np.float32))
    for i, person in enumerate(loaded["people"]):
        assert len(person["face_track"]) == len(person["speaking_score"]) == FRAMES
        assert person["speaking_score"] == pytest.approx(clip.scores[:, i].tolist())
        covered = [f for a, b in sorted(person["speak"] + person["listen"]) for f in range(a, b)]
        assert covered == list(range(FRAMES))
        assert person["clip_range"] == [1, FRAMES]
        assert person["period_num"] == len(person["speak"]) + len(person["listen"])
    merged = json.loads((exported / CLIP / "speaker_info_merged.json").read_text())
    assert merged[1]["speak"] == [[0, FRAMES]]
    meta = json.loads((exported / CLIP / "meta.json").read_text())
    assert (meta["source"], meta["video"], meta["period"], meta["num_speaker"]) == ("s", "v", [0.4, 1.36], 2)


@pytest.mark.slow
def test_pictures_and_labels_lie_in_the_same_place(exported, loaded, dataset):
    clip = store.Clip(dataset / CLIP)
    # 160×120 becomes 1440×1080 with 240 px of black on either side.
    assert np.allclose(loaded["people"][0]["face_track"], clip.face_boxes[:, 0] * 9 + [240, 0, 240, 0], atol=0.01)
    seen = clip.pose_scores > 0
    assert np.allclose(loaded["points"][seen], clip.keypoints[seen] * 9 + [240, 0], atol=0.01)
    for number, original in enumerate(clip.pictures()):
        picture = loaded["pictures"][number]
        assert picture[:, :238].max() == picture[:, 1682:].max() == 0
        back = cv2.resize(picture[:, 240:1680], (160, 120), interpolation=cv2.INTER_AREA)
        assert np.abs(back.astype(float) - original).mean() < 2
    points = loaded["points"][0, 1].round().astype(int)
    drawn = [loaded["pose_pictures"][0][y, x].max() > 0 for x, y in points[keypoints.FACE]]
    assert np.mean(drawn) > 0.9
    video = list(media.frames(exported / CLIP / "video.mp4"))
    assert len(video) == FRAMES
    assert np.abs(video[20].astype(float) - loaded["pictures"][20]).mean() < 3
    x1, y1, x2, y2 = loaded["people"][1]["instance_bbox"]
    known = loaded["points"][:, 1][seen[:, 1]]
    assert (known >= [x1, y1]).all()
    assert (known <= [x2, y2]).all()


def test_no_frame_is_without_points_and_missing_ones_follow_the_face(loaded, dataset):
    clip = store.Clip(dataset / CLIP)
    assert (loaded["point_scores"][12:18, 1] == 0).all()
    middle = (clip.face_boxes[14, 1, :2] + clip.face_boxes[14, 1, 2:]) / 2 * 9 + [240, 0]
    offset = loaded["points"][11, 1] - ((clip.face_boxes[11, 1, :2] + clip.face_boxes[11, 1, 2:]) / 2 * 9 + [240, 0])
    assert np.allclose(loaded["points"][14, 1] - middle, offset, atol=0.05)
    chin = loaded["points"][:, 0, keypoints.CHIN]
    assert np.allclose(chin[:, 1], clip.face_boxes[:, 0, 3] * 9, atol=0.05)


def test_an_export_that_is_there_is_not_made_again_and_others_go(exported, dataset):
    before = (exported / CLIP / "frames/output_0001.png").stat().st_mtime_ns
    (exported / "s_gone_000000to000100").mkdir()
    export_mit.export(dataset, exported, threads=1)
    assert (exported / CLIP / "frames/output_0001.png").stat().st_mtime_ns == before
    assert not (exported / "s_gone_000000to000100").exists()
    assert "frames × 5 × 8" in (exported / "README.md").read_text()


def test_a_path_that_the_published_reader_would_mangle_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="has the word"):
        export_mit.export(dataset, tmp_path / "my_frames" / "mit")


def test_pictures_of_any_shape_fit():
    tall = export_mit.Canvas.around(720, 1280)
    assert tall.inner == (608, 1080)
    assert tall.points([[0, 0], [720, 1280]]).tolist() == [[656, 0], [1264, 1080]]
    whole = export_mit.Canvas.around(1920, 1080)
    picture = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3)).astype(np.uint8)
    assert np.array_equal(whole.picture(picture), picture)
    assert export_mit.Canvas.around(3, 2).picture(np.ones((2, 3, 3), dtype=np.uint8)).shape == (1080, 1920, 3)


def test_shards_are_read_by_webdataset(dataset, tmp_path):
    out = tmp_path / "webdataset"
    export_webdataset.export(dataset, out)
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert list(first) == ["train-000000.tar"]
    (sample,) = webdataset.WebDataset(str(out / "train-000000.tar"), shardshuffle=False)
    assert sample["__key__"] == CLIP
    for field, name in {"mp4": "video.mp4", "wav": "audio.wav", "poses.npz": "poses.npz"}.items():
        assert sample[field] == (dataset / CLIP / name).read_bytes()
    assert json.loads(sample["speakers.json"])["num_frames"] == FRAMES
    export_webdataset.export(dataset, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first
