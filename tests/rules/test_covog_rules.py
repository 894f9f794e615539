"""CovOG's rules from a data set made by hand: both models in one run, too few clips, and what a changed data set reruns."""

import json

import pytest

from covog import config, convert
from covog_clips import make_dataset
from run.workflow import planned, snakemake, write_sheet
from talking.core import tables

pytestmark = pytest.mark.slow

RULES = "configure_covog cache_latents train_stage1 train_stage2 evaluate_covog draw_covog_report covog".split()
STAGE = {"steps": 2, "batch_size": 1, "validation_samples": 1, "save_every": 2, "validate_every": 2}
SETTINGS = {
    "data": {"width": 64, "height": 40, "frames": 3},
    "stage1": STAGE,
    "stage2": STAGE,
    "generation": {"steps": 1, "window": 4, "overlap": 1},
    "evaluation": {"clips": 1, "frames": 5},
}


def settings(**others) -> tuple[str]:
    return (f"covog={json.dumps({'settings': SETTINGS, **others})}",)


# A flag goes first: planned's --quiet would take the target for its own.
TARGET = ("--nolock", "covog", "--allowed-rules", *RULES)


def covog(folder, **others):
    return snakemake(folder, *TARGET, config=settings(**others))


def make(folder, people=(2, 3)):
    """Write a finished data set of as many clips, as the rules of the data side leave it."""
    write_sheet(folder, {"v": "v.mp4"})
    make_dataset(folder / "results/dataset", people=people, frames=14)
    tables.write("dataset", tables.empty("dataset"), folder / "results/dataset/clips.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covog")
    make(folder)
    done = covog(folder, baseline=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_baseline_is_trained_and_measured_beside_covog(run):
    results = run / "results/covog"
    whole, lesser = (convert.read_model(results / m / "stage2/weights.safetensors") for m in ("covog", "baseline"))
    assert (whole.config.audio, whole.config.person_masks) == (True, True)
    assert (lesser.config.audio, lesser.config.person_masks) == (False, False)
    metrics = tables.read("covog_metrics", results / "metrics.parquet")
    assert set(metrics["model"]) == {"covog", "untrained", "baseline", "truth", "still", "paper"}
    psnr = metrics[(metrics["metric"] == "psnr_db") & (metrics["part"] == "all")].set_index("model")["value"]
    assert psnr[["covog", "untrained", "baseline"]].notna().all()
    page = (run / "results/report/covog_metrics.html").read_text()
    assert page.count("<td>baseline</td>") >= 1
    assert "Validation pictures of baseline, stage2" in page
    for model in ("covog", "baseline"):
        assert len(list((results / "videos" / model / "compared").glob("*.mp4"))) == 1
        assert config.load(results / model / "stage1/config.yaml").stage1.steps == 2


def test_a_trained_model_follows_the_data_set_only_if_asked(run):
    clips = run / "results/dataset/clips.parquet"
    clips.write_bytes(clips.read_bytes() + b" ")
    assert planned(run, *TARGET, config=settings(baseline=True)) == {}
    jobs = planned(run, *TARGET, config=settings(baseline=True, train="latest"))
    assert jobs["train_stage1"] == jobs["train_stage2"] == 2


def test_a_data_set_with_too_few_clips_ends_well_and_trains_once_it_has_enough(tmp_path):
    make(tmp_path, people=())
    done = covog(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = tables.read("covog_metrics", tmp_path / "results/covog/metrics.parquet")
    ours = metrics[metrics["model"] == "covog"]
    assert ours["note"].tolist() == ["skipped: the data set has too few clips to train on"]
    assert "too few clips to train on" in (tmp_path / "results/report/covog_metrics.html").read_text()
    assert "too few clips" in (tmp_path / "results/report/covog_curves.svg").read_text()
    clips = tmp_path / "results/dataset/clips.parquet"
    clips.write_bytes(clips.read_bytes() + b" ")
    jobs = planned(tmp_path, *TARGET, config=settings())
    assert {"train_stage1", "train_stage2", "evaluate_covog"} <= set(jobs)


def test_a_run_without_covog_plans_none_of_it(tmp_path):
    write_sheet(tmp_path, {"v": "v.mp4"})
    assert not set(RULES) & set(planned(tmp_path, config=("covog={train: never}",)))
    assert set(RULES) - {"covog"} <= set(planned(tmp_path, config=("covog={train: frozen}",)))
