"""What a job that gives up its video says and leaves behind."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from run.stages import per_video_rules
from talking.core import arrays, schemas, tables
from talking.runs import giving_up


def test_every_job_of_a_video_gives_up():
    rules = per_video_rules()
    assert len(rules) >= 20
    for name, (_, _, text) in rules.items():
        assert f"|| talking give-up $? {name} {{wildcards.video}} {{resources.tries}} {{log:q}} {{output:q}}" in text, (
            name
        )
        assert "tries=this_attempt" in text, name


@pytest.mark.parametrize("rule", per_video_rules())
def test_outputs_without_content_can_be_read(tmp_path, rule):
    outputs = [tmp_path / pattern.format(video="v.1"[:1]) for pattern in per_video_rules()[rule][0]]
    log = tmp_path / "v.log"
    log.write_text("Traceback\nerror: it broke.\n")
    assert giving_up.give_up(tmp_path / "results", "v", rule, 1, log, outputs)
    for output in outputs:
        if output.suffix == ".parquet":
            names = [name for name, columns in schemas.SCHEMAS.items() if pd.read_parquet(output).columns.tolist() == [c.name for c in columns]]  # fmt: skip
            assert names and all(tables.read(name, output).empty for name in names)
        elif output.suffix == ".npz":
            with arrays.opened(output) as found:
                assert not list(found)
        elif output.suffix == ".json":
            assert "it broke." in json.loads(output.read_text())["reason"]
        elif output.suffix:
            assert output.read_bytes() == b""
        else:
            assert output.is_dir()
    [failure] = giving_up.all_of(tmp_path / "results")
    assert failure.reason == f"{rule}: it broke."
    giving_up.forget(tmp_path / "results", failure)
    assert giving_up.all_of(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("status", "log", "message"),
    [
        (1, "Traceback (most recent call last):\nZeroDivisionError: division by zero\n", "ZeroDivisionError: division by zero"),
        (137, "", "it was ended by SIGKILL, most often for want of memory."),
        (139, "half a line", "it was ended by SIGSEGV."),
        (2, "", "it ended with status 2 without a word"),
        (130, "KeyboardInterrupt", None),
        (143, "", None),
        (1, "OSError: [Errno 28] No space left on device", None),
    ],
)  # fmt: skip
def test_what_a_failure_says(tmp_path, status, log, message):
    (tmp_path / "v.log").write_text(log)
    output = tmp_path / "results/shots/v.parquet"
    given_up = giving_up.give_up(tmp_path / "results", "v", "detect_shots", status, tmp_path / "v.log", [output])
    assert given_up == (message is not None) == output.exists()
    assert [failure.message for failure in giving_up.all_of(tmp_path / "results")] == [message] * given_up


def test_a_job_without_a_word_on_a_full_disk_is_no_fault_of_its_video(tmp_path, monkeypatch):
    log = tmp_path / "v.log"
    log.touch()
    job = (tmp_path, "v", "detect_shots", 1, log, [tmp_path / "shots/v.parquet"])
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert not giving_up.give_up(*job)
    monkeypatch.setattr(giving_up.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    assert giving_up.give_up(*job)


def test_the_first_failure_counts_and_previews_leave_nothing_out(tmp_path):
    (tmp_path / "log").write_text("x\n")
    for video, rule in (("a", "preview_clips"), ("b", "track_faces"), ("b", "find_candidates")):
        giving_up.give_up(tmp_path, video, rule, 1, tmp_path / "log", [tmp_path / f"{rule}/{video}.rttm"])
    found = giving_up.of_videos(tmp_path, ["a", "b", "c"])
    assert {video: failure.rule for video, failure in found.items()} == {"a": "preview_clips", "b": "track_faces"}
    assert giving_up.left_out(tmp_path, ["a", "b", "c"]) == {"b": "track_faces: x"}
