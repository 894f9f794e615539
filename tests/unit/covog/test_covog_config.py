"""Settings: presets, what a misspelt key or a wrong type says, and the merged file of a run."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from covog import config, presets, provenance
from talking.core.errors import InputError

PRESETS = sorted(Path(presets.__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.stem)
def test_presets_are_whole_and_come_back(preset, tmp_path):
    settings = config.load(preset)
    config.save(settings, tmp_path / "again.yaml")
    assert config.load(tmp_path / "again.yaml") == settings


def test_the_papers_settings():
    settings = config.load(next(p for p in PRESETS if p.stem == "paper"))
    assert (settings.data.width, settings.data.height, settings.data.frames, settings.seed) == (640, 384, 15, 12580)
    assert (settings.stage2.learning_rate, settings.stage2.steps, settings.stage2.optimizer) == (
        1e-5,
        30_000,
        "adamw_8bit",
    )
    assert (settings.noise.offset, settings.noise.snr_gamma, settings.noise.prediction) == (0.05, 5, "v_prediction")
    assert settings.model == config.Model()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage1: {learning_rat: 1}", "stage1: unknown key 'learning_rat', did you mean 'learning_rate'"),
        ("stages: {}", "unknown key 'stages', did you mean"),
        ("data: {width: wide}", "data: width must be of type int, not 'wide'"),
        ("data: {width: true}", "data: width must be of type int, not True"),
        ("data: 3", "data must be a section"),
        ("model: {block_out_channels: [32, x]}", "block_out_channels must be a list of int"),
        ("model: {audio_residual: lost}", "must be one of keep, released"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, said):
    (tmp_path / "some.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"some\.yaml.*{said}"):
        config.load(tmp_path / "some.yaml")


def test_settings_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"some\.yaml does not exist"):
        config.load(tmp_path / "some.yaml")


def test_numbers_without_a_point_are_numbers(tmp_path):
    (tmp_path / "some.yaml").write_text("stage1: {learning_rate: 1e-5, weight_decay: 1}")
    assert config.load(tmp_path / "some.yaml").stage1.learning_rate == 1e-5


def test_texts_of_the_command_lines_config_mean_what_they_say():
    written = {
        "data": {"width": "64"},
        "model": {"audio": "false", "block_out_channels": ["32", "64"]},
        "stage1": {"ema": "0.5"},
    }
    settings = config.from_dict(config.Config, written, "here")
    assert (settings.data.width, settings.model.audio, settings.stage1.ema) == (64, False, 0.5)
    assert settings.model.block_out_channels == [32, 64]


def test_a_runs_settings_are_the_preset_with_changes_and_the_baseline_lacks_what_the_ablation_removes(tmp_path):
    arguments = Namespace(
        preset="tiny",
        settings=json.dumps({"stage1": {"steps": 7}}),
        baseline=True,
        out=tmp_path / "config.yaml",
    )
    presets.configure(arguments)
    settings = config.load(arguments.out)
    assert (settings.stage1.steps, settings.stage1.batch_size) == (
        7,
        config.load(presets.file_of("tiny")).stage1.batch_size,
    )
    assert not settings.model.audio
    assert not settings.model.person_masks
    arguments.settings = json.dumps({"stage1": {"step": 7}})
    with pytest.raises(InputError, match="unknown key 'step'"):
        presets.configure(arguments)


def test_an_optimiser_that_is_not_installed_is_named_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda name: None)
    arguments = Namespace(preset="paper", settings="{}", baseline=False, out=tmp_path / "config.yaml")
    with pytest.raises(InputError, match="adamw_8bit needs the package bitsandbytes or torchao"):
        presets.configure(arguments)
    arguments.settings = json.dumps({"stage2": {"optimizer": "adamw"}})
    presets.configure(arguments)
    assert config.load(arguments.out).stage2.optimizer == "adamw"


@pytest.mark.parametrize(
    ("preset", "changes", "said"),
    [
        ("smoke", {"stage2": {"shard": True}}, r"stage2\.shard needs optimizer adamw"),
        ("tiny", {"model": {"differences": False}}, r"need model\.differences"),
        ("tiny", {"data": {"crop": 20}}, "multiple of 8 px"),
        ("tiny", {"data": {"crop": -8}}, "crop must be at least 0, not -8"),
        ("tiny", {"data": {"variation": 5}}, "variation must be at most 1, not 5"),
        ("tiny", {"stage2": {"validation_samples": 0}}, "validation_samples must be at least 1"),
    ],
)
def test_what_cannot_work_is_a_sentence_before_any_training(preset, changes, said, tmp_path):
    arguments = Namespace(preset=preset, settings=json.dumps(changes), baseline=False, out=tmp_path / "config.yaml")
    with pytest.raises(InputError, match=said):
        presets.configure(arguments)
    assert not arguments.out.exists()


def test_a_checkpoint_from_before_a_setting_existed_has_its_default(tmp_path):
    now = {"data": config.to_dict(config.Data(width=96)), "training": config.to_dict(config.Training())}
    before = json.loads(json.dumps(now))
    del before["data"]["crop"]
    assert provenance.changed(before, now) == []
    now["data"]["crop"] = 64
    assert provenance.changed(before, now) == ["data.crop"]


def test_every_preset_that_the_workflow_offers_is_there():
    offered = config.WorkflowSettings.__dataclass_fields__["preset"].metadata["choices"]
    assert sorted(offered) == [p.stem for p in PRESETS]
