"""Clips as they are passed on: who is protected is gone from the pictures, and everything else is as it was."""

import json
import tarfile

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from made_video import clips_of, make_sources
from talking.core import arrays, schemas, tables
from talking.core.checksums import sha256
from talking.dataset import (
    annotate,
    export_huggingface,
    export_mit,
    export_voices,
    export_webdataset,
    preview,
    protect,
    store,
)
from talking.video import media

ALONE, BESIDE = "s_v_000010to000034", "s_v_000034to000058"
PROTECTED = protect.Settings(protect="bystander_faces")
WHOLE, ALL = protect.Settings(protect="whole_bystanders"), protect.Settings(protect="all_faces")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return a data set of two clips of 160×120 px; in the second one, track 3 is a bystander, whose face goes down at x 30 to 50."""
    folder, spans = tmp_path_factory.mktemp("results") / "dataset", [(10, 34), (34, 58)]
    clips = clips_of(*spans)
    clips = clips.assign(
        bystander_tracks=[[], [[3]]], person_tracks=[[[5], [3]], [[5]]], tracks=[[5, 3], [5]], num_people=[2, 1]
    )
    index = annotate.annotate(clips, "v", make_sources(tmp_path_factory.mktemp("video"), *spans), folder)
    rows = clips.assign(
        persons=[["p1", "p2"], ["p1"]], licence="CC0", url="", duplicate_of="", split="train", hard_because=""
    )
    rows = rows.assign(not_understood_s=[[], []], language="", words_confidence=1.0, review="")
    rows = rows.merge(index.drop(columns="video"), on="clip")[schemas.schema("dataset").names]
    tables.write("dataset", rows, folder / "clips.parquet")
    with arrays.opened(folder / BESIDE / "poses.npz") as poses:
        of_one = {name: poses[name][:, :1] for name in poses}
    arrays.write(folder / BESIDE / "poses.npz", of_one.items())
    for name in ("turns", "listening"):
        tables.write(name, tables.empty(name), folder / f"{name}.parquet")
    (folder / "README.md").write_text("# Data card\n")
    (folder / "splits").mkdir()
    for name in store.SPLITS:
        listed = [{"clip": ALONE}, {"clip": BESIDE}] if name == "train" else []
        (folder / "splits" / f"{name}.json").write_text(json.dumps(listed))
    return folder


def face(pictures):
    """Return the pixels of the bystander's face in pictures of the second clip, and those far from it, (frames, px, 3) each."""
    inside, outside = [], []
    for frame, picture in enumerate(pictures, start=34):
        inside.append(picture[frame : frame + 20, 30:50].reshape(-1, 3))
        outside.append(picture[:, 70:].reshape(-1, 3))
    return np.stack(inside).astype(float), np.stack(outside).astype(float)


def detail(faces):
    """Return how far faces of 20 by 20 px are from what two by two squares of them say, as a mean difference."""
    whole = faces.reshape(-1, 20, 20, 3)
    few = [cv2.resize(cv2.resize(face, (2, 2), interpolation=cv2.INTER_AREA), (20, 20)) for face in whole]
    return np.abs(whole - np.stack(few)).mean()


def assert_only_the_face_is_gone(pictures, dataset):
    before, far = face(media.frames(dataset / BESIDE / "video.mp4"))
    after, far_after = face(pictures)
    assert detail(after) < detail(before) / 2
    assert np.abs(far_after - far).mean() < 3 and np.abs(after - before).mean() > 10


def test_a_clip_without_bystanders_is_its_own_folder(dataset):
    for clip, settings in (
        (ALONE, PROTECTED),
        (ALONE, WHOLE),
        (ALONE, protect.Settings()),
        (BESIDE, protect.Settings()),
    ):
        assert not protect.is_changed(dataset / clip, settings)
        with protect.passed_on(dataset / clip, settings) as folder:
            assert folder == dataset / clip


