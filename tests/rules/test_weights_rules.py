"""Weights as inputs: gated ones are asked for before any job."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from conftest import REPO
from covog import weights
from run.workflow import planned, snakemake, write_sheet
from talking.clips import gates
from talking.runs import settings

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


def preset(name: str) -> tuple[str, str]:
    return "--configfile", str(REPO / f"config/presets/{name}.yaml")


def test_what_a_config_needs_is_fetched_by_one_target_that_says_how_much_it_is(folder):
    mine = folder / "mine"
    mine.mkdir()
    content = b"no network of any kind"
    (mine / "pretrain_TalkSet.model").write_bytes(content)
    config = (
        "speaking={model: talknet, weights: results/weights/pretrain_TalkSet.model}",
        f"covog={{train: never, weights_dir: {mine}}}",
    )
    assert planned(folder, "fetch_weights", config=config) == {"fetch_weight": 1, "fetch_weights": 1, "total": 2}
    done = snakemake(folder, "fetch_weights", config=config)
    assert done.returncode == 0, done.stderr
    assert "weights to be downloaded: 1 files, 0.00 GB, and of unknown size pretrain_TalkSet.model" in done.stderr
    assert (folder / "results/weights/pretrain_TalkSet.model").read_bytes() == content
    assert "to be downloaded" not in snakemake(folder, "fetch_weights", config=config).stderr


def test_the_papers_preset_asks_for_gated_weights_first_and_then_plans_its_models(folder, monkeypatch):
    done = snakemake(folder, *preset("paper"), config=("covog={train: never, preset: paper}",))
    assert done.returncode != 0
    assert "visit https://huggingface.co/pyannote/" in done.stdout + done.stderr
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    jobs = planned(folder, "fetch_weights", *preset("paper"), config=("covog={train: frozen, preset: paper}",))
    assert jobs["fetch_weight"] == 27


def test_weights_that_are_not_there_and_not_listed_are_named_before_the_first_job(folder):
    done = snakemake(folder, config=("speaking={model: light_asd, weights: results/weights/light_asd.model}",))
    said = "speaking.weights is results/weights/light_asd.model, which is not there and cannot be downloaded"
    assert done.returncode != 0 and said in done.stdout + done.stderr


def test_weights_of_the_users_own_that_are_not_there_are_named_before_the_first_job(folder):
    done = snakemake(folder, "--dry-run", config=("speaking={model: light_asd, weights: mine/light_asd.model}",))
    said = "speaking.weights is mine/light_asd.model, which is not there; docs/models.md"
    assert done.returncode != 0 and said in done.stdout + done.stderr


def test_the_recommended_preset_fetches_one_small_file_and_asks_for_no_gpu(folder):
    jobs = planned(folder, "fetch_weights", *preset("recommended"))
    assert jobs["fetch_weight"] == 1
    assert planned(folder, *preset("recommended"))["score_asd"] == 1
    chosen = yaml.safe_load((REPO / "config/presets/recommended.yaml").read_text())
    listed = yaml.safe_load(weights.list_file().read_text())
    assert listed[Path(chosen["speaking"]["weights"]).name]["bytes"] < 10e6
    assert chosen["gpu"] == 0


@pytest.mark.parametrize("name", ["embedded", "strict"])
def test_presets_plan_without_weights(folder, name):
    jobs = planned(folder, *preset(name))
    assert jobs["select_clips"] == 1
    assert "fetch_weight" not in jobs


def test_the_embedded_preset_is_the_default():
    schema = REPO / "workflow/schemas/config.schema.yaml"
    default = yaml.safe_load((REPO / "config/config.yaml").read_text())
    named = yaml.safe_load((REPO / "config/presets/embedded.yaml").read_text())
    both = {k: default.get(k, {}) | v if isinstance(v, dict) else v for k, v in named.items()}
    assert settings.checked_config(default | both, schema) == settings.checked_config(default, schema)


def test_the_strict_preset_sets_every_gate():
    strict = yaml.safe_load((REPO / "config/presets/strict.yaml").read_text())["gates"]
    fields = {f.name: f.default for f in dataclasses.fields(gates.Settings)}
    # How long a clip is and how many take part is the user's wish; nobody at all is shown twice by default already.
    wishes = {"min_duration_s", "min_num_people", "max_num_people", "max_repeated_person"}
    assert set(strict) == set(fields) - wishes
    stricter = {k: fields[k] > v if k.startswith("max_") else fields[k] < v for k, v in strict.items()}
    assert all(stricter.values())
