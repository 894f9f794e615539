"""What jobs need, by the benchmark files of past runs."""

import json
import subprocess
import sys

import pytest

from conftest import REPO
from talking.core.errors import InputError
from talking.runs import costs
from talking.runs.costs import Job, Need

KNOWN = {"poses": Need(1, 0.5, 1, 0), "clips": Need(7, 0, 7, 0.1)}


def test_no_job_that_was_seen_would_lack_anything():
    jobs = [
        Job("poses", 10, 310, 30, 5),
        Job("poses", 100, 400, 200, 20),
        Job("poses", 50, 380, 100, 9),
        Job("other", 1, 1, 1, 1),
    ]
    needs = costs.fit(jobs, KNOWN)
    assert needs["clips"] == KNOWN["clips"] and "other" not in needs
    assert needs["poses"].mem_mb_per_video_s == pytest.approx(1)
    for job in jobs[:3]:
        assert needs["poses"].mem_mb + needs["poses"].mem_mb_per_video_s * job.video_s >= job.mem_mb - 1e-9
        assert needs["poses"].s_per_video_s * job.video_s >= job.seconds - 1e-9
        assert needs["poses"].disk_mb_per_video_s * job.video_s >= job.disk_mb - 1e-9


def test_growth_with_length_stays_as_known_where_lengths_are_alike():
    needs = costs.fit([Job("poses", 50, 300, 30, 1), Job("poses", 60, 400, 30, 1)], KNOWN)
    assert needs["poses"].mem_mb_per_video_s == 0.5 and needs["poses"].mem_mb == 370


def test_benchmark_files_become_the_table(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "benchmarks/poses").mkdir(parents=True)
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses/a.npz").write_bytes(bytes(4_000_000))
    for video, seconds in {"a": 20, "none": 0}.items():
        (tmp_path / f"media/{video}.json").write_text(json.dumps({"duration_s": seconds}))
        text = "s\tmax_rss\tcpu_time\n40.0\t320.5\t30.0\n"
        (tmp_path / f"benchmarks/poses/{video}.tsv").write_text(text)
    (tmp_path / "benchmarks/poses/short.tsv").write_text("s\tmax_rss\tcpu_time\n0.1\t-\tNA\n")
    table = tmp_path / "jobs.tsv"
    costs.write_needs(table, KNOWN)
    command = [sys.executable, REPO / "scripts/fit_resources.py", "--results", tmp_path, "--table", table]
    subprocess.run([*command, "--clock", "cpu_time"], check=True)
    needs = costs.read_needs(table)
    assert needs["poses"].disk_mb_per_video_s == 0.2
    assert needs["poses"].s_per_video_s == 1.5 and needs["poses"].mem_mb == pytest.approx(310, abs=1)


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "jobs.tsv").write_text("benchmark\tmem_mb\nposes\tmany\n")
    with pytest.raises(InputError, match=r"jobs\.tsv is no table"):
        costs.read_needs(tmp_path / "jobs.tsv")
