"""Words that a network of letters gives their times."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
from transformers.modeling_outputs import CausalLMOutput

import spoken
from spoken import DIALOGUE
from talking.core.errors import InputError
from talking.speech import alignment, recognition
from talking.video import media

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def film(shared, tmp_path_factory):
    """The sound of a film with a voice from off screen, and its true turns."""
    return spoken.film(shared, tmp_path_factory.mktemp("film"))


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
