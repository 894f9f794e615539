"""Films of what real videos show: hands, microphones, split screens, profiles, portraits, writing, dim light, onlookers, short answers."""

import json

import numpy as np
import pandas as pd
import pytest

from talking import film
from talking.core import boxes
from talking.core.errors import InputError
from talking.faces import centerface
from talking.film import truth
from talking.poses import windows
from talking.video import media

pytestmark = pytest.mark.slow

SIZE = (640, 360)
CASES = ["hands", "microphone", "arms", "split", "portrait", "wall_text", "dim", "onlooker", "facing"]
SECONDS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every case in a shot of two seconds, two people, and a shot of six in which one only answers."""
    out = tmp_path_factory.mktemp("real") / "film.mp4"
    framing = {"facing": "close"}
    shots = [f"1,2:{SECONDS}:{framing.get(case, 'medium')}:{case}" for case in CASES]
    settings = film.Settings(
        seed=11, people=2, width=SIZE[0], height=SIZE[1], shots=[*shots, "1,2:6:medium:short_answers"]
    )
    film.film(settings, out)
    return out


def _span(case: str) -> tuple[int, int]:
    first = CASES.index(case) * SECONDS * media.FPS
    return first, first + SECONDS * media.FPS


def _of(made, suffix: str, case: str) -> pd.DataFrame:
    """Return the rows of a table of the truth that lie in a case's shot, frames counted from its start."""
    rows, (start, end) = pd.read_csv(made.with_suffix(suffix)), _span(case)
    rows = rows[rows["frame"].between(start, end - 1)]
    return rows.assign(frame=rows["frame"] - start)


def _pictures(made, case: str, numbers: list[int]) -> list[np.ndarray]:
    return [picture for _, picture in media.frames_at(made, [_span(case)[0] + number for number in numbers])]


BOX = ["x1", "y1", "x2", "y2"]


def test_a_hand_comes_before_a_face_and_goes(made) -> None:
    seen = _of(made, ".frames.csv", "hands").pivot(index="frame", columns="person", values="visible")
    assert (seen["P001"] > 0.95).all()
    assert seen["P005"].iloc[[0, -1]].min() > 0.95 and seen["P005"].iloc[20:30].max() < 0.85
    hand = _of(made, ".hands.csv", "hands").set_index("frame").loc[25]
    face = _of(made, ".frames.csv", "hands").query("person == 'P005'").set_index("frame").loc[25]
    assert hand["person"] == "P005" and hand["side"] == "left"
    assert boxes.area(boxes.intersection(hand[BOX].to_numpy(float), face[BOX].to_numpy(float))) > 0
    case = next(h for h in json.loads(made.with_suffix(".json").read_text())["hard"] if h["case"] == "hands")
    hidden = np.flatnonzero(seen["P005"] < 0.9)
    assert case["start_frame"] <= hidden.min() and hidden.max() < case["end_frame"] and case["persons"] == ["P005"]


def test_a_microphone_hides_a_part_of_the_mouth_all_the_time(made) -> None:
    seen = _of(made, ".frames.csv", "microphone").pivot(index="frame", columns="person", values="visible")
    assert seen["P005"].between(0.6, 0.97).all() and (seen["P001"] > 0.97).all()


def test_crossing_arms_end_nearer_the_neighbours_face(made) -> None:
    faces = _of(made, ".boxes.csv", "arms").groupby("person")[BOX].median()
    hands = _of(made, ".hands.csv", "arms")
    assert hands.groupby("person")["frame"].nunique().to_dict() == {"P001": 50, "P005": 50}
    assert hands.groupby("person")["side"].first().to_dict() == {"P001": "left", "P005": "right"}
    middle = (faces["x1"] + faces["x2"]) / 2
    for person, other in (("P001", "P005"), ("P005", "P001")):
        x = hands[hands["person"] == person][["x1", "x2"]].mean(axis=1)
        assert (abs(x - middle[other]) < abs(x - middle[person])).all()


