"""Weights as inputs: gated ones are asked for before any job."""

import pytest

from run.workflow import planned, snakemake, write_sheet

pytestmark = pytest.mark.slow

COMMUNITY = ("diarization={model: pyannote-community-1, weights: results/weights/pyannote-community-1}",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").touch()
    write_sheet(tmp_path, {"a": "a.mp4"})
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path


def test_a_gated_model_without_a_token_stops_the_run_with_the_page_to_visit(folder):
    done = snakemake(folder, config=COMMUNITY)
    assert done.returncode != 0
    assert "visit https://huggingface.co/pyannote/speaker-diarization-community-1" in done.stdout + done.stderr
    assert not (folder / "results").exists()


def test_a_token_or_the_files_themselves_let_it_begin_and_the_token_is_shown_nowhere(folder, monkeypatch):
    files = ("config.yaml", "segmentation/pytorch_model.bin", "embedding/pytorch_model.bin")
    for name in (*files, "plda/plda.npz", "plda/xvec_transform.npz"):
        file = folder / "mine/pyannote-community-1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    own = (*COMMUNITY, f"covog={{train: never, weights_dir: {folder / 'mine'}}}")
    assert planned(folder, config=own)["fetch_weight"] == 5
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert planned(folder, config=COMMUNITY)["fetch_weight"] == 5
    assert "hf_of_nobody" not in (done := snakemake(folder, "--dry-run", "--printshellcmds", config=COMMUNITY)).stdout
    assert "hf_of_nobody" not in done.stderr


def test_an_aligner_and_a_recogniser_are_fetched_only_where_they_are_named(folder):
    assert "fetch_weight" not in planned(folder)
    words = "words={model: whisper, weights: results/weights/faster-whisper-large-v3, aligner: wav2vec2, aligner_weights: results/weights/wav2vec2-base-960h}"
    assert planned(folder, config=(words,))["fetch_weight"] == 5 + 4
