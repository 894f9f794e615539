"""What collecting costs: a million clips are to take at most a minute and 2 GB."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import records
from talking.core import schemas, tables

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "collect_dataset.py"
VIDEOS, CLIPS = 1_000, 1_000


def write_results(results: Path) -> None:
    """Write the tables of 1,000 videos with 1,000 kept clips each, of two people."""
    rng = np.random.default_rng(0)
    start = 1000 * np.arange(CLIPS)
    columns = {c.name: "" if c.type == "string" else 0 for c in schemas.SCHEMAS["clips"]}
    for folder in ("clips", "annotations", "media"):
        (results / folder).mkdir(parents=True)
    of_talk = {"tracks": "tracks", "speaking": "speaking", "people": "persons", "shots": "shots", "speech": "words"}
    for name in of_talk.values():
        tables.write(name, tables.empty(name), results / f"{name}.parquet")
    for number in range(VIDEOS):
        video = f"v{number}"
        names = [f"s_{video}_{a:06d}to{a + 200:06d}" for a in start]
        clips = pd.DataFrame(columns, index=range(CLIPS)).assign(
            clip=names, video=video, source="s", start_frame=start, end_frame=start + 200, duration_s=8.0, num_people=2
        )
        for name in ("people", "person_tracks", "absent_s", "bystander_tracks", "not_understood_s"):
            clips[name] = [[]] * CLIPS
        clips["tracks"] = [[2 * i, 2 * i + 1] for i in range(CLIPS)]
        for name in ("speaking_s", "sync_offsets", "sync_confidences"):
            clips[name] = rng.random((CLIPS, 2)).tolist()
        for name in ("face_px", "overlap_share", "camera_motion"):
            clips[name] = rng.random(CLIPS)
        tables.write("clips", clips.assign(kept=True), results / "clips" / f"{video}.parquet")
        index = pd.DataFrame({"video": video, "clip": names, "num_frames": 200, "width": 1280, "height": 720})
        index = index.assign(
            files=[["video.mp4"]] * CLIPS, file_bytes=[[9]] * CLIPS, file_sha256=[["00"]] * CLIPS, bytes=9
        )
        index["sha256"] = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        tables.write("annotations", index, results / "annotations" / f"{video}.parquet")
        for folder, name in of_talk.items():
            (results / folder).mkdir(exist_ok=True)
            of_video = f"{video}.words.parquet" if name == "words" else f"{video}.parquet"
            (results / folder / of_video).hardlink_to(results / f"{name}.parquet")
        probe = {"status": "ok", "reason": "", "duration_s": 9000.0}
        (results / "media" / f"{video}.json").write_text(json.dumps(probe))
    tracks = pd.DataFrame({"video": [f"v{n}" for n in range(VIDEOS) for _ in range(2 * CLIPS)]})
    tracks["track"] = np.tile(np.arange(2 * CLIPS), VIDEOS)
    tracks["person"] = [f"p{n:06d}" for n in rng.integers(0, 300, len(tracks))]
    tables.write("identities", tracks, results / "identities.parquet")
    tables.write("duplicates", tables.empty("duplicates"), results / "duplicates.parquet")
    rows = "".join(f"v{n}\tv{n}.mp4\ts\tCC0\n" for n in range(VIDEOS))
    (results / "sheet.tsv").write_text("video\tpath\tsource\tlicence\n" + rows)


def test_a_million_clips_take_at_most_a_minute_and_two_gigabytes(tmp_path):
    write_results(tmp_path)
    folders = [word for name in ("clips", "annotations", "media") for word in (f"--{name}", str(tmp_path / name))]
    files = [
        "--results",
        ".",
        "--sheet",
        "sheet.tsv",
        "--identities",
        "identities.parquet",
        "--duplicates",
        "duplicates.parquet",
        "--dataset",
        "dataset",
        "--videos",
        "videos.parquet",
    ]
    # The process reports its own costs: wall-clock would tell how busy the machine is, and ru_maxrss includes what this process held.
    program = (
        "import re, runpy, sys, time\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        f"sys.argv[0] = {str(SCRIPT)!r}\n"
        "import talking.dataset.collect\n"
        "began = time.process_time()\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "print(time.process_time() - began, int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1e6)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *folders, *files], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    seconds, gigabytes = map(float, run.stdout.split())
    row = {
        "clips collected and split": VIDEOS * CLIPS,
        "processor time, s": f"{seconds:.1f}",
        "memory, GB": f"{gigabytes:.2f}",
    }
    print(row)
    records.note("collecting", **row)
    assert len(tables.read("dataset", tmp_path / "dataset/clips.parquet")) == VIDEOS * CLIPS
    assert seconds < 60
    assert gigabytes < 2
