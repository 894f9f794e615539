"""Turns and words: who is heard when, what is said, and who on screen says it."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch
import torchaudio
import yaml
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34
from pyannote.audio.models.segmentation.PyanNet import PyanNet
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
from transformers.modeling_outputs import CausalLMOutput

from talking.core import tables
from talking.core.errors import InputError
from talking.faces import identities
from talking.people import seen_talking
from talking.sound import voice
from talking.speech import alignment, diarization, pipelines, recognition, turns, voice_models, words
from talking.speech.turns import Turn
from talking.video import encoding, media

pytestmark = pytest.mark.slow

DIALOGUE = Path(importlib.util.find_spec("pyannote.audio").origin).parent / "sample"


def annotation(spoken: list[Turn]) -> Annotation:
    out = Annotation()
    for i, turn in enumerate(spoken):
        out[Segment(turn.start_s, turn.end_s), i] = turn.speaker
    return out


def error(truth: list[Turn], found: list[Turn], seconds: float) -> float:
    """Return the diarization error with a collar of 0.25 s on each side."""
    whole = Timeline([Segment(0, seconds)])
    return DiarizationErrorRate(collar=0.5)(annotation(truth), annotation(found), uem=whole)


@pytest.fixture(scope="module")
def film(shared, tmp_path_factory):
    """The prototype's film as a `media/` wav, with its true turns: two people on screen and a voice from off screen."""
    wav = tmp_path_factory.mktemp("film") / "sample.wav"
    resampler = av.AudioResampler(format="s16", layout="mono", rate=media.SOUND_HZ)
    with av.open(str(shared / "data/filmed/sample.mp4")) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    encoding.write_sound(wav, np.concatenate(parts) / 32768)
    return wav, turns.read(shared / "data/filmed/sample.rttm")


def test_the_packaged_voice_encoder_equals_its_own_library():
    from resemblyzer import VoiceEncoder
    from resemblyzer.audio import normalize_volume

    ours = voice_models.ResemblyzerEmbedding.packaged()
    theirs = VoiceEncoder("cpu", verbose=False)
    samples = media.sound(DIALOGUE / "sample.wav", 200, 275)
    for level in (1.0, 0.01):
        expected = theirs.embed_utterance(normalize_volume(samples * level, -30, increase_only=True))
        with torch.inference_mode():
            found = ours(torch.from_numpy(samples * level)[None, None])[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_only_the_speakers_own_frames_are_embedded():
    encoder = voice_models.ResemblyzerEmbedding.packaged()
    samples = torch.from_numpy(media.sound(DIALOGUE / "sample.wav", 200, 275))
    louder = torch.cat([samples, torch.randn(16000, generator=torch.Generator().manual_seed(0))])
    mask = torch.ones(1, 100)
    mask[0, 75:] = 0
    with torch.inference_mode():
        alone, masked = encoder(samples[None, None])[0], encoder(louder[None, None], mask)[0]
        nobody = encoder(louder[None, None], torch.zeros(1, 100))[0]
    assert torch.dot(alone, masked) > 0.99
    assert nobody.isnan().all()


@pytest.mark.parametrize("seen", [0, 2, 3])
def test_a_film_is_diarized_with_its_voice_from_off_screen(film, seen):
    sound, truth = film
    found = diarization.diarize(sound, seen)
    assert len({t.speaker for t in found}) == 3 or seen == 0
    assert error(truth, found, 18) < (0.1 if seen else 0.15)


def test_a_real_dialogue_is_diarized_when_told_that_two_people_talk_and_overlap_stays_overlap():
    truth, found = turns.read(DIALOGUE / "sample.rttm"), diarization.diarize(DIALOGUE / "sample.wav", 2)
    assert error(truth, found, 30) < 0.05
    both = [np.sum(list(turns.spoken_frames(t, 750).values()), axis=0) > 1 for t in (truth, found)]
    assert (both[0] & both[1]).sum() > 0.3 * both[0].sum() > 0


def test_meetings_are_diarized_as_well_as_the_packaged_segmentation_allows(shared):
    for name in ("dev00", "dev01"):
        truth = turns.read(shared / "data/audio/debug.development.rttm", name)
        assert error(truth, diarization.diarize(shared / f"data/audio/{name}.wav", 2), 30) < 0.15


def test_one_voice_is_one_speaker(film, tmp_path):
    samples = media.sound(film[0], 82, 240)
    encoding.write_sound(tmp_path / "one.wav", samples)
    for seen in (0, 1):
        assert len({t.speaker for t in diarization.diarize(tmp_path / "one.wav", seen)}) == 1


@pytest.mark.parametrize("seconds", [0, 1 / 16000, 0.1, 7])
def test_silence_of_any_length_has_no_turns_and_no_words(tmp_path, seconds):
    encoding.write_sound(tmp_path / "a.wav", np.zeros(int(seconds * 16000)))
    assert diarization.diarize(tmp_path / "a.wav", 2) == []
    transcript, pieces = words.transcribe(tmp_path / "a.wav", voice.detect(tmp_path / "a.wav"))
    assert transcript.empty
    assert pieces.empty


def test_a_file_without_bytes_has_no_turns(tmp_path):
    (tmp_path / "a.wav").touch()
    assert diarization.diarize(tmp_path / "a.wav", 2) == []


def test_a_tenth_of_a_second_of_speech_does_not_break_it(tmp_path):
    encoding.write_sound(tmp_path / "a.wav", media.sound(DIALOGUE / "sample.wav", 200, 275)[:1600])
    for turn in diarization.diarize(tmp_path / "a.wav", 2):
        assert 0 <= turn.start_s < turn.end_s <= 0.1


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


def voices(*counts: int, apart: float, seed: int = 0) -> np.ndarray:
    """Return embeddings of unit length of as many voices as counts, whose centres have the cosine distance `apart`."""
    rng = np.random.default_rng(seed)
    common, own = np.sqrt(1 - apart), np.sqrt(apart)
    middles = own * np.eye(64)[: len(counts)] + common * np.eye(64)[-1]
    out = np.concatenate([m + rng.normal(0, 0.005, (n, 64)) for m, n in zip(middles, counts, strict=True)])
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("apart", "seen", "expected"),
    [
        (0.4, 1, 3),  # plainly different voices are told apart, whoever is seen
        (0.4, 3, 3),
        (0.4, 5, 3),  # and a fooled count does not split them
        (0.15, 3, 3),  # voices alike are told apart only if so many people are seen
        (0.15, 2, 2),
        (0.15, 1, 1),
        (0.05, 3, 1),  # hardly different ones never
    ],
)
def test_how_many_voices_there_are(apart, seen, expected):
    clustering = pipelines.SeenVoicesClustering(same_voice=0.08, other_voice=0.22)
    clustering.people_seen = seen
    found = clustering.cluster(voices(20, 30, 15, apart=apart))
    assert len(np.unique(found)) == expected


