"""The active-speaker networks against golden numbers, and the windows they are scored over."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from talking.core.errors import InputError
from talking.speaking import crops, network
from talking.speaking.light_asd import LightASD
from talking.speaking.lr_asd import LRASD
from talking.speaking.talknet import TalkNet
from talking.video import encoding, media


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ruled_state(golden, model) -> dict[str, torch.Tensor]:
    """Return the weights that the golden file's rule makes for its names and shapes, in sorted order."""
    with safe_open(golden, "pt") as file:
        shapes = json.loads(file.metadata()["parameters"])
    initial, state = model.state_dict(), {}
    for i, (name, (shape, kind)) in enumerate(sorted(shapes.items())):
        count = int(np.prod(shape))
        s = np.sin(0.7 * (i + 1) + 1.3 * np.arange(count)).reshape(shape)
        if "int" in kind:
            state[name] = initial[name]
            continue
        if name.endswith("running_var"):
            s = 1 + 0.2 * s
        elif name.endswith("running_mean"):
            s = 0.1 * s
        elif (len(shape) <= 1 and name.endswith("weight")) or name.endswith("gamma"):
            s = 1 + 0.1 * s
        elif len(shape) <= 1 or name.endswith(("beta", "bias")):
            s = 0.05 * s
        else:
            s = s * np.sqrt(2 / (count / shape[0]))
        state[name] = torch.tensor(s, dtype=getattr(torch, kind))
    return state


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize(("make", "name"), [(LightASD, "light_asd"), (LRASD, "lr_asd")])
@torch.inference_mode()
def test_a_network_reproduces_its_published_weights(shared, make, name):
    golden = load_file(shared / f"golden/{name}.safetensors")
    model = network.load(make(), shared / f"weights/{name}_talkset.model").cpu()
    mfcc = golden["in.mfcc"][None].float()
    seen = model.see(golden["in.faces"][None])
    assert largest_difference(seen[0], golden["out.visual"]) < 1e-4
    assert largest_difference(model.hear(mfcc)[0], golden["out.audio"]) < 1e-4
    assert largest_difference(model.judge(seen, mfcc)[0], golden["out.logits"]) < 1e-4


@torch.inference_mode()
def test_talknet_reproduces_the_golden_numbers(shared):
    path = shared / "golden/talknet.safetensors"
    golden, model = load_file(path), TalkNet()
    model.load_state_dict(ruled_state(path, model))
    model.eval()
    mfcc = golden["in.mfcc"][None].float()
    seen = model.see(golden["in.faces"][None])
    assert largest_difference(model.watch(seen)[0], golden["out.visual"]) < 1e-4
    assert largest_difference(model.hear(mfcc)[0], golden["out.audio"]) < 1e-4
    assert largest_difference(model.judge(seen, mfcc)[0], golden["out.logits"]) < 1e-4


def test_a_published_file_loads_without_its_training_heads(tmp_path):
    torch.manual_seed(1)
    kept = LightASD()
    torch.save({**kept.state_dict(), "lossV.FC.weight": torch.zeros(2, 128)}, tmp_path / "w.model")
    loaded = network.load(LightASD(), tmp_path / "w.model").cpu()
    assert all(torch.equal(a, b) for a, b in zip(kept.state_dict().values(), loaded.state_dict().values(), strict=True))


