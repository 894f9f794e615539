"""Published networks that judge: their arithmetic, their files, and that the evaluation takes them where they are there."""

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as theirs
from torch import nn

from covog import convert, evaluation_networks, metrics, metrics_table
from talking.core.errors import InputError
from talking.video import media


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of weights with files of the published form, of random numbers."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    # As published: a table of tensors in torch's own format, AlexNet's with its classifier.
    alexnet = {n: t for n, t in evaluation_networks.Lpips().state_dict().items()} | {
        "classifier.1.weight": torch.zeros(3)
    }
    torch.save(alexnet, folder / evaluation_networks.ALEXNET)
    torch.save(evaluation_networks.SyncNet().state_dict(), folder / evaluation_networks.SYNCNET)
    torch.jit.script(Means()).save(str(folder / metrics.I3D))
    return folder


class Means(nn.Module):
    """In I3D's place: the mean colour of a window and how much it changes."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        return torch.cat([x.mean(dim=[2, 3, 4]), x.std(dim=2).mean(dim=[2, 3])], dim=1)


def test_lpips_is_torchmetrics_own_with_the_same_alexnet(folder, monkeypatch):
    ours = evaluation_networks.Lpips.of(folder / evaluation_networks.ALEXNET)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_, **__: ours.features)
    reference = theirs._LPIPS(net="alex")
    one, other = torch.rand(2, 2, 3, 64, 96)
    wanted = reference(one, other, normalize=True).flatten()
    assert wanted.min() > 1e-3
    torch.testing.assert_close(ours(one, other), wanted)
    assert ours(one, one).abs().max() == 0


def test_weights_of_something_else_are_refused_by_name(folder, tmp_path):
    with pytest.raises(InputError, match=r"alexnet.*is no weights file of SyncNet \(netcnnaud\.0\.bias"):
        evaluation_networks.SyncNet.of(folder / evaluation_networks.ALEXNET)
    tensors = convert.read_tensors(folder / evaluation_networks.ALEXNET) | {"features.0.bias": torch.zeros(2)}
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth is no weights file of Lpips \(features\.0\.bias\)"):
        evaluation_networks.Lpips.of(tmp_path / "a.pth")
    torch.save(evaluation_networks.SyncNet(), tmp_path / "code.model")
    with pytest.raises(InputError, match="holds code, which is not run"):
        evaluation_networks.SyncNet.of(tmp_path / "code.model")


def test_lip_sync_errors_tell_matching_sound_from_shifted_and_foreign():
    heard = np.random.default_rng(0).normal(size=(60, 16))
    everywhere = np.ones(60, dtype=bool)
    confidence, distance = evaluation_networks.lip_sync_errors(heard, heard, everywhere)
    assert distance == 0
    assert confidence > 3
    shifted = np.roll(heard, 3, axis=0)
    assert evaluation_networks.lip_sync_errors(shifted[3:], heard[3:], everywhere[3:])[1] < 0.5
    foreign = np.random.default_rng(1).normal(size=(60, 16))
    low, far = evaluation_networks.lip_sync_errors(foreign, heard, everywhere)
    assert far > 4
    assert low < 1 < confidence
    seen = heard.copy()
    seen[:30] = np.nan
    assert evaluation_networks.lip_sync_errors(seen, heard, everywhere)[1] == 0
    assert np.isnan(evaluation_networks.lip_sync_errors(seen, heard, np.arange(60) < 30)).all()


def test_mel_coefficients_are_a_hundred_a_second_and_loudness_moves_the_first_alone():
    sound = np.random.default_rng(0).normal(size=media.SOUND_HZ) * 300
    rows = evaluation_networks.mfcc(sound)
    assert rows.shape == (99, 13)
    louder = evaluation_networks.mfcc(sound * 10)
    np.testing.assert_allclose(louder[:, 1:], rows[:, 1:], atol=1e-6)
    np.testing.assert_allclose(louder[:, 0] - rows[:, 0], np.log(100))
    # A low tone lifts the low bands: the first cosine, which falls over the bands, is large; a high tone turns it.
    at = np.arange(media.SOUND_HZ) / media.SOUND_HZ
    low, high = (
        evaluation_networks.mfcc(3000 * np.sin(2 * np.pi * f * at) + sound / 10)[:, 1].mean() for f in (200, 6000)
    )
    assert low > 0 > high
    assert low - high > 10


def test_a_face_crop_is_the_face_with_its_surroundings_and_grey_beyond_the_picture():
    picture = np.zeros((100, 200, 3), dtype=np.uint8)
    picture[40:60, 90:110] = 255
    crop = metrics.face_crop(picture, np.array([90.0, 40, 110, 60]))
    assert crop.shape == (224, 224, 3)
    rows, columns = np.nonzero(crop[..., 0] > 127)
    assert np.ptp(rows) + 1 == pytest.approx(224 / 1.4, abs=3)
    assert columns.mean() == pytest.approx(111.5, abs=1.5)
    assert rows.mean() < 111.5
    assert (metrics.face_crop(picture, np.array([0.0, 0, 90, 90]))[0, 0] == 110).all()


@pytest.mark.slow
def test_the_evaluation_takes_the_networks_that_are_there(folder):
    networks = metrics.Networks.found(folder)
    networks.face_embedder = None
    assert networks.missing.keys() <= {metrics.IDENTITY, "interactivity", "landmark_jitter"}
    random = np.random.default_rng(0)
    frames = 2 * 16
    heads = np.tile(np.array([[[8.0, 4, 40, 44], [60, 4, 92, 44]]]), (frames, 1, 1))
    heads[:, 1] = np.nan
    speaking = np.zeros((frames, 2), dtype=bool)
    speaking[:20, 0] = True
    faces = metrics.Faces(heads, speaking, np.full((frames, 2, 68, 2), np.nan), heads, heads)
    measures = metrics.Measures(faces, random.normal(size=frames * 640) / 10, networks)
    truth = random.integers(0, 255, (frames, 64, 96, 3)).astype(np.uint8)
    for picture in truth:
        measures.add(picture, np.roll(picture, 1, axis=0))
    found = measures.finish()
    assert found["lpips", "everything"] > 0
    for of in ("speaking", "listening"):
        assert found["lse_d", of] > 0
        assert found["lse_c", of] >= 0
    assert np.isnan(np.stack(measures.seen[1])).all()
    rows = metrics_table.table("covog", [("test_easy", found)], {"test_easy": measures.features}, networks)
    assert rows.loc[rows["metric"] == "fvd", "value"].notna().all()
    assert not rows["note"].str.startswith("skipped").any()


def test_networks_that_are_absent_are_named(tmp_path):
    for where in (None, tmp_path):
        missing = metrics.Networks.found(where).missing
        assert {"lpips", "lse_c", "lse_d", "fvd"} <= missing.keys()
        assert missing["lse_c"] == "syncnet_v2.model is not in the folder of weights"