def test_a_few_odd_sounds_are_no_person_and_long_sounds_fit_in_memory():
    clustering = pipelines.SeenVoicesClustering(same_voice=0.08, other_voice=0.22)
    clustering.people_seen = 2
    assert len(np.unique(clustering.cluster(voices(40, 40, 2, apart=0.4)))) == 2
    long = voices(7000, 7000, apart=0.4)[np.random.default_rng(1).permutation(14000)]
    assert sorted(np.bincount(clustering.cluster(long))) == [7000, 7000]


def test_people_seen_talking_counts_persons_not_tracks_nor_chewers():
    frames = np.arange(200)
    asd = pd.concat(
        [
            # Track 0 talks in the first half; track 2 is the same person in the next shot.
            pd.DataFrame({"track": 0, "frame": frames[:100], "score": 2.0}),
            pd.DataFrame({"track": 2, "frame": frames[100:], "score": np.where(frames[100:] < 150, 2.0, -2.0)}),
            # Track 1 chews while track 0 talks, with a lower score; track 3 talks afterwards; track 4 only for a moment.
            pd.DataFrame({"track": 1, "frame": frames[:100], "score": 1.0}),
            pd.DataFrame({"track": 3, "frame": frames[100:], "score": np.where(frames[100:] < 150, -2.0, 2.0)}),
            pd.DataFrame({"track": 4, "frame": frames[:10], "score": 3.0}),
        ]
    )
    assert seen_talking.count(asd, {0: 0, 2: 0, 1: 1, 3: 2}, seconds=1.0) == 2
    assert seen_talking.count(asd, {0: 0, 2: 0, 1: 1, 3: 2}, seconds=1.0, share=0.4) == 1
    assert seen_talking.count(asd, {}, seconds=1.0) == 0
    assert seen_talking.count(tables.empty("asd"), {}, seconds=1.0) == 0


