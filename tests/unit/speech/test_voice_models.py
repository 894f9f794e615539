"""Networks that tell voices apart: the packaged encoder, and published pipelines with their own networks."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34
from pyannote.audio.models.segmentation.PyanNet import PyanNet

from spoken import DIALOGUE
from talking.core.errors import InputError
from talking.sound import voice_encoder
from talking.speech import diarization, turns, voice_models
from talking.video import encoding, media

pytestmark = pytest.mark.slow


def test_the_packaged_voice_encoder_equals_its_own_library():
    from resemblyzer import VoiceEncoder
    from resemblyzer.audio import normalize_volume

    ours = voice_encoder.ResemblyzerEmbedding.packaged()
    theirs = VoiceEncoder("cpu", verbose=False)
    samples = media.sound(DIALOGUE / "sample.wav", 200, 275)
    for level in (1.0, 0.01):
        expected = theirs.embed_utterance(normalize_volume(samples * level, -30, increase_only=True))
        with torch.inference_mode():
            found = ours(torch.from_numpy(samples * level)[None, None])[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_only_the_speakers_own_frames_are_embedded():
    encoder = voice_encoder.ResemblyzerEmbedding.packaged()
    samples = torch.from_numpy(media.sound(DIALOGUE / "sample.wav", 200, 275))
    louder = torch.cat([samples, torch.randn(16000, generator=torch.Generator().manual_seed(0))])
    mask = torch.ones(1, 100)
    mask[0, 75:] = 0
    with torch.inference_mode():
        alone, masked = encoder(samples[None, None])[0], encoder(louder[None, None], mask)[0]
        nobody = encoder(louder[None, None], torch.zeros(1, 100))[0]
    assert torch.dot(alone, masked) > 0.99
    assert nobody.isnan().all()


def test_voices_embedded_at_once_are_those_embedded_alone():
    encoder = voice_encoder.ResemblyzerEmbedding.packaged()
    windows = torch.from_numpy(media.sound(DIALOGUE / "sample.wav")).unfold(0, 80_000, 40_000)[:4, None]
    masks = torch.ones(4, 293)
    masks[1, :200], masks[2] = 0, 0
    with torch.inference_mode():
        together = encoder(windows, masks)
        alone = torch.cat([encoder(windows[i : i + 1], masks[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.isnan().all(dim=1).tolist() == [False, False, True, False]


def write_network(model, where):
    """Write a network's checkpoint as pyannote.audio's published ones lie in a folder."""
    where.mkdir(parents=True)
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, where / "pytorch_model.bin")


def write_pipeline(folder, name, answer):
    """Write a published pipeline with small networks; the segmentation always answers `answer` (7 powerset classes)."""
    torch.manual_seed(0)
    segmentation = PyanNet(lstm={"hidden_size": 8, "num_layers": 1}, linear={"hidden_size": 8, "num_layers": 1})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.setup()
    with torch.no_grad():
        segmentation.classifier.weight.zero_()
        segmentation.classifier.bias.copy_(torch.nn.functional.one_hot(torch.tensor(answer), 7) * 9.0)
    parts = {
        "community-1": ("segmentation", "embedding"),
        "3.1": ("segmentation-3.0", "wespeaker-voxceleb-resnet34-LM"),
    }
    write_network(segmentation, folder / parts[name][0])
    embedding = WeSpeakerResNet34()
    embedding.specifications = Specifications(Problem.REPRESENTATION, Resolution.CHUNK, duration=10.0)
    write_network(embedding, folder / parts[name][1])
    params = {"embedding_batch_size": 32, "embedding_exclude_overlap": True, "segmentation_batch_size": 32}
    if name == "community-1":
        (folder / "plda").mkdir()
        rng = np.random.default_rng(0)
        lda = rng.normal(size=(256, 128))
        np.savez(folder / "plda/xvec_transform.npz", mean1=np.zeros(256), mean2=np.zeros(128), lda=lda)
        np.savez(folder / "plda/plda.npz", mu=np.zeros(128), tr=np.eye(128), psi=np.linspace(5, 1, 128))
        params |= {part: f"$model/{part}" for part in ("segmentation", "embedding", "plda")}
        params |= {"clustering": "VBxClustering"}
        tuned = {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8}
    else:
        params |= {"embedding": f"pyannote/{parts[name][1]}", "segmentation": f"pyannote/{parts[name][0]}"}
        params |= {"clustering": "AgglomerativeClustering"}
        tuned = {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799}
    config = {
        "pipeline": {"name": "pyannote.audio.pipelines.SpeakerDiarization", "params": params},
        "params": {"clustering": tuned, "segmentation": {"min_duration_off": 0.0}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def thirteen_seconds(tmp_path_factory):
    """Real speech of three windows and a bit: the voice network of the published pipelines is slow."""
    wav = tmp_path_factory.mktemp("dialogue") / "dialogue.wav"
    encoding.write_sound(wav, media.sound(DIALOGUE / "sample.wav", 150, 475))
    return wav


@pytest.fixture
def quick_voices(monkeypatch):
    """The voice network answers with the sound's spectrum: the true one takes minutes on a busy machine."""

    def spectrum(_network, waveforms, weights=None):
        return torch.fft.rfft(waveforms[:, 0]).abs()[:, :25600].reshape(len(waveforms), 256, -1).mean(dim=2)

    monkeypatch.setattr(WeSpeakerResNet34, "forward", spectrum)


