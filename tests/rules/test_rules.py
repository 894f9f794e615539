"""One rule at a time, run by Snakemake from stored inputs that were made by hand."""

import numpy as np
import pandas as pd
import pytest

from run.workflow import planned, snakemake, write_sheet
from talking.core import arrays, schemas, tables
from talking.video import encoding

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    """Return a working directory whose sheet has one video, of which only the media file is there."""
    write_sheet(tmp_path, {"v": "v.mp4"})
    return tmp_path


def run_rule(folder, rule: str, product: str, config: tuple[str, ...] = ()) -> None:
    """Run one rule for one product; its inputs must be there, as no other rule is allowed."""
    done = snakemake(folder, f"results/{product}", "--allowed-rules", rule, config=config)
    assert done.returncode == 0, done.stdout + done.stderr


def test_detect_shots_finds_the_cut_of_a_media_file(folder):
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 255, (90, 160, 3), dtype=np.uint8).repeat(2, axis=0).repeat(2, axis=1) for _ in range(2)]
    encoding.encode(folder / "results/media/v.mp4", [scenes[i >= 30] for i in range(60)])
    run_rule(folder, "detect_shots", "shots/v.parquet")
    shots = tables.read("shots", folder / "results/shots/v.parquet")
    assert shots[["start_frame", "end_frame"]].to_numpy().tolist() == [[0, 30], [30, 60]]


def test_a_file_of_no_bytes_flows_through_the_stages_of_pictures(folder):
    for name in ("v.mp4", "v.wav"):
        (folder / "results/media").mkdir(parents=True, exist_ok=True)
        (folder / "results/media" / name).touch()
    run_rule(folder, "detect_shots", "shots/v.parquet")
    run_rule(folder, "detect_faces", "faces/v.parquet")
    run_rule(folder, "track_faces", "tracks/v.parquet")
    run_rule(folder, "detect_voice", "voice/v.parquet")
    for name in ("shots", "faces", "tracks", "voice"):
        assert tables.read(name, folder / f"results/{name}/v.parquet").empty
    with arrays.opened(folder / "results/landmarks/v.npz") as landmarks:
        assert len(landmarks["points"]) == 0


NAMES = ["test_v_000000to000200", "test_v_000200to000400"]


def write_two_candidates(folder) -> None:
    """Write the tables that select_clips reads: two clips, of which the second has small faces."""

    def filled(table: str, **known) -> pd.DataFrame:
        """Return a table of the two clips in which every number is 0 and every list empty but what is known."""
        kinds = {c.name: str(c.type) for c in schemas.SCHEMAS[table]}
        usual = {n: [[], []] if "list" in t else "v" if t == "string" else 0 for n, t in kinds.items()}
        return pd.DataFrame({**usual, "clip": NAMES, **known}).astype(
            {n: bool for n, t in kinds.items() if t == "bool"}
        )

    frames = {"start_frame": [0, 200], "end_frame": [200, 400], "area_ratio": 0.9, "face_height_share": [0.2, 0.1]}
    candidates = filled("candidates", candidate=True, num_people=2, duration_s=8.0, picture_motion=0.1, **frames)
    tables.write("candidates", candidates, folder / "results/candidates/v.parquet")
    good = {"num_talkers": 2, "speaking_share": 0.9, "mouth_sound_agreement": 0.9}
    good |= {"speaking_confidence": 0.9, "detected_share": 1.0, "landmark_share": 1.0, "face_motion": 0.1}
    measured = filled("qualities", **good)
    tables.write("qualities", measured, folder / "results/qualities/v.parquet")
    tables.write("inspections", filled("inspections"), folder / "results/inspections/v.parquet")
    for name in ("transcript", "pieces"):
        tables.write(name, tables.empty(name), folder / f"results/speech/v.{name}.parquet")


def test_select_clips_applies_the_gates_of_the_config(folder):
    write_two_candidates(folder)
    run_rule(folder, "select_clips", "clips/v.parquet", config=("gates={min_face_height_share: 0.15}",))
    clips = tables.read("clips", folder / "results/clips/v.parquet")
    assert clips["kept"].tolist() == [True, False]
    assert clips["rejected_by"].tolist() == ["", "min_face_height_share"]


def test_select_clips_follows_the_review(folder):
    write_two_candidates(folder)
    head = "video\tstart_s\tend_s\tfield\tvalue\tface\twho\twhen\n"
    rows = ["v\t0\t8\tdecision\tdrop\t\tAnn\t2026-11-28\n", "v\t8\t16\tdecision\tkeep\t\tAnn\t2026-11-28\n"]
    (folder / "review.tsv").write_text(head + "".join(rows))
    config = ("gates={min_face_height_share: 0.15}", "review=review.tsv")
    run_rule(folder, "select_clips", "clips/v.parquet", config=config)
    clips = tables.read("clips", folder / "results/clips/v.parquet")
    assert clips["kept"].tolist() == [False, True] and clips["reviewed"].tolist() == ["drop", "keep"]
    assert clips["rejected_by"].tolist() == ["review", "min_face_height_share"]
    # Another decision runs the job again, a bad one is said in a sentence.
    (folder / "review.tsv").write_text(head + rows[0])
    assert (
        planned(folder, "results/clips/v.parquet", "--allowed-rules", "select_clips", config=config)["select_clips"]
        == 1
    )
    (folder / "review.tsv").write_text(head + rows[0].replace("drop", "perhaps"))
    done = snakemake(folder, "results/clips/v.parquet", "--dry-run", config=config)
    assert (
        done.returncode
        and "review.tsv, line 2: the value of decision is 'perhaps'; it must be keep or drop."
        in done.stdout + done.stderr
    )
