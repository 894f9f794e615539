"""What is said of the stages, against Snakemake's own plan of the workflow."""

import re
import subprocess
import sys
from collections import defaultdict

import pytest

from conftest import REPO
from talking.runs.stages import READS, STAGES, files_of, job_of, made_of


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Return what a dry run of everything plans for one video, one that is downloaded and a synthetic one: {place: (inputs, outputs)}."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "own.mp4").write_bytes(b"no video")
    (folder / "w").touch()
    rows = {"own": "own.mp4", "far": "https://x.test/v.mp4", "film": "film:demo"}
    lines = "".join(f"{video}\t{path}\ttest\tCC0\n" for video, path in rows.items())
    (folder / "videos.tsv").write_text("video\tpath\tsource\tlicence\n" + lines)
    targets = ["all", "preview", "results/export/mit/README.md", "results/export/webdataset"]
    targets += ["results/export/huggingface", "results/export/voices/anytalker_train.json"]
    config = [f"videos={folder / 'videos.tsv'}", "strict=true", "covog={preset: paper, cache_latents: true}"]
    config += ["sound={sound_mode: per_person}", "words={model: whisper, weights: w}", "delete_intermediates=true"]
    command = [sys.executable, "-m", "snakemake", *targets, "--dry-run", "--directory", folder, "--config", *config]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for job in re.split(r"^(?:local)?rule \w+:\n", done.stdout + done.stderr, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^    (input|output|log): (.*)$", job, re.MULTILINE))
        if "log" in fields:
            place = fields["log"].removeprefix("results/logs/").removesuffix(".log")
            found[place] = tuple(set(filter(None, fields.get(key, "").split(", "))) for key in ("input", "output"))
    return found


def test_each_job_reads_what_is_said_of_it(jobs):
    maker = {output: job_of(place)[0] for place, (_, outputs) in jobs.items() for output in outputs}
    reads = defaultdict(set)
    for place, (inputs, _) in jobs.items():
        reads[job_of(place)[0]] |= {maker[file] for file in inputs if file in maker}
    # Which models have weights to be fetched the config says.
    told = {name: set(read) for name, read in READS.items()}
    for name in told:
        assert reads[name] - {"weights"} == told[name] - {"weights"}, name
        assert "weights" in told[name] or "weights" not in reads[name], name
    assert set(reads) == set(READS)


def test_the_order_is_that_of_the_work():
    names = list(READS)
    assert all(names.index(read) < names.index(name) for name in names for read in READS[name])
    assert made_of("shots") == {"films", "downloads", "media"}
    assert made_of("failures") >= set(STAGES)


def test_the_files_of_a_stage_are_the_outputs_of_its_rule(jobs):
    for stage in STAGES:
        assert {f"results/{file}" for file in files_of(stage, "own")} == jobs[f"{stage}/own"][1]
