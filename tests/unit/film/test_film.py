"""Films: what is drawn and heard agrees with the truth that is written beside it."""

import dataclasses
import json
from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from talking import film
from talking.core import boxes, intervals
from talking.core.errors import InputError
from talking.film import lines, photographs, puppet, script, truth, voices

pytestmark = pytest.mark.slow


def _filmed(folder, **options):
    out = folder / "film.mp4"
    film.film(film.Settings(**options), out)
    return out


def _turns(out):
    rows = [line.split() for line in out.with_suffix(".rttm").read_text().splitlines()]
    return [(row[7], float(row[3]), float(row[3]) + float(row[4])) for row in rows]


def _pictures(out):
    with av.open(str(out)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two people, 6 s, 640×360."""
    return _filmed(
        tmp_path_factory.mktemp("two"),
        seed=5,
        people=2,
        width=640,
        height=360,
        shots=["1,2:4:medium", "1:2:tight"],
        overlap=0.2,
    )


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """Most hard cases in shots of 3 s, small."""
    shots = [
        "1,2:3:medium:mimic",
        "1,2:3:medium:mimic_same",
        "1,2:3:wide:offscreen",
        "1,2:3:wide:bystander",
        "1,2:5:medium:leaves",
        "1,2:4:wide:turns_away",
        "1,2:3:medium:silence",
        "1,2:3:wide:silent_lips",
        "1,2:3:medium:chewing,fade",
        "1,2:4:wide:cross",
        "1,2:3:medium:camera",
        "1,2:2:small:short_shot,recut",
    ]
    return _filmed(tmp_path_factory.mktemp("hard"), seed=1, people=2, width=320, height=180, shots=shots, fps="29.97")


def _in_shot(out, case):
    """Return the rows of `.frames.csv` in the shot with a hard case, and the shot's row."""
    shots = pd.read_csv(out.with_suffix(".shots.csv"))
    shot = shots[shots["hard"].fillna("").str.split("+").apply(lambda cases: case in cases)].iloc[0]
    rows = pd.read_csv(out.with_suffix(".frames.csv"))
    at_25 = rows["frame"] * 25 / float(Fraction(json.loads(out.with_suffix(".json").read_text())["fps"]))
    return rows[at_25.between(shot["start_frame"], shot["end_frame"] - 1)], shot


def test_shots_and_boxes_count_frames_at_25_fps(hard):
    shots = pd.read_csv(hard.with_suffix(".shots.csv"))
    boxes_of = pd.read_csv(hard.with_suffix(".boxes.csv"))
    seconds = json.loads(hard.with_suffix(".json").read_text())["seconds"]
    assert shots["end_frame"].iloc[-1] == int(seconds * 25)
    assert shots["start_frame"].iloc[1:].tolist() == shots["end_frame"].iloc[:-1].tolist()
    for shot in shots.itertuples():
        inside = boxes_of[boxes_of["frame"].between(shot.start_frame, shot.end_frame - 1)]
        assert set(inside["person"]) <= set(shot.persons.split("+"))


def test_picture_and_sound_are_as_long_as_ordered(two):
    with av.open(str(two)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, video.average_rate) == (640, 360, 25)
        assert sum(1 for _ in container.decode(video)) == 150
        assert float(sound.duration * sound.time_base) == pytest.approx(6, abs=0.05)


def test_every_truth_file_is_there(two):
    assert all(two.with_suffix(suffix).stat().st_size > 0 for suffix in truth.SUFFIXES)
    assert pd.read_csv(two.with_suffix(".shots.csv"))[["start_frame", "end_frame"]].to_numpy().tolist() == [
        [0, 100],
        [100, 150],
    ]
    assert json.loads(two.with_suffix(".json").read_text())["options"]["seed"] == 5


def test_speech_is_where_the_turns_say(two):
    with av.open(str(two)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    spoken = np.zeros(len(sound), dtype=bool)
    for _, start, end in _turns(two):
        spoken[int(start * voices.RATE) : int(end * voices.RATE)] = True
    far = ~intervals.to_mask([(a - 2400, b + 2400) for a, b in intervals.from_mask(spoken)], len(sound))
    assert np.sqrt(np.mean(sound[spoken] ** 2)) > 10 * np.sqrt(np.mean(sound[far] ** 2))


def test_speaking_frames_are_the_turns(two):
    rows = pd.read_csv(two.with_suffix(".frames.csv"))
    for person, of in rows.groupby("person"):
        middles = (of["frame"] + 0.5) / 25
        wanted = np.zeros(len(of), dtype=int)
        for who, start, end in _turns(two):
            wanted |= (who == person) & (middles >= start) & (middles < end)
        assert of["speaking"].tolist() == wanted.tolist()


def test_words_lie_in_their_speakers_turns(two):
    words = json.loads(two.with_suffix(".words.json").read_text())["words"]
    assert len(words) > 5
    for word in words:
        middle = (word["start_s"] + word["end_s"]) / 2
        assert any(who == word["speaker"] and start - 0.05 <= middle <= end + 0.05 for who, start, end in _turns(two))


def test_faces_are_where_the_boxes_say(two):
    from mediapipe.python.solutions.face_detection import FaceDetection

    truth_rows = dict(list(pd.read_csv(two.with_suffix(".boxes.csv")).groupby("frame")))
    with FaceDetection(model_selection=1) as detector:
        for index, picture in enumerate(_pictures(two)):
            if index % 10:
                continue
            found = [d.location_data.relative_bounding_box for d in detector.process(picture).detections or []]
            found = [[b.xmin * 640, b.ymin * 360, (b.xmin + b.width) * 640, (b.ymin + b.height) * 360] for b in found]
            overlap = boxes.iou_matrix(truth_rows[index][["x1", "y1", "x2", "y2"]].to_numpy(), np.array(found))
            assert len(found) == len(overlap)
            assert (overlap.max(axis=1) > 0.5).all()


def test_lips_open_as_written_and_not_sooner_or_later(two):
    from mediapipe.python.solutions.face_mesh import FaceMesh

    rows = pd.read_csv(two.with_suffix(".frames.csv"))
    rows = rows[(rows["person"] == "P001") & (rows["frame"] < 100)].set_index("frame")
    gaps = []
    with FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        for index, picture in zip(rows.index, _pictures(two), strict=False):
            x1, y1, x2, y2 = (
                boxes.scale(rows.loc[index, ["x1", "y1", "x2", "y2"]].to_numpy(float), 1.5).clip(0).astype(int)
            )
            points = (
                mesh.process(np.repeat(np.repeat(picture[y1:y2, x1:x2], 2, 0), 2, 1)).multi_face_landmarks[0].landmark
            )
            gaps.append((points[14].y - points[13].y) / (points[152].y - points[10].y))
    opening = rows["lip_opening"].to_numpy()
    by_lag = {lag: np.corrcoef(opening[2:-2], np.roll(gaps, lag)[2:-2])[0, 1] for lag in (-1, 0, 1)}
    assert opening.max() > 0.5
    assert by_lag[0] > 0.93
    assert by_lag[0] == max(by_lag.values())


def test_same_seed_same_bytes(tmp_path):
    options = {"people": 1, "width": 160, "height": 120, "shots": ["1:1.5:medium"]}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        film.film(film.Settings(seed=seed, **options), tmp_path / name / "film.mp4")
    for suffix in (".mp4", *truth.SUFFIXES):
        once, again = (tmp_path / name / f"film{suffix}" for name in "ab")
        assert once.read_bytes() == again.read_bytes()
    assert (tmp_path / "a/film.mp4").read_bytes() != (tmp_path / "c/film.mp4").read_bytes()


def test_mimic_moves_the_lips_of_somebody_silent(hard):
    rows, shot = _in_shot(hard, "mimic")
    silent = rows[rows["person"] == shot["persons"].split("+")[-1]]
    assert silent["speaking"].sum() == 0
    assert silent["lip_opening"].max() > 0.5
    other = rows[rows["person"] != silent["person"].iloc[0]]
    assert other["speaking"].mean() > 0.3
    assert abs(np.corrcoef(silent["lip_opening"], other["lip_opening"])[0, 1]) < 0.7


def test_mimic_same_moves_with_the_talkers_words(hard):
    rows, _ = _in_shot(hard, "mimic_same")
    by_person = rows.pivot(index="frame", columns="person", values="lip_opening")
    assert np.corrcoef(by_person.to_numpy().T)[0, 1] > 0.99


def test_offscreen_voice_speaks_while_all_lips_are_shut(hard):
    rows, shot = _in_shot(hard, "offscreen")
    assert rows["speaking"].sum() == 0
    assert rows["lip_opening"].max() == 0
    start, end = shot["start_frame"] / 25, shot["end_frame"] / 25
    assert any(who == lines.OFFSCREEN and start < a < end for who, a, _ in _turns(hard))


@pytest.mark.parametrize("case", ["silence", "silent_lips"])
def test_nobody_speaks_in_silence(hard, case):
    rows, shot = _in_shot(hard, case)
    start, end = shot["start_frame"] / 25, shot["end_frame"] / 25
    assert not any(a < end and b > start for _, a, b in _turns(hard))
    assert (rows["lip_opening"].max() > 0.5) == (case == "silent_lips")


@pytest.mark.parametrize("case", ["leaves", "turns_away"])
def test_a_face_goes_out_of_sight(hard, case):
    rows, shot = _in_shot(hard, case)
    mine = rows[rows["person"] == shot["persons"].split("+")[-1]]["visible"].to_numpy()
    assert mine[0] > 0.95
    assert mine.min() == 0


def test_the_bystander_is_a_further_and_smaller_face_that_chews(hard):
    rows, _ = _in_shot(hard, "bystander")
    heights = (rows["y2"] - rows["y1"]).groupby(rows["person"]).median().sort_values()
    assert len(heights) == 3
    assert heights.iloc[0] < 0.8 * heights.iloc[1]
    chewing = rows[rows["person"] == heights.index[0]]
    assert chewing["speaking"].sum() == 0
    assert chewing["lip_opening"].max() > 0.2


def test_people_who_cross_swap_sides(hard):
    rows, _ = _in_shot(hard, "cross")
    x = rows.assign(x=(rows["x1"] + rows["x2"]) / 2).pivot(index="frame", columns="person", values="x")
    order = np.sign(x.iloc[:, 0] - x.iloc[:, 1])
    assert order.iloc[0] == -order.iloc[-1]
    assert rows["visible"].min() < 0.5


def test_boxes_at_25_fps_are_the_frames_shown_then(hard):
    frames = pd.read_csv(hard.with_suffix(".frames.csv"))
    at_25 = pd.read_csv(hard.with_suffix(".boxes.csv"))
    fps = Fraction(30000, 1001)
    assert list(at_25.columns) == ["frame", "person", "x1", "y1", "x2", "y2"]
    row = at_25.iloc[len(at_25) // 2]
    same = frames[(frames["frame"] == round(int(row["frame"]) * fps / 25)) & (frames["person"] == row["person"])]
    assert same[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [row[["x1", "y1", "x2", "y2"]].tolist()]


def test_the_dissolve_is_centred_on_the_cut(hard):
    case = next(h for h in json.loads(hard.with_suffix(".json").read_text())["hard"] if h["case"] == "fade")
    _, shot = _in_shot(hard, "fade")
    assert case["start_frame"] < shot["start_frame"] * 29.97 / 25 < case["end_frame"]


def test_overlap_and_turns_follow_the_options():
    shares = {}
    for share in (0.0, 0.3):
        settings = film.Settings(people=2, shots=["1,2:20"], overlap=share)
        rng = np.random.default_rng(0)
        said = script.write_dialogue(
            settings, script.plan_shots(settings, rng), ["a", "b"], {"a": "heart", "b": "joe"}, rng
        )
        masks = {
            p: intervals.to_mask([(int(u.start_s * 100), int(u.end_s * 100)) for u in said if u.person == p], 2000)
            for p in "ab"
        }
        shares[share] = (masks["a"] & masks["b"]).sum() / sum(m.sum() for m in masks.values())
        assert min(m.mean() for m in masks.values()) > 0.2
    assert shares[0.0] == 0
    assert shares[0.3] > 0.08


def test_random_shots_fill_the_film_and_use_each_hard_case_once():
    settings = film.Settings(seconds=100, people=3, hard=["mimic", "recut", "short_shot", "leaves"])
    shots = script.plan_shots(settings, np.random.default_rng(2))
    assert shots[0].hard == []
    assert sorted(case for shot in shots for case in shot.hard) == sorted(settings.hard)
    assert [s.start_s for s in shots[1:]] == [s.end_s for s in shots[:-1]]
    assert shots[-1].end_s == pytest.approx(100)
    recut = next(i for i, shot in enumerate(shots) if "recut" in shot.hard)
    assert shots[recut].people == shots[recut - 1].people
    assert shots[recut].framing != shots[recut - 1].framing


def test_a_sentence_has_its_words_in_order_and_repeats_itself():
    speech = voices.say("joe", "Sales in the north went up by twelve percent.")
    voices.say.cache_clear()
    assert np.array_equal(speech.samples, voices.say("joe", speech.text).samples)
    assert [w.text for w in speech.words] == speech.text.split()
    ends = [0, *(t for w in speech.words for t in (w.start_s, w.end_s)), speech.seconds]
    assert ends == sorted(ends)


def test_a_person_is_cut_from_the_backdrop():
    layer = puppet.Puppet("P005", "posture", 60, 150).layer
    height, width = layer.shape[:2]
    points = photographs.landmarks("P005", "posture") * (width / 1300)
    x, y = points[4].astype(int)
    assert layer[y, x, 3] == 255
    assert layer[: height // 4, : width // 4, 3].max() == 0
    assert (layer[..., :3] <= layer[..., 3:]).all()


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("25", Fraction(25)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact(text, exact):
    assert film.rate(text) == exact


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 5},
        {"width": 641},
        {"seconds": 0.0},
        {"fps": "fast"},
        {"cast": ["P011"], "people": 1},
        {"cast": ["P001"], "people": 2},
        {"voices": ["echo"]},
        {"hard": ["juggling"]},
        {"shots": ["1,2"]},
        {"shots": ["1,9:5"]},
        {"shots": ["1:5:huge"]},
        {"shots": ["1:0"]},
        {"shots": ["1:5:medium:cross"]},
        {"hard": ["cross"], "people": 1},
    ],
)
def test_wrong_options_are_named(tmp_path, wrong):
    with pytest.raises(InputError):
        film.film(dataclasses.replace(film.Settings(), **wrong), tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
