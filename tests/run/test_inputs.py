"""What users hand over: sheets, configs, addresses, names and machines, good and bad."""

import contextlib
import json
import os
import re
import shutil
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import REPO
from run.workflow import snakemake, started, write_sheet

pytestmark = pytest.mark.slow


def test_the_local_profile_offers_the_gpus_and_the_memory_of_the_machine(films, tmp_path, monkeypatch):
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    lines = ["GPU 0: NVIDIA H100 (UUID: GPU-a)", "GPU 1: NVIDIA A100 (UUID: GPU-b)"]
    lines += [f"  MIG 3g.20gb     Device  {n}: (UUID: MIG-{n})" for n in range(2)]
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    write_sheet(tmp_path, {"text": films / "text.mp4"})
    done = snakemake(tmp_path, "results/media/text.json", "--profile", str(REPO / "workflow/profiles/local"))
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    offered = re.search(r"Provided resources: (.*)", printed)[1]
    assert dict(re.findall(r"(\w+)\W+(\d+)", offered)) == {"gpu": "3", "mem_mb": str(total_mb * 9 // 10)}, offered


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        ("video\tpath\tsource\tlicence\na/../b\tx.mp4\ts\tCC0\n", "a/../b"),
        ("video\tpath\tsource\tlicence\na\tx.mp4\ts\tCC0\nA\ty.mp4\ts\tCC0\n", "already"),
        ("video\tpath\tsource\tlicence\tcolour\n", "unknown column 'colour'"),
        ("video\tpath\tsource\tlicence\na\tfilm:none\ts\tCC0\n", "film:none is not among the config's films"),
    ],
)
def test_a_bad_sheet_stops_before_the_first_job(sheet, said, tmp_path):
    (tmp_path / "videos.tsv").write_text(sheet)
    done = snakemake(tmp_path)
    assert done.returncode != 0 and said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("gaits={min_area_ratio: 1}", "did you mean 'gates'"),
        ("gates={min_area_ratio: big}", "gates.min_area_ratio must be a number, not 'big'"),
        ("gates=big", "gates must be a group of keys"),
        ("films={f: {shots: ['1:long']}}", "films.f.shots.0 is '1:long'"),
    ],
)
def test_a_bad_config_stops_before_the_first_job(config, said, tmp_path):
    write_sheet(tmp_path, {"talk": "talk.mp4"})
    done = snakemake(tmp_path, config=(config,))
    assert done.returncode != 0 and said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and not (tmp_path / "results").exists()


def test_a_token_in_an_address_is_shown_nowhere(films, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=films))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, secret, shown = server.server_port, "sEcReT", set()
    rows = {
        "got": f"http://me:{secret}@127.0.0.1:{port}/text.mp4?token={secret}",
        "none": f"http://127.0.0.1:{port}/no?t={secret}",
    }
    write_sheet(tmp_path, rows)
    target = "results/videos.parquet"
    with started(tmp_path, target) as going:
        reader = threading.Thread(target=lambda: shown.add(going.stdout.read()))
        reader.start()
        while going.poll() is None:
            # The process list, as other users of the machine see it.
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    shown.add(file.read_text(errors="replace"))
            time.sleep(0.05)
        reader.join()
    server.shutdown()
    probes = {video: json.loads((tmp_path / f"results/media/{video}.json").read_text()) for video in rows}
    assert "404" in probes["none"]["reason"] and "could not be downloaded" not in probes["got"]["reason"]
    # A changed address is named as a reason to rerun.
    write_sheet(tmp_path, {video: f"{url}2" for video, url in rows.items()})
    again = snakemake(tmp_path, target, "--dry-run")
    assert "Params have changed" in again.stdout + again.stderr
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f.name != "videos.tsv" and f.parent.name != "sheets"]
    shown |= {again.stdout, again.stderr, *(file.read_bytes().decode(errors="replace") for file in files)}
    assert len(files) > 50 and not any(secret in words for words in shown)


def test_results_that_are_no_folder_stop_before_the_first_job(tmp_path):
    write_sheet(tmp_path, {"talk": "talk.mp4"})
    (tmp_path / "results").write_text("")
    done = snakemake(tmp_path)
    assert done.returncode != 0 and "results is no folder that can be written" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_names_of_files_may_be_anything(films, tmp_path):
    names = ["x" * 300, "two\nlines", "{missing}", "~", "-dash", 'it\'s "$(odd)"']
    shutil.copy(films / "talk.mp4", tmp_path / "two\nlines")
    write_sheet(tmp_path, {f"v{n}": '"' + name.replace('"', '""') + '"' for n, name in enumerate(names)})
    done = snakemake(tmp_path, "--until", "ingest_media")
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    probes = [json.loads((tmp_path / f"results/media/v{n}.json").read_text()) for n in range(len(names))]
    assert [probe["status"] for probe in probes] == ["failed", "ok", *["failed"] * 4]
    assert all(name in probe["reason"] for name, probe in zip(names, probes, strict=True) if probe["reason"])
