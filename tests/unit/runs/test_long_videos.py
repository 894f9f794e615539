"""Into how many parts a video is cut, by the sample sheet and by what its file declares."""

import numpy as np
import pytest

from talking.runs import long_videos, sheet, sheet_of_run
from talking.video import encoding


@pytest.fixture
def rows(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (10, 90, 160, 3), dtype=np.uint8)
    encoding.encode(tmp_path / "talk.mp4", (noise[i % 10] for i in range(400)), np.zeros(400 * 640, np.float32))
    (tmp_path / "text.mp4").write_text("no video at all\n" * 10_000)
    lines = [
        f"film\t{tmp_path / 'talk.mp4'}\t",
        f"said\t{tmp_path / 'talk.mp4'}\t3600",
        "gone\tgone.mp4\t",
        f"text\t{tmp_path / 'text.mp4'}\t",
        "far\thttps://x.org/v\t",
        "far_said\thttps://x.org/w\t1201.5",
    ]
    file = tmp_path / "videos.tsv"
    file.write_text(
        "video\tpath\tsource\tlicence\tduration_s\n"
        + "".join("{}\t{}\tx\tCC0\t{}\n".format(*r.split("\t")) for r in lines)
    )
    return sheet_of_run.Rows(file, sheet.read_sheet(file), tmp_path / "results")


def test_a_video_has_a_part_for_each_so_many_minutes(rows):
    of = long_videos.Parts(rows, long_videos.Settings(10)).of
    assert {video: len(of(video)) for video in rows.table.index} == {
        "film": 0, "said": 6, "gone": 0, "text": 0, "far": 0, "far_said": 3,
    }  # fmt: skip
    assert of("far_said") == ["1of3", "2of3", "3of3"]


def test_what_a_file_declares_counts_where_the_sheet_is_silent(rows):
    # 16 seconds.
    assert len(long_videos.Parts(rows, long_videos.Settings(0.1)).of("film")) == 3
    assert not any(long_videos.Parts(rows, long_videos.Settings(0)).of(video) for video in rows.table.index)
