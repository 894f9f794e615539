"""The notebook that explores a data set, run on a finished one."""

import base64
import json
import re

import cv2
import nbclient
import nbformat
import numpy as np
import pytest

from conftest import REPO
from talking.core import tables
from talking.dataset.store import Clip

pytestmark = pytest.mark.slow

NOTEBOOK = REPO / "notebooks/explore.ipynb"
# What the notebook's last plots show, in the units of its axes.
DRAWN = """
print(json.dumps({
    "bars": [[path.get_extents().intervalx.tolist() for path in bars.get_paths()] for bars in axes.collections],
    "boxes": [[*box.get_xy(), box.get_width(), box.get_height()] for box in shown.patches],
    "points": [len(points.get_offsets()) for points in shown.collections],
    "picture": np.asarray(shown.images[0].get_array()).mean(axis=(0, 1)).tolist(),
}))
"""


@pytest.fixture(scope="module")
def explored(run, tmp_path_factory):
    """The notebook's code cells after they ran on the finished run's data set, and what its plots show."""
    own = tmp_path_factory.mktemp("jupyter")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(DRAWN))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALKING_DATASET", str(run[0] / "results/dataset"))
        for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(own))
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    *cells, drawn = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells, json.loads(drawn.outputs[0].text)


def shown(cells, kind: str) -> list[str]:
    """Return what the cells show of a kind, such as text/html."""
    outputs = [output for cell in cells for output in cell.outputs if "data" in output]
    return [output.data[kind] for output in outputs if kind in output.data]


def test_the_notebook_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


def test_it_shows_the_tables(run, explored):
    dataset = run[0] / "results/dataset"
    clips, people, splits, *_ = shown(explored[0], "text/html")
    rows = tables.read("dataset", dataset / "clips.parquet")
    assert len(rows) == 2 and all(re.search(rf"<td>{clip}</td>", clips) for clip in rows["clip"])
    assert all(f"<td>{person}</td>" in people for person in tables.read("people", dataset / "people.parquet")["person"])
    for split, of in rows.groupby("split"):
        count, seconds = re.search(rf"<th>{split}</th>\s*<td>(\d+)</td>\s*<td>([\d.]+)</td>", splits).groups()
        assert int(count) == len(of) and float(seconds) == pytest.approx(of["duration_s"].sum())


def test_it_plots_who_speaks_when_and_faces_and_poses(run, explored):
    cells, drawn = explored
    dataset = run[0] / "results/dataset"
    clip = Clip(dataset / tables.read("dataset", dataset / "clips.parquet")["clip"].iloc[0])
    spoken = [[[frame / clip.fps for frame in period] for period in p["speak"]] for p in clip.speakers["people"]]
    assert any(spoken) and drawn["bars"] == [pytest.approx(np.array(periods)) if periods else [] for periods in spoken]
    frame = clip.frames // 2
    corners = clip.face_boxes[frame]
    assert np.allclose(drawn["boxes"], np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]), atol=0.01)
    assert drawn["points"] == (clip.pose_scores[frame] > 0).sum(axis=1).tolist()
    assert np.allclose(drawn["picture"], next(clip.pictures(frame, frame + 1)).mean(axis=(0, 1)), atol=0.5)
    words = shown(cells, "text/html")[3]
    assert clip.speakers["words"] and all(f"<td>{word['word']}</td>" in words for word in clip.speakers["words"])
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)
        for png in shown(cells, "image/png")
    ]
    assert len(pictures) == 2 and all(picture.std() > 20 for picture in pictures)


def test_it_plays_the_clip(run, explored):
    dataset = run[0] / "results/dataset"
    film = dataset / tables.read("dataset", dataset / "clips.parquet")["clip"].iloc[0] / "video.mp4"
    played = shown(explored[0], "text/html")[-1]
    assert "<video" in played and base64.b64encode(film.read_bytes()).decode() in played