def by_published(name, folder, answer):
    return diarization.Settings(
        model=f"pyannote-{name}", weights=str(write_pipeline(folder / str(answer), name, answer))
    )


def test_a_published_pipeline_runs_with_its_own_voice_network(tmp_path, thirteen_seconds):
    # Two windows of ten seconds.
    encoding.write_sound(tmp_path / "a.wav", media.sound(thirteen_seconds, 0, 275))
    (turn,) = diarization.diarize(tmp_path / "a.wav", 1, by_published("3.1", tmp_path, 1))
    assert turn.start_s < 0.1
    assert turn.end_s == pytest.approx(11, abs=0.1)


@pytest.mark.parametrize("name", ["community-1", "3.1"])
def test_a_published_pipeline_keeps_overlap_and_takes_the_people_seen_as_a_hint(
    tmp_path, thirteen_seconds, quick_voices, name
):
    # Class 1 of the powerset is the first speaker alone, class 4 the first and the second at once.
    alone = by_published(name, tmp_path, 1)
    assert len({turn.speaker for turn in diarization.diarize(thirteen_seconds, 1, alone)}) == 1
    assert len({turn.speaker for turn in diarization.diarize(thirteen_seconds, 2, alone)}) == 2
    both = turns.spoken_frames(diarization.diarize(thirteen_seconds, 2, by_published(name, tmp_path, 4)), 322)
    assert (np.sum(list(both.values()), axis=0) == 2).mean() > 0.95


@pytest.mark.parametrize("name", ["community-1", "3.1"])
def test_silence_has_no_turns_by_a_published_pipeline(tmp_path, thirteen_seconds, name):
    assert diarization.diarize(thirteen_seconds, 2, by_published(name, tmp_path, 0)) == []


def test_fewer_voices_than_people_seen_do_not_break_a_published_pipeline(tmp_path, thirteen_seconds, quick_voices):
    assert diarization.diarize(thirteen_seconds, 9, by_published("community-1", tmp_path, 1))


def test_a_long_sound_clusters_as_many_voices_as_fit_in_memory(tmp_path, thirteen_seconds, quick_voices, monkeypatch):
    monkeypatch.setattr(voice_models, "MOST_IN_TREE", 2)
    pipeline = voice_models.published_pipeline(write_pipeline(tmp_path / "a", "3.1", 1), torch.device("cpu"))
    sizes = []
    cluster = pipeline.clustering.cluster
    monkeypatch.setattr(pipeline.clustering, "cluster", lambda e, **kw: sizes.append(len(e)) or cluster(e, **kw))
    pipeline({"waveform": torch.from_numpy(media.sound(thirteen_seconds))[None], "sample_rate": 16000})
    assert sizes == [2]


@pytest.mark.parametrize("spoil", ["nothing there", "no network", "other network", "a pickle that runs code"])
def test_a_folder_without_a_pipeline_is_named(tmp_path, spoil):
    folder = tmp_path / "pipeline"
    if spoil != "nothing there":
        write_pipeline(folder, "3.1", 1)
        file = folder / "segmentation-3.0" / "pytorch_model.bin"
        match spoil:
            case "no network":
                file.unlink()
            case "other network":
                torch.save({"state_dict": {}}, file)
            case _:
                torch.save({"pyannote.audio": Path("x")}, file)
    with pytest.raises(InputError, match=r"holds no (diarization pipeline|voice network)"):
        voice_models.published_pipeline(folder, torch.device("cpu"))