def test_of_a_clip_with_a_bystander_only_the_pictures_of_the_face_are_others(dataset):
    with protect.passed_on(dataset / BESIDE, PROTECTED) as folder:
        before, after = store.Clip(dataset / BESIDE), store.Clip(folder)
        assert_only_the_face_is_gone(after.pictures(), dataset)
        names = {"audio.wav", "poses.npz", "sound.npz", "speakers.json"}
        assert {file.name for file in folder.iterdir()} == {*names, "video.mp4", "meta.json"}
        assert all((folder / name).read_bytes() == (before.path / name).read_bytes() for name in names)
        facts = after.meta["files"]["video.mp4"]
        assert facts == {"bytes": (folder / "video.mp4").stat().st_size, "sha256": sha256(folder / "video.mp4")}
        assert after.meta["protected"] == "bystander_faces" and after.meta["num_people"] == before.meta["num_people"]
        sounds = [sound_of(clip.path / "video.mp4") for clip in (before, after)]
        assert sounds[0] == sounds[1] != b""
    assert not folder.exists()


def sound_of(video):
    with media.opened(video) as container:
        return b"".join(bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size)


def test_a_bystander_who_is_lost_for_a_moment_is_hidden_there_too():
    box, away = [10, 10, 20, 30], [None] * 4
    bystanders = [
        {"tracks": [1], "start": 2, "face_track": [box, away, away, [12, 10, 22, 30]]},
        {"tracks": [2], "start": 0, "face_track": [box] + [away] * 60 + [box]},
    ]
    found = protect.boxes(bystanders, 100)
    seen = np.isfinite(found[..., 0])
    assert np.flatnonzero(seen[:, 0]).tolist() == list(range(0, 5 + 25 + 1))
    assert np.flatnonzero(seen[:, 1]).tolist() == [*range(0, 26), *range(61 - 25, 61 + 26)]
    assert found[2, 0].tolist() == [7.5, 5, 22.5, 35] and found[4, 0, 0] == pytest.approx(7.5 + 2 * 2 / 3)


def parts(folder):
    """Return the pictures of the second clip at the bystander's face and below it, and at the face of who takes part, as floats."""
    face, body, other = [], [], []
    for frame, picture in enumerate(media.frames(folder / "video.mp4"), start=34):
        face.append(picture[frame : frame + 20, 30:50])
        body.append(picture[frame + 30 : frame + 50, 20:40])
        other.append(picture[frame : frame + 20, 50:70])
    return [np.stack([p for p in of if p.shape == (20, 20, 3)]).astype(float) for of in (face, body, other)]