@pytest.mark.parametrize("content", [b"", b"not a weight file", None])
def test_a_bad_weight_file_is_named(tmp_path, content):
    path = tmp_path / "bad.model"
    if content is None:
        torch.save(TalkNet().state_dict(), path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.model"):
        network.load(LightASD(), path)


def test_a_weight_file_that_runs_code_is_refused(tmp_path):
    torch.save({"x": np.array([1.0]).tofile}, tmp_path / "evil.model")
    with pytest.raises(InputError, match=r"evil\.model"):
        network.load(LightASD(), tmp_path / "evil.model")


@pytest.mark.slow
@pytest.mark.parametrize("make", [LightASD, LRASD, TalkNet])
@pytest.mark.parametrize("length", [1, 7, 25, 57])
@torch.inference_mode()
def test_two_looks_equal_every_window_seen_alone(make, length):
    torch.manual_seed(length)
    model = make().eval()
    faces = torch.randint(0, 256, (length, 112, 112), dtype=torch.uint8)
    mfcc = 5 * torch.randn(4 * length, 13)
    look = network._Look(network._Seer(model, 1), length)
    for i, face in enumerate(faces):
        assert not look.is_seen
        look.add(i, face.numpy())
    whole, pieces = look.seen()
    assert look.is_seen
    alone = np.zeros(length)
    for seconds in (1, 2, 3, 4, 5, 6) if make is not TalkNet else (1, 3):
        for a in range(0, length, 25 * seconds):
            b = min(a + 25 * seconds, length)
            window = model.judge(model.see(faces[None, a:b]), mfcc[None, 4 * a : 4 * b])[0, :, 1].double().numpy()
            if make is not TalkNet:
                alone[a:b] += window / 6
            else:
                seen = network._window_features(whole, pieces, 25 * seconds, model.context)[a:b]
                assert np.allclose(model.judge(seen[None], mfcc[None, 4 * a : 4 * b])[0, :, 1], window, atol=1e-4)
    if make is not TalkNet:
        assert np.allclose(network.over_windows(model, whole, pieces, mfcc), alone, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("make", [LightASD, LRASD, TalkNet])
def test_tracks_seen_together_have_the_scores_of_tracks_seen_alone(make, tmp_path):
    torch.manual_seed(1)
    model, rng = make().eval(), np.random.default_rng(1)
    encoding.encode(tmp_path / "v.mp4", rng.integers(0, 255, (40, 120, 320, 3)).astype(np.uint8))
    encoding.write_sound(tmp_path / "s.wav", rng.uniform(-0.5, 0.5, 40 * 640).astype(np.float32))
    # Two tracks of one length, one that begins later, one of a single frame.
    spans = {0: (0, 40), 1: (0, 40), 2: (9, 36), 3: (20, 21)}
    rows = [
        (track, frame, 60.0 * track + 10) for frame in range(40) for track, (a, b) in spans.items() if a <= frame < b
    ]
    tracks = pd.DataFrame(rows, columns=["track", "frame", "x1"])
    tracks = tracks.assign(y1=20.0, x2=tracks["x1"] + 50, y2=80.0)
    alone, together = (network.score(model, tmp_path / "v.mp4", tmp_path / "s.wav", tracks, n) for n in (1, 3))
    assert np.abs(alone).max() > 0
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_an_audience_is_silent_without_a_look(tmp_path):
    torch.manual_seed(1)
    model, rng = LightASD().eval(), np.random.default_rng(1)
    encoding.encode(tmp_path / "v.mp4", rng.integers(0, 255, (3, 120, 320, 3)).astype(np.uint8))
    encoding.write_sound(tmp_path / "s.wav", rng.uniform(-0.5, 0.5, 3 * 640).astype(np.float32))
    rows = [(track, frame, 30.0 * track) for frame in range(3) for track in range(10)]
    tracks = pd.DataFrame(rows, columns=["track", "frame", "x1"])
    # Tracks 3 and 7 are the smallest of ten.
    side = np.where(tracks["track"].isin([3, 7]), 20, 40)
    tracks = tracks.assign(y1=20.0, x2=tracks["x1"] + side, y2=20.0 + side)
    score = network.score(model, tmp_path / "v.mp4", tmp_path / "s.wav", tracks)
    assert (tracks["track"][score == -5].unique() == [3, 7]).all() and (score == -5).sum() == 6


def test_mfccs_are_four_a_frame_and_start_at_the_frame(tmp_path):
    rng = np.random.default_rng(3)
    sound = rng.uniform(-0.5, 0.5, 16000).astype(np.float32)
    encoding.write_sound(tmp_path / "s.wav", sound)
    whole = crops.mfcc(tmp_path / "s.wav", 0, 25)
    assert whole.shape == (100, 13)
    part = crops.mfcc(tmp_path / "s.wav", 10, 15)
    # Only the first row differs: pre-emphasis knows no sample before the first.
    assert np.allclose(part[1:], whole[41:60], atol=1e-4)
    assert crops.mfcc(tmp_path / "s.wav", 20, 40).shape == (80, 13)
    # Log energy of 16-bit samples: uniform noise of ±0.5, doubled in power by pre-emphasis, over 400 samples.
    expected = np.log(400 * (0.5 * 32768) ** 2 / 3 * (1 + 0.97**2))
    assert abs(whole[:90, 0].mean() - expected) < np.log(2.5)


def test_a_crop_holds_what_the_box_holds_and_110_outside(tmp_path):
    picture = np.full((240, 320, 3), 30, np.uint8)
    picture[100:140, 150:190] = 220
    encoding.encode(tmp_path / "v.mp4", [picture] * 3)
    tracks = pd.DataFrame(
        {
            "track": [0, 0, 1],
            "frame": [0, 1, 1],
            "x1": [150, 150, -40.0],
            "y1": [100, 100, -40.0],
            "x2": [190, 190, 0.0],
            "y2": [140, 140, 0.0],
        }
    )
    rows = list(crops.faces(tmp_path / "v.mp4", tracks))
    assert [(row, frame) for row, frame, _ in rows] == [(0, 0), (1, 1), (2, 1)]
    face = rows[0][2]
    assert face.shape == (112, 112)
    # The crop's 224 px are 56 px of the picture from the box's upper edge, so that the middle half begins 14 px below
    # it and ends 2 px below its lower edge, 26 px further.
    assert face[:100].min() > 190 and face[108:].max() < 60
    assert (rows[2][2] == 110).mean() > 0.9


@pytest.mark.slow
def test_scores_of_real_faces_follow_the_lips(shared, tmp_path):
    model = network.load(LightASD(), shared / "weights/light_asd_talkset.model").cpu()
    video = shared / "data/filmed/sample.mp4"
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("frame < 60 and person != 'P003'")
    tracks = truth.rename(columns={"speaking": "spoken"}).reset_index(drop=True)
    tracks["track"] = (tracks["person"] == "P005").astype(int)
    import av

    with av.open(str(video)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=media.SOUND_HZ)
        sound = np.concatenate([f.to_ndarray()[0] for p in container.decode(audio=0) for f in resampler.resample(p)])
    encoding.write_sound(tmp_path / "s.wav", sound[: 60 * 640])
    score = network.score(model, video, tmp_path / "s.wav", tracks)
    assert np.isfinite(score).all()
    spoken = tracks["spoken"].to_numpy() > 0
    assert score[spoken].mean() > 2 and score[tracks["track"] == 1].mean() < -1
