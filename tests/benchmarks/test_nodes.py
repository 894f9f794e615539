"""How long jobs take on so many nodes, on graphs whose answer is known; bench_nodes.py asks it of the workflow."""

import bench_nodes
import pytest
from bench_nodes import Job


def graph(**jobs: tuple[float, str]) -> dict[str, Job]:
    """Return jobs of (seconds, names of those before)."""
    return {name: Job(name, False, seconds, tuple(after.split())) for name, (seconds, after) in jobs.items()}


# Cut into three parts, joined; beside it one that is long.
PARTS = graph(
    cut=(2, ""), one=(4, "cut"), two=(4, "cut"), three=(4, "cut"), beside=(9, "cut"), joined=(1, "one two three"), end=(1, "joined beside")
)  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "seconds"),
    # Two: one and two until 6, three until 10 and joined until 11, the long one from 6 until 15. Three: the long one from 6, too.
    [(1, 25), (2, 16), (3, 16), (4, 12), (100, 12)],
)
def test_nodes_take_jobs_as_they_become_ready(nodes, seconds):
    assert bench_nodes.wall_s(PARTS, nodes) == seconds


def test_the_longest_chain_bounds_any_number_of_nodes():
    assert bench_nodes.longest_chain(PARTS) == ["cut", "beside", "end"]
    longer = PARTS | graph(three=(20, "cut"))
    assert bench_nodes.longest_chain(longer) == ["cut", "three", "joined", "end"]
    assert bench_nodes.wall_s(longer, 4) == 24


def test_a_video_in_parts_waits_for_what_the_workflow_says(tmp_path):
    (tmp_path / "v.mp4").touch()
    (tmp_path / "videos.tsv").write_text("video\tpath\tsource\tlicence\tduration_s\nv\tv.mp4\tbench\tCC0-1.0\t1500\n")
    page = (bench_nodes.REPO / "docs/benchmarks.md").read_text(encoding="utf-8")
    jobs = bench_nodes.planned(tmp_path, ["videos=videos.tsv"], bench_nodes.of_page(page, 1500 / 3600))
    # Two seconds of one core for a second of video, less where there is a table of longer videos; parts count as whole ones here.
    assert 1500 < bench_nodes.wall_s(jobs, 1) < 2 * 1800
    one = jobs["results/benchmarks/poses/v.2of3.tsv"]
    assert one.rule == "estimate_poses_of_part" and not one.is_join
    assert "results/benchmarks/candidates/v.tsv" in one.after
    joins = jobs["results/benchmarks/poses/v.tsv"]
    assert joins.is_join and {f"results/benchmarks/poses/v.{k}of3.tsv" for k in (1, 2, 3)} <= set(joins.after)
    chain = [jobs[name].rule for name in bench_nodes.longest_chain(jobs)]
    assert chain[0] == "ingest_media" and chain[-1] == "collect_dataset" and "estimate_poses_of_part" in chain
