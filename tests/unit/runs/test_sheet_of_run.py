"""The sample sheet of a run: where it is found, its copy for jobs, and how long its videos are."""

import os

import pytest

from talking.core.errors import InputError
from talking.runs import sheet, sheet_of_run


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Rows of a sheet of a video of an hour that was ingested, one that is not ingested yet, a URL and a synthetic one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part/results/media").mkdir(parents=True)
    (tmp_path / "part/results/media/hour.json").write_text('{"duration_s": 3600, "status": "ok"}')
    (tmp_path / "new.mp4").write_bytes(bytes(125_000 * 600))
    lines = ["hour\thour.mp4", "new\tnew.mp4", "far\thttps://x.org/v?token=secret", "made\tfilm:demo"]
    file = tmp_path / "videos.tsv"
    file.write_text("video\tpath\tsource\tlicence\n" + "".join(f"{line}\tx\tCC0\n" for line in lines))
    return sheet_of_run.Rows(file, sheet.read_sheet(file), tmp_path / "part/results")


def test_before_a_video_is_ingested_its_size_says_how_long_it_may_be(rows, tmp_path):
    seconds = sheet_of_run.Lengths(rows, is_dry_run=False)
    assert [seconds(video) for video in ("hour", "new", "far", "made")] == [3600, 600, 3600, 3600]
    os.truncate(tmp_path / "new.mp4", 2_000_000_000)
    assert seconds("new") == 4 * 3600
    planned = sheet_of_run.Lengths(rows, is_dry_run=True)
    assert planned("new") == 4 * 3600
    os.truncate(tmp_path / "new.mp4", 0)
    assert planned("new") == 4 * 3600 and seconds("new") == 0


def test_what_the_run_makes_is_named_below_results_and_a_missing_file_is_no_input(rows, tmp_path):
    inputs = {video: rows.input_of(video) for video in ("hour", "new", "far", "made")}
    assert inputs == {
        "hour": [],
        "new": str(tmp_path / "new.mp4"),
        "far": "results/downloads/far.bin",
        "made": "results/films/demo.mp4",
    }
    assert rows.file_of("far") == tmp_path / "part/results/downloads/far.bin"


def test_a_url_is_kept_without_its_token_and_a_changed_one_is_noticed(rows):
    kept = rows.content_of("far")[0]
    assert kept.startswith("https://x.org/v ") and "secret" not in kept
    assert rows.content_of("new") == ["new.mp4", "", ""]


def test_a_copy_names_whole_paths_and_is_read_by_those_who_may_read_the_sheet(rows, tmp_path):
    rows.file.chmod(0o600)
    copy = rows.copy(tmp_path / "copies")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [sheet.row_of(copy, video)["path"] for video in ("new", "far", "made")] == [
        str(tmp_path / "new.mp4"),
        "https://x.org/v?token=secret",
        "film:demo",
    ]
    assert rows.copy(tmp_path / "copies") == copy


def test_a_file_that_is_gone_after_it_was_ingested_is_named(rows, tmp_path):
    with pytest.raises(InputError, match=r"hour\.mp4 of video hour is not there any more: put it back"):
        rows.check_sources()
    (tmp_path / "hour.mp4").touch()
    rows.check_sources()


def test_a_synthetic_video_that_the_config_has_not_is_named(rows):
    rows.check_films({"demo": {}})
    with pytest.raises(InputError, match="film:demo is not among the config's films"):
        rows.check_films({})


def test_a_sheet_is_found_in_the_first_folder_that_has_it(tmp_path):
    for folder in ("b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "videos.tsv").touch()
    assert sheet_of_run.find("videos.tsv", [tmp_path / name for name in "abc"]) == tmp_path / "b/videos.tsv"
    with pytest.raises(InputError, match="does not exist; make it or name another"):
        sheet_of_run.find("videos.tsv", [tmp_path / "a"])
    (tmp_path / "{d}").mkdir()
    (tmp_path / "{d}/videos.tsv").touch()
    with pytest.raises(InputError, match="has a brace or a line break"):
        sheet_of_run.find("videos.tsv", [tmp_path / "{d}"])