def test_tracks_without_embedding_are_not_each_a_person_seen_talking():
    # Sixty shots of two people; in every other shot the second one is in profile and has no embedding.
    tracks = np.arange(120)
    shot, second = tracks // 2, tracks % 2
    people = pd.DataFrame(
        {
            "person": tracks,
            "shot": shot,
            "tracks": [[t] for t in tracks],
            "role": "participant",
            "start_frame": 50 * shot,
            "end_frame": 50 * shot + 50,
        }
    )
    talks = np.where(second == shot // 2 % 2, 2.0, -2.0)
    asd = pd.DataFrame(
        [(t, 50 * shot[t] + f, talks[t]) for t in tracks for f in range(50)], columns=["track", "frame", "score"]
    )
    marked = np.array([t for t in tracks if second[t] == 0 or shot[t] % 2 == 0])
    embeddings = {
        "track": marked,
        "embedding": np.eye(2, 128)[second[marked]],
        "faces": np.ones(len(marked), int),
        "same_person": np.array([0.07]),
    }

    def count(people):
        of = identities.cluster_persons(people, embeddings, 0.0)
        counted = seen_talking.who_counts(people, of, embeddings)
        return seen_talking.count(asd, counted, seconds=1.0, share=0.02)

    assert count(people) == 2
    assert count(people.assign(role=np.where(second == 1, "bystander", "participant"))) == 1
    assert count(people.assign(role="bystander")) == 2
    assert count(people.assign(role=np.where(second == 1, "bystander", "not_a_face"))) == 1


def test_rttm_keeps_its_turns(tmp_path):
    spoken = [Turn(0.5, 2.25, "a"), Turn(1.0, 1.5, "b")]
    turns.write(tmp_path / "t.rttm", "v", spoken)
    assert turns.read(tmp_path / "t.rttm") == spoken
    turns.write(tmp_path / "t.rttm", "v", [])
    assert turns.read(tmp_path / "t.rttm") == []


@pytest.fixture(scope="module")
def transcript(film):
    transcript, pieces = words.transcribe(film[0], voice.detect(film[0]))
    assert set(pieces["language"]) == {"en"}
    assert pieces["understood"].all()
    return transcript


def test_a_film_is_transcribed_and_its_words_lie_in_their_sentences(transcript, film):
    text = (
        "good morning shall we start with the budget yes i think the numbers for october look better than we expected"
    )
    heard = ["".join(c for c in word.lower() if c.isalnum()) for word in transcript["word"]]
    assert sum(a == b for a, b in zip(heard, text.split(), strict=False)) >= 19
    for row in transcript.itertuples():
        assert any(row.start_s > t.start_s - 0.2 and row.end_s < t.end_s + 0.2 for t in film[1])
    assert (transcript["end_s"] - transcript["start_s"]).min() >= 0.05
    assert (transcript["start_s"].to_numpy()[1:] >= transcript["end_s"].to_numpy()[:-1] - 1e-9).all()


def test_long_speech_is_cut_into_pieces_where_the_voice_is_weakest():
    settings = words.Settings(longest_piece_s=10.0)
    probability = np.full(1000, 0.9)
    probability[[200, 420, 640]] = 0.6
    voices_ = pd.DataFrame({"frame": range(1000), "voice": probability, "loudness_db": -20.0})
    pieces = words._pieces(voices_, settings)
    assert pieces == [(0, 200), (200, 420), (420, 640), (640, pieces[3][1]), *pieces[4:]]
    assert pieces[-1][1] == 1000
    assert all(end - start <= 250 for start, end in pieces)


def test_words_that_lie_in_silence_or_have_no_time_are_mended():
    voiced = np.zeros(100, dtype=bool)
    voiced[10:40] = True
    found = [
        {"word": "one", "start_s": 0.0, "end_s": 1.0, "confidence": 1.0},
        {"word": "two", "start_s": 1.0, "end_s": 1.0, "confidence": 1.0},
        {"word": "ghost", "start_s": 3.0, "end_s": 3.5, "confidence": 0.2},
    ]
    timed = words._timed(found, 0.0, 4.0, voiced.astype(float), words.Settings())
    assert [w["word"] for w in timed] == ["one", "two"]
    assert timed[0]["start_s"] == 0.4
    assert timed[0]["end_s"] == timed[1]["start_s"] == 0.5
    assert timed[1]["end_s"] == 1.0


def test_a_folder_without_a_whisper_model_is_named(tmp_path):
    with pytest.raises(InputError, match="words: weights"):
        words.whisper(words.Settings(model="whisper", weights=str(tmp_path)))


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A wav2vec2 network with random weights that recognises letters, as published ones lie in a folder."""
    folder = tmp_path_factory.mktemp("wav2vec2")
    marks = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(marks)}))
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    torch.manual_seed(0)
    small = Wav2Vec2Config(
        vocab_size=len(marks),
        **dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
        **dict(conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2),
    )
    Wav2Vec2ForCTC(small).save_pretrained(folder)
    return folder


def test_whisperx_aligns_its_words_with_a_wav2vec2_model(film, letters):
    pieces = [media.sound(film[0], 0, 220), media.sound(film[0], 220, 450)]
    model = recognition.packaged("tiny_en")
    plain, aligned = (
        [heard.words for heard in recognition.Recogniser(model, aligner=aligner)(pieces)]
        for aligner in (None, lambda language: alignment.wav2vec2(letters, language, "cpu"))
    )
    for own, found, piece in zip(plain, aligned, pieces, strict=True):
        assert [w["word"] for w in found] == [w["word"] for w in own]
        assert len(found) > 10
        # Random weights hear nothing, but give each word its own time, in order.
        starts, ends = ([w[edge] for w in found] for edge in ("start_s", "end_s"))
        assert starts == sorted(starts)
        assert all(0 <= start < end <= piece.size / media.SOUND_HZ for start, end in zip(starts, ends, strict=True))
        assert not np.allclose(starts, [w["start_s"] for w in own], atol=0.1)


def test_many_pieces_at_once_are_recognised_as_one_by_one(film, tmp_path):
    encoding.write_sound(tmp_path / "a.wav", media.sound(film[0], 0, 225))
    voices_ = voice.detect(tmp_path / "a.wav")
    single, several = (
        words.transcribe(tmp_path / "a.wav", voices_, words.Settings(batch=batch, longest_piece_s=4.0))
        for batch in (1, 2)
    )
    # The last piece is alone in its batch.
    assert len(single[1]) == 3 and len(single[0]) > 10
    pd.testing.assert_frame_equal(single[0], several[0], atol=0.021)
    pd.testing.assert_frame_equal(single[1], several[1], atol=0.021)


def test_letters_that_are_heard_give_words_their_times(letters, monkeypatch):
    """A network that hears "HI" in its frames 20 and 21 and "MUM" in 40 to 42 puts the words there."""
    marks = json.loads((letters / "vocab.json").read_text())
    logits = torch.full((1, 60, len(marks)), -20.0)
    logits[..., marks["<pad>"]] = 0
    for frame, letter in {20: "H", 21: "I", 30: "|", 40: "M", 41: "U", 42: "M"}.items():
        logits[0, frame, marks[letter]] = 20
    monkeypatch.setattr(Wav2Vec2ForCTC, "forward", lambda *_, **__: CausalLMOutput(logits=logits))
    align = alignment.wav2vec2(letters, "en", "cpu")
    found = align(np.zeros(60 * 320, dtype=np.float32), " Hi, mum.")
    assert [w["word"] for w in found] == ["Hi,", "mum."]
    np.testing.assert_allclose([w["start_s"] for w in found], [0.4, 0.8], atol=0.021)
    assert all(w["confidence"] > 0.5 for w in found)


def test_a_bundle_of_torchaudio_aligns_from_its_file(tmp_path, monkeypatch):
    small = torchaudio.pipelines.WAV2VEC2_ASR_BASE_960H
    params = small._params | {
        "encoder_embed_dim": 16, "encoder_num_layers": 1, "encoder_num_heads": 2, "encoder_ff_interm_features": 16,
        "encoder_pos_conv_kernel": 4, "encoder_pos_conv_groups": 2,
        "extractor_conv_layer_config": [(8, k, s) for _, k, s in small._params["extractor_conv_layer_config"]],
    }  # fmt: skip
    bundle = dataclasses.replace(small, _params=params)
    monkeypatch.setattr(torchaudio.pipelines, "WAV2VEC2_ASR_BASE_960H", bundle)
    file = tmp_path / Path(small._path).name
    weights = torchaudio.models.wav2vec2_model(**params).state_dict()
    # The published file has three outputs more, which are left out when it is loaded.
    for name in ("aux.weight", "aux.bias"):
        weights[name] = torch.cat([weights[name], weights[name][:3]])
    torch.save(weights, file)
    align = alignment.wav2vec2(file, "en", "cpu")
    found = align(media.sound(DIALOGUE / "sample.wav", 200, 250), "hello there")
    assert [w["word"] for w in found] == ["hello", "there"]


def test_a_text_that_cannot_be_aligned_keeps_whispers_own_times(film, letters):
    align = alignment.wav2vec2(letters, "en", "cpu")
    # Too short for so many letters.
    assert align(np.zeros(800, dtype=np.float32), "a sentence of many letters") == []
    model = recognition.packaged("tiny_en")
    (heard,) = recognition.Recogniser(model, aligner=lambda _: lambda *_: [])([media.sound(film[0], 0, 220)])
    assert len(heard.words) > 10


@pytest.mark.parametrize("kind", ["missing", "no model", "other file"])
def test_an_aligner_that_is_none_is_named(tmp_path, kind):
    place = tmp_path / "aligner"
    if kind == "no model":
        place.mkdir()
        (place / "config.json").write_text("{}")
    elif kind == "other file":
        place.write_bytes(b"x")
    with pytest.raises(InputError, match="aligner_weights"):
        alignment.wav2vec2(place, "en", "cpu")