def test_a_split_screen_is_found_where_the_truth_says(made) -> None:
    people = pd.read_csv(made.with_suffix(".people.csv"))
    people = people[people["start_frame"] == _span("split")[0]].set_index("person")
    faces = _of(made, ".boxes.csv", "split").groupby("person")[BOX].median()
    pictures = _pictures(made, "split", np.linspace(0, 49, windows.PICTURES).astype(int).tolist())
    found = windows.find(pictures, faces.to_numpy())
    np.testing.assert_allclose(found, people.loc[faces.index, BOX], atol=5)
    # The hand that reaches for the edge is shown in its own window only.
    hand = _of(made, ".hands.csv", "split")
    assert set(hand["person"]) <= {"P005"}


def test_one_scene_is_not_divided(made) -> None:
    for case in ("wall_text", "portrait", "arms"):
        faces = _of(made, ".boxes.csv", case).groupby("person")[BOX].median()
        pictures = _pictures(made, case, np.linspace(0, 49, windows.PICTURES).astype(int).tolist())
        assert (windows.find(pictures, faces.to_numpy()) == [0, 0, *SIZE]).all(), case


@pytest.fixture(scope="module")
def detector():
    return centerface.CenterFace(0.3)


@pytest.mark.parametrize("case", CASES)
def test_a_detector_finds_the_people_and_only_the_portrait_fools_it(made, detector, case: str) -> None:
    frames = [0, 25, 49]
    rows = dict(list(_of(made, ".boxes.csv", case).groupby("frame")))
    strangers = []
    for frame, picture in zip(frames, _pictures(made, case, frames), strict=True):
        faces = rows[frame][BOX].to_numpy(float)
        overlap = boxes.iou_matrix(faces, detector(np.ascontiguousarray(picture[..., ::-1]))[:, :4])
        assert (overlap.max(axis=1) > 0.5).all()
        strangers.append(int((overlap.max(axis=0) < 0.2).sum()))
    assert strangers == ([1] * 3 if case == "portrait" else [0] * 3)


def test_an_onlooker_is_a_bystander_and_the_portrait_is_nobody(made) -> None:
    people = pd.read_csv(made.with_suffix(".people.csv")).set_index("start_frame")
    onlooker = people.loc[_span("onlooker")[0]]
    assert sorted(onlooker["role"]) == ["bystander", "participant", "participant"]
    stranger = onlooker.loc[onlooker["role"] == "bystander", "person"].item()
    rows = _of(made, ".frames.csv", "onlooker")
    heights = (rows["y2"] - rows["y1"]).groupby(rows["person"]).median()
    assert stranger not in ("P001", "P005") and heights[stranger] < 0.6 * heights[["P001", "P005"]].min()
    assert not rows.loc[rows["person"] == stranger, ["speaking", "lip_opening"]].to_numpy().any()
    portrait = people.loc[_span("portrait")[0]]
    assert (
        sorted(portrait["person"]) == ["P001", "P005"] == sorted(_of(made, ".boxes.csv", "portrait")["person"].unique())
    )
    assert set(portrait["role"]) == {"participant"}


def test_dim_light_is_dim(made) -> None:
    dim, bright = (_pictures(made, case, [25])[0].mean() for case in ("dim", "arms"))
    assert dim < 0.3 * bright


def test_short_answers_are_short_and_the_other_talks(made) -> None:
    begin = len(CASES) * SECONDS
    turns = [line.split() for line in made.with_suffix(".rttm").read_text().splitlines()]
    lengths = {who: [float(t[4]) for t in turns if t[7] == who and float(t[3]) > begin] for who in ("P001", "P005")}
    assert lengths["P005"] and max(lengths["P005"]) < 1
    assert sum(lengths["P001"]) > 3 * sum(lengths["P005"])


def test_same_seed_same_bytes(tmp_path) -> None:
    for name in "ab":
        settings = film.Settings(
            seed=3, people=2, width=160, height=120, shots=["1,2:0.4:medium:arms", "1,2:0.4:medium:split"]
        )
        film.film(settings, tmp_path / name / "film.mp4")
    for suffix in (".mp4", *truth.SUFFIXES):
        once, again = (tmp_path / name / f"film{suffix}" for name in "ab")
        assert once.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("case", ["arms", "facing", "short_answers"])
def test_what_needs_two_people_says_so(tmp_path, case: str) -> None:
    with pytest.raises(InputError, match="needs two"):
        film.film(film.Settings(people=2, shots=[f"1:5:medium:{case}"]), tmp_path / "film.mp4")