def test_a_whole_bystander_goes_from_pictures_and_labels_and_nobody_else(dataset):
    before, kept = parts(dataset / BESIDE), store.Clip(dataset / BESIDE)
    with protect.passed_on(dataset / BESIDE, WHOLE) as folder:
        after, clip = parts(folder), store.Clip(folder)
        for i in range(2):
            assert detail(after[i]) < detail(before[i]) / 2 and np.abs(after[i] - before[i]).mean() > 10
        assert np.abs(after[2] - before[2]).mean() < 3
        assert kept.speakers["bystanders"] and clip.speakers == kept.speakers | {"bystanders": []}
        changed = {"video.mp4", "speakers.json"}
        for file in folder.iterdir():
            assert (file.read_bytes() == (kept.path / file.name).read_bytes()) == (
                file.name not in {*changed, "meta.json"}
            )
        for name in changed:
            facts = {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
            assert clip.meta["files"][name] == facts != kept.meta["files"][name]
        assert clip.meta["protected"] == "whole_bystanders" and clip.meta["num_people"] == 1


def test_all_faces_are_hidden_in_every_clip_and_nothing_else_is_changed(dataset):
    before = parts(dataset / BESIDE)
    with protect.passed_on(dataset / BESIDE, ALL) as folder:
        after = parts(folder)
        for i in (0, 2):
            assert detail(after[i]) < detail(before[i]) / 2 and np.abs(after[i] - before[i]).mean() > 10
        assert np.abs(after[1] - before[1]).mean() < 3
        assert (folder / "speakers.json").read_bytes() == (dataset / BESIDE / "speakers.json").read_bytes()
    with protect.passed_on(dataset / ALONE, ALL) as folder:
        assert store.Clip(folder).meta["protected"] == "all_faces"


def test_masks_of_the_export_of_voices_are_the_same_with_hidden_people(dataset, tmp_path):
    for settings in (protect.Settings(), WHOLE, ALL):
        export_voices.export(dataset, tmp_path / settings.protect, protection=settings)
    plain, *hidden = (
        arrays.opened(tmp_path / name / BESIDE / "people.npz") for name in ("nobody", "whole_bystanders", "all_faces")
    )
    for other in hidden:
        assert all(np.array_equal(plain[name], other[name], equal_nan=True) for name in plain)
    shown, of_all = (cv2.imread(str(tmp_path / name / BESIDE / "reference.png")) for name in ("nobody", "all_faces"))
    assert detail(of_all[34:54, 50:70].astype(float)) < detail(shown[34:54, 50:70].astype(float)) / 2


def test_every_export_hides_the_bystander_and_copies_the_other_clip(dataset, tmp_path):
    export_webdataset.export(dataset, tmp_path / "webdataset", protection=PROTECTED)
    with tarfile.open(tmp_path / "webdataset/train-000000.tar") as tar:
        held = {member.name: tar.extractfile(member).read() for member in tar}
    for name in ("video.mp4", "audio.wav", "speakers.json", "poses.npz", "sound.npz", "meta.json"):
        field = {"video.mp4": "mp4", "audio.wav": "wav"}.get(name, name)
        assert held[f"{ALONE}.{field}"] == (dataset / ALONE / name).read_bytes()
    # Who does not take part has no pose and no landmarks in any file: there are as many as people.
    assert len(json.loads(held[f"{BESIDE}.speakers.json"])["people"]) == 1
    assert_only_the_face_is_gone(pictures_of(held[f"{BESIDE}.mp4"], tmp_path), dataset)

    export_huggingface.export(dataset, tmp_path / "huggingface", protection=PROTECTED)
    told = "\nIn the pictures of this copy, the faces of bystanders, who do not take part, are made unrecognisable.\n"
    assert (tmp_path / "huggingface/README.md").read_text().endswith(told)
    alone, beside = pq.read_table(tmp_path / "huggingface/data/train-00000-of-00001.parquet").to_pylist()
    assert alone["mp4"] == {"bytes": (dataset / ALONE / "video.mp4").read_bytes(), "path": f"{ALONE}.mp4"}
    assert beside["mp4"]["path"] == f"{BESIDE}.mp4" and len(beside["labels"]) == 1
    assert_only_the_face_is_gone(pictures_of(beside["mp4"]["bytes"], tmp_path), dataset)

    export_voices.export(dataset, tmp_path / "voices", protection=PROTECTED)
    assert_only_the_face_is_gone(media.frames(tmp_path / "voices" / BESIDE / "video.mp4"), dataset)
    assert (tmp_path / "voices" / ALONE / "video.mp4").samefile(dataset / ALONE / "video.mp4")

    out = tmp_path / "mit"
    export_mit.export(dataset, out, protection=PROTECTED)
    assert_only_the_face_is_gone(in_mit(out / BESIDE / "frames"), dataset)
    assert (out / "README.md").read_text().endswith(told)
    first = {file.name: file.stat().st_mtime_ns for file in (out / BESIDE).iterdir()}
    export_mit.export(dataset, out, protection=PROTECTED)
    assert {file.name: file.stat().st_mtime_ns for file in (out / BESIDE).iterdir()} == first
    # Without protection that clip is made again, and the other one is not.
    other = (out / ALONE / "video.mp4").stat().st_mtime_ns
    export_mit.export(dataset, out)
    assert (out / ALONE / "video.mp4").stat().st_mtime_ns == other
    shown = face(media.frames(dataset / BESIDE / "video.mp4"))[0]
    assert detail(face(in_mit(out / BESIDE / "frames"))[0]) > detail(shown) / 2

    clips = pd.DataFrame({"clip": [BESIDE], "persons": [["p1"]]})
    preview.previews(clips, dataset, tmp_path / "preview", preview.Settings(), PROTECTED)
    hidden = face(media.frames(tmp_path / "preview" / f"{BESIDE}.mp4"))[0]
    # The corners that mark a bystander are drawn over it.
    assert detail(hidden) < detail(shown) / 2


def pictures_of(video, folder):
    (folder / "v.mp4").write_bytes(video)
    return media.frames(folder / "v.mp4")


def in_mit(frames):
    """Return the pictures of an export in the published layout, back in the size of the clip."""
    canvas = export_mit.Canvas.around(160, 120)
    for file in sorted(frames.iterdir()):
        picture = cv2.imread(str(file))[..., ::-1]
        own = picture[canvas.top : canvas.top + canvas.inner[1], canvas.left : canvas.left + canvas.inner[0]]
        yield cv2.resize(own, (160, 120), interpolation=cv2.INTER_AREA)
