"""One rule at a time, run by Snakemake from stored inputs that were made by hand."""

import numpy as np
import pandas as pd
import pytest

from run.workflow import snakemake, write_sheet
from talking import arrays, media, tables

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
    media.encode(folder / "results/media/v.mp4", [scenes[i >= 30] for i in range(60)])
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


def test_select_clips_applies_the_gates_of_the_config(folder):
    measured = {c.name: [0.9, 0.9] for c in tables.SCHEMAS["candidates"] if str(c.type) == "float"}
    people = {"num_people": [2, 2], "num_talkers": [2, 2], "num_turns": [3, 3], "num_voices": [2, 2]}
    faces = {"tiny_faces": [0, 0], "brief_faces": [0, 0], "tracks": [[0, 1]] * 2, "speaking_s": [[3.0, 3.0]] * 2}
    faces |= {"sync_offsets": [[0.0, 1.0]] * 2, "sync_confidences": [[0.7, 0.7]] * 2}
    rows = pd.DataFrame(
        {
            "clip": ["test_v_000000to000200", "test_v_000200to000400"],
            "video": "v",
            "source": "test",
            "shot": [0, 1],
            "start_frame": [0, 200],
            "end_frame": [200, 400],
            "candidate": True,
            "rejected_by": "",
            **measured,
            **people,
            **faces,
        }
    ).assign(talking_s=6.0, off_screen_share=0.0, ignored_face_share=0.0, turned_away_share=0.0, covered_share=0.0)
    rows = rows.assign(camera_motion=0.0, face_px=[100.0, 60.0])
    tables.write("candidates", rows, folder / "results/candidates/v.parquet")
    seen = pd.DataFrame({"clip": rows["clip"], "sound_hashes": [[1], [2]], "picture_hashes": [[3], [4]]})
    seen = seen.assign(hand_over_face_share=0.0, caption_over_face_share=0.0)
    tables.write("inspections", seen, folder / "results/inspections/v.parquet")
    run_rule(folder, "select_clips", "clips/v.parquet", config=("gates={min_face_px: 80}",))
    clips = tables.read("clips", folder / "results/clips/v.parquet")
    assert clips["kept"].tolist() == [True, False]
    assert clips["rejected_by"].tolist() == ["", "min_face_px"]
